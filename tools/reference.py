"""Makes the pages of docs/reference from the code and the schema.

    tools/reference.py [--write]

Settings, exit codes, the store file and the store document are pages of docs/; without --write
they are compared, and exit code 1 says that one is out of date. The page of commands is made for
the site alone (tools/docs.py).
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from dam.catalog import about, document, payload
from dam.cli.failures import KINDS
from dam.cli.main import main as dam
from dam.config.table import SETTINGS, Setting
from dam.roles.seller import code_files, store_file
from dam.types import MAX_PARTS
from dam.units import UNITS

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "reference"
SCHEMATA = ROOT / "src" / "dam" / "market" / "schema"
SCHEMA = ROOT / "src" / "dam" / "catalog" / "schema" / "store.schema.json"
MADE = "<!-- Made by tools/reference.py from {}: change it there, then `make reference`. -->"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


# --- settings ---------------------------------------------------------------------------------


SEVERAL_MARKETS = """## Several markets

One file may name several markets, each with a table of its own; any setting may stand there, and
what it does not say is taken from above it:

```toml
confirmations = 3

[accounts]
default = "ada"

[markets.main]
rpc = "https://node.example"
deployment = "main.json"

[markets.base]
rpc = ["https://one.example", "https://two.example"]
deployment = "base.json"
confirmations = 20
```

`dam --market NAME ...`, or the variable `DAM_MARKET`, names the one that is meant; with a single
market it may be left out. Of several, commands that list (`buyer browse`, `buyer purchases`,
`seller sales`, `balance`, `deliverers`, `arbiter cases`, `deliverer status`, `watchdog status`)
show all, with `--json` as one object `markets` by name; every other command, a daemon too, refuses
to guess. A daemon serves one market, and says which in its line `starting`."""


def settings_page() -> str:
    """One table for each section of the table of settings."""
    text = [
        "# Settings",
        MADE.format("src/dam/config/table.py"),
        """`dam init` and `dam deliverer init` write `config.toml` into the home folder: `$DAM_HOME`
or the user's data folder (`~/.local/share/dam` on Linux). A variable takes precedence over the
file, and all mistakes are reported together. `dam deliverer config` shows each setting, and where
it was set. Other variables, and the files of the home folder, are in
[operating](../operating.md#3-settings), section 3.""",
    ]
    for section in dict.fromkeys(row.section for row in SETTINGS):
        rows = [
            [f"`{row.key}`", f"`{row.variable}`", default_of(row), row.doc]
            for row in SETTINGS
            if row.section == section
        ]
        text += [f"## {section}", table(["key", "variable", "default", "what"], rows)]
    text.append(SEVERAL_MARKETS)
    return "\n\n".join(text) + "\n"


def default_of(row: Setting) -> str:
    """The default of a setting as a person writes it."""
    return row.default_doc or ("none, required" if row.required else row.show(row.default))


# --- the store file ---------------------------------------------------------------------------

ITEM = {
    "id": ("required", ("the item's name for machines and on the chain: 1 to 128 bytes, no space "
           "but single ones inside. It never changes")),
    "title": ("the id", "what people read, 1 to 512 bytes"),
    "summary": ("none", f"one line, at most {about.MAX_SUMMARY_BYTES} bytes"),
    "tags": ("none", (f"list of words to find it by, at most {about.MAX_TAGS} of "
             f"{about.MAX_TAG_BYTES} bytes each")),
    "language": ("none", "of the good: `en`, `pt-BR`, `zh-Hant`"),
    "description": ("none", (f"plain text, at most {about.MAX_DESCRIPTION_BYTES:,} bytes, in "
                    "several lines if you like")),
    "licence": ("none", "one line: a name, or an SPDX identifier"),
    "media_type": ("none", "of the good: `application/pdf`"),
    "price": ("required", "amount; of an item in a token, whole tokens: `\"5.25\"`"),
    "token": ("none", ("address of the ERC-20 token that the price is in. Commission, penalty and "
              "bond stay in the native coin, and have no default then")),
    "decimals": ("what the token says", ("decimals of the token, 0 to "
                 f"{store_file.MAX_DECIMALS}; must be what the token itself says, if it does")),
    "commission": ("5% of the price", ("what all deliverers of one copy earn together; at most the "
                   "price. Each part earns commission / parts, rounded down")),
    "penalty": ("10% of the price", "what a buyer gets beside the price if the good never comes"),
    "bond": ("10% of the price; 0 without an arbitrator", ("what each side puts up for a dispute, "
             "and the loser loses")),
    "parts": ("3", f"parts of the key, 1 to {MAX_PARTS}; each goes to another deliverer"),
    "threshold": ("parts - 1, at least 1", ("parts that open the good, 1 to `parts`; with 1 each "
                  "deliverer could open it alone, which needs `--one-part-is-enough`")),
    "arbitrator": ("none", "address that rules on disputes; `none`: nobody"),
    "supply": (f"{store_file.DEFAULT_SUPPLY:,}", ("copies of a file or text; of codes it is their "
               "number, and may not be written")),
    "deliverers": ("chosen at random", "list of addresses, one for each part, all different"),
    "metadata": ("empty", ("a table of your own for other tools, at most 8 levels; "
                 "[see the store document](store-document.md)")),
    "column": ("", ("of `codes_file`: the name of the column with the codes in the first line of a "
               "CSV file, its number from 1 where the first line is a code already, or `\"*\"`: "
               "each whole line is a code, whatever it looks like")),
    "codes_file": ("", ("path of a file with one code on each line, each sold once; of a file "
                   "`.csv`, or with a `column`: one code in each row")),
    "codes": ("", "list of codes, each sold once"),
    "file": ("", "path of a file that every buyer gets"),
    "text": ("", "a text that every buyer gets"),
}  # fmt: skip


def options_of_publish() -> set[str]:
    """Keys that `dam seller publish` takes for all items that do not say."""
    seller = dam.get_command(click.Context(dam), "seller")
    assert isinstance(seller, click.Group)
    publish = seller.get_command(click.Context(seller), "publish")
    assert publish is not None
    return {option.removeprefix("--") for p in publish.params for option in p.opts}


def store_file_page() -> str:
    if set(ITEM) != set(store_file._ITEM):
        raise SystemExit(f"keys without a text: {set(ITEM) ^ set(store_file._ITEM)}")
    goods, options = store_file._GOODS, options_of_publish()
    example = (store_file.__doc__ or "").split("\n\n", 1)[1].rsplit("\n\n", 1)[0]
    lines = [line.removeprefix("    ") for line in example.rstrip().splitlines()]
    rows = []
    for key in store_file._ITEM:
        if key in goods or key == "column":
            continue
        default, text = ITEM[key]
        shared = "yes" if key in store_file._DEFAULTS else "no"
        option = {"deliverers": "deliverer"}.get(key, key)
        rows.append(
            [f"`{key}`", default, shared, f"`--{option}`" if option in options else "-", text]
        )
    return f"""# The store file

{MADE.format("src/dam/roles/seller/store_file.py")}

`dam seller publish` and `dam seller update` read a TOML file of at most
{code_files.MAX_BYTES >> 20} MiB, or a folder in which each file is an item. All mistakes are
reported together, each with its line, and then nothing is published.

```toml
{chr(10).join(lines)}
```

Paths are relative to the file.

## Tables

| table | what |
|---|---|
| `[store]` | `name`, required: 1 to 512 bytes |
| `[defaults]` | terms of every item that does not say otherwise |
| `[[items]]` | one for each item |

An item's own key goes before an option of the command, and that before `[defaults]`. Other
tables and keys are mistakes.

## Keys of an item

{table(["key", "default", "in `[defaults]`", "option", "what"], rows)}

In a folder, the id of an item is the name of its file (in NFC), and its title the same without the
ending; the command needs `--price`. Folders, symbolic links, hidden files, litter (`Thumbs.db`,
`~$...`, `.tmp`, unfinished downloads) and devices are left out, and named before you are asked.

## The good

Each item has exactly one of these:

{table(["key", "what"], [[f"`{key}`", ITEM[key][1]] for key in goods])}

With `codes_file` may go:

{table(["key", "what"], [["`column`", ITEM["column"][1]]])}

| limit | |
|---|---|
| codes of an item | {store_file.MAX_CODES:,} |
| a code | under {store_file.MAX_INLINE_BYTES:,} bytes |
| a file of codes | {code_files.MAX_BYTES >> 20} MiB |
| a file that is sold | {payload.MAX_CHUNKS:,} chunks of {payload.CHUNK_BYTES:,} bytes |
| `supply` | {document.MAX_SUPPLY:,} |

A code stands in a store once: the same code twice is a mistake, and so is one that looks the same
(in another spelling of Unicode, or with other spaces). Empty lines, spaces around a code, byte
order marks at the beginning of lines and Ctrl-Z at the end are left out. A line ends as people's
tools end it: LF, CRLF or CR, and in a file that is no CSV also form feed, vertical tab, U+0085,
U+2028 and U+2029. Files are UTF-8, or UTF-16 with its mark.

Refused, with the line: codes with control characters or others that nobody sees (zero width,
directions, private or unassigned ones); and without `column` what looks like a header or like whole
rows. In a `.csv`, columns are divided by commas, semicolons or tabs, and texts may be in quotes;
`="0012"`, which keeps Excel from taking it for a number, is 0012. Where a column is named by its
number, and both commas and semicolons could divide the lines, a first line `sep=;` says which.

## Amounts

A text such as `"0.05 ether"`, `"20 gwei"` or `"1 wei"`, or a whole number of wei; digits may be
grouped with `_`. Units: {", ".join(f"`{unit}`" for unit in UNITS)}. Commission, penalty and bond
may be a share of a price in the native coin, such as `"5%"`, rounded down.

## What a second publish changes

Everything that changes is shown, and asked about unless there is `--yes`.

- Codes are added at the end. One that was listed stays, and one that was sold is never sold again,
  under another id either.
- An item that is not in the file any more goes off sale. What is off sale, so or by `close-item`,
  stays so until `--open ITEM` names it. A closed store is opened by `publish`, not by `update`.
- `parts` and `threshold` stay as they are where neither the file nor an option says anything.
- `--assign ITEM` gives the parts of this item to other deliverers. All other options of that
  command are then for this item alone (of a folder: those on parts, threshold and deliverers), and
  may not be on what the file says of it: the next update would undo them.
- Files that the IPFS node has lost are encrypted once more, to the same blocks, and put there.

A new version is made only from the catalogue folder of the version before: see
[operating](../operating.md), section 8.
"""


# --- the store document -----------------------------------------------------------------------

Schema = dict[str, Any]


def between(schema: Schema, least: str, most: str, unit: str) -> str:
    """Limits of a value: `` of 1 to 32``, or nothing."""
    low, high = schema.get(least), schema.get(most)
    if low is None and high is None:
        return ""
    if high is None:
        return f", at least {low:,}{unit}"
    return f", {low or 0:,} to {high:,}{unit}"


def kind(schema: Schema) -> str:
    """What a value is, in a few words; a definition is linked."""
    if "$ref" in schema:
        if schema["$ref"].endswith(".schema.json"):  # another page
            page = schema["$ref"].removesuffix(".schema.json")
            return f"[{page.replace('-', ' ')}]({page}.md)"
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "oneOf" in schema:
        return " or ".join(kind(one) for one in schema["oneOf"])
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    text = " or ".join(types)
    if text == "array":
        text = f"array of {kind(schema['items'])}"
    text += between(schema, "minimum", "maximum", "")
    text += between(schema, "minItems", "maxItems", " items")
    text += between(schema, "minLength", "maxLength", " characters")
    return f"{text}, `{schema['pattern']}`" if "pattern" in schema else text


def object_table(forms: list[Schema]) -> str:
    """The keys of an object; where it has two forms, which of them each key belongs to."""
    rows = []
    for key in dict.fromkeys(key for form in forms for key in form["properties"]):
        having = [form for form in forms if key in form["properties"]]
        if len(having) == len(forms):
            needed = "yes" if all(key in form.get("required", ()) for form in forms) else "no"
        else:
            needed = " or ".join(f"form {forms.index(form) + 1}" for form in having)
            if not all(key in form.get("required", ()) for form in having):
                needed += ", optional"
        one = having[0]["properties"][key]
        rows.append([f"`{key}`", kind(one), needed, one.get("description", "")])
    head = ["key", "value", "required", "what"]
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    return table(head, rows)


def definition(name: str, schema: Schema) -> str:
    """The section of one definition."""
    text = [f"### {name}"]
    if told := schema.get("description"):
        text.append(told)
    forms = schema.get("oneOf", [schema])
    if all("properties" in form for form in forms):
        if len(forms) > 1:
            text.append(f"It has one of {len(forms)} forms.")
        text.append(object_table(forms))
    elif schema.get("type") == "object":
        text.append(f"An object; each value: {kind(schema['additionalProperties'])}.")
    else:
        text.append(f"Value: {'; or '.join(kind(form) for form in forms)}.")
    return "\n\n".join(text)


def store_document_page() -> str:
    schema = json.loads(SCHEMA.read_bytes())
    defs = schema["$defs"]
    roots = [one["$ref"].rsplit("/", 1)[1] for one in schema["anyOf"]]
    first = [*roots, "item", "itemDetails", "itemGoods", "wholeItem", "payload"]
    told = schema["description"].replace("docs/protocol.md", "[protocol.md](../protocol.md)")
    blocks = [definition(name, defs[name]) for name in first]
    values = [definition(name, one) for name, one in defs.items() if name not in first]
    return f"""# The store document

{MADE.format("src/dam/catalog/schema/store.schema.json")}

{told}

A block is one of {", ".join(f"[{r}](#{r.lower()})" for r in roots)}. An object has no other keys
than those listed.

## Blocks and objects

{(chr(10) * 2).join(blocks)}

## Values

{(chr(10) * 2).join(values)}
"""


def file_page(title: str, file: str) -> str:
    """The page of a file of which the market room has the schema."""
    schema = json.loads((SCHEMATA / file).read_bytes())
    told = [definition(name, one) for name, one in schema["$defs"].items()]
    return f"""# {title}

{MADE.format(f"src/dam/market/schema/{file}")}

{schema["description"]}

An object has no other keys than those listed, and has all of them.

{(chr(10) * 2).join(told)}
"""


# --- the commands -----------------------------------------------------------------------------


def commands_page() -> str:
    """Each command of ``dam`` with its help, as a terminal shows it."""
    text = ["# Commands", "What `--help` says of each. Those that read have `--json`."]

    def walk(command: click.Command, context: click.Context, depth: int) -> None:
        text.append(f"{'#' * min(depth + 1, 3)} {context.command_path}")
        if isinstance(command, click.Group):
            text.append(inspect.cleandoc(command.help or ""))
            for name in command.list_commands(context):
                one = command.get_command(context, name)
                assert one is not None
                walk(one, click.Context(one, info_name=name, parent=context), depth + 1)
        else:
            text.append(f"```text\n{command.get_help(context)}\n```")

    walk(dam, click.Context(dam, info_name="dam", terminal_width=80), 1)
    return "\n\n".join(text) + "\n"


def exit_codes_page() -> str:
    rows = [[str(kind.code), f"`{name}`", kind.means, kind.then] for name, kind in KINDS.items()]
    rows.insert(0, ["0", "", "done", ""])
    rows.append(
        [
            "129, 130, 143",
            "`interrupted`",
            "SIGHUP, Ctrl-C, SIGTERM; what was sent stays sent, and the message names it",
            "as for 6, if something was sent",
        ]
    )
    rows.append(["141", "", "whoever read standard output has left (`| head`)", ""])
    head = ["code", "kind", "what it means", "before a second try"]
    return f"""{MADE.format("src/dam/cli/failures.py")}
# Exit codes

How a command of `dam` ends. The message stands on standard error, and names the next step. Under
`--json` standard output has one JSON value also where a command fails, unless a result stands
there already:

```json
{{"error": {{"kind": "ipfs", "exitCode": 4, "message": "..."}}}}
```

With `sent`, a list of hashes, if the command had sent transactions.

{table(head, rows)}

The daemons (`dam deliverer run`, `dam watchdog run`) end with 0 when they are told to stop, with 1
for a fault that needs a look, and with 2 for wrong settings, keys or node: starting again changes
nothing then ([operating](../operating.md)).
"""


MAKERS: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "exit-codes.md": exit_codes_page,
    "store-file.md": store_file_page,
    "store-document.md": store_document_page,
    "deployment-record.md": partial(
        file_page, "The deployment record", "deployment-record.schema.json"
    ),
    "market-list.md": partial(file_page, "The list of markets", "market-list.schema.json"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--write", action="store_true", help="renew the pages")
    options = parser.parse_args()
    stale = []
    for name, make in MAKERS.items():
        text = make()
        if options.write:
            (PAGES / name).write_text(text, "utf-8")
        elif (PAGES / name).read_text("utf-8") != text:
            stale.append(name)
    if stale:
        print(f"out of date: {', '.join(stale)}; `make reference` renews them")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
