"""The documents keep what they promise: links, names, settings, log events and numbers."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from dam.catalog import payload
from dam.catalog.reader import Limits
from dam.config.settings import Settings
from dam.config.table import SETTINGS
from dam.config.values import MAX_CONFIRMATIONS, ROLES
from dam.crypto import sealing
from dam.crypto.hashing import keccak
from dam.ethereum.erc20 import Token, Tokens
from dam.ipfs.blocks import MAX_BLOCK_BYTES
from dam.ipfs.cid import Cid
from dam.market.deployment import save_deployment
from dam.types import Address, Deployment
from dam.units import parse_amount
from tests.unit.helpers.tools import tool

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "dam"
NAMED = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
DOCUMENTS = [
    *(ROOT / name for name in NAMED if (ROOT / name).exists()),
    *sorted((ROOT / "docs").rglob("*.md")),
]
INTERFACE = (ROOT / "contracts" / "interfaces" / "IMarketplace.sol").read_text("utf-8")

# Paths of the checkout as prose names them: in backticks, from a top folder on.
_PATH = re.compile(
    r"`((?:contracts|src|docs|tests|scripts|daemons|demo|bench|requirements|tools)/[\w./-]+)`"
)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def prose_of(document: Path) -> str:
    return _FENCE.sub("", document.read_text("utf-8"))


def anchors_of(document: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    heads = re.findall(r"^#+ (.+)$", prose_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def table_after(text: str, mark: str) -> list[list[str]]:
    """Rows (without head and rule) of the first table behind a mark."""
    lines = text[text.index(mark) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows[2:]


def names(kind: str) -> list[str]:
    """Names of all events or errors of the interface."""
    found = re.findall(rf"^\s+{kind} (\w+)\(", INTERFACE, re.MULTILINE)
    assert len(found) >= 10
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    """Every relative link names a file of the checkout, and an anchor that it has."""
    for link in _LINK.findall(_CODE.sub("", prose_of(document))):
        if re.match(r"[a-z]+:", link):
            assert link.startswith("https://"), link
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / unquote(path)).resolve() if path else document
        assert target.exists(), f"{document.name} links to {link}"
        assert target.is_relative_to(ROOT), f"{document.name} links out of the checkout: {link}"
        if anchor:
            assert anchor in anchors_of(target), f"{document.name} links to {link}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_named_files_are_there(document: Path) -> None:
    """Every path of the checkout that a document names in backticks exists."""
    for path in _PATH.findall(document.read_text("utf-8")):
        assert (ROOT / path).exists(), f"{document.name} names {path}"


def test_links_and_paths_are_found_at_all() -> None:
    """The patterns above still see what they should."""
    everything = "".join(prose_of(document) for document in DOCUMENTS)
    assert len(_LINK.findall(everything)) > 20
    assert len(_PATH.findall(everything)) > 20
    assert {p.name for p in DOCUMENTS} >= {"protocol.md", "calls.md", "threats.md", "operating.md"}


@pytest.mark.parametrize("kind", ["event", "error"])
def test_every_event_and_error_is_described(kind: str) -> None:
    """Each stands in backticks in the protocol or in the page of calls."""
    told = text_of("docs/protocol.md") + text_of("docs/calls.md")
    missing = [name for name in names(kind) if f"`{name}`" not in told]
    assert missing == []


def test_no_event_or_error_is_made_up() -> None:
    """What calls.md names as an error is one."""
    known = {*names("error"), *names("event")}
    functions = set(re.findall(r"function (\w+)\(", INTERFACE))
    told = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]*)+)`", text_of("docs/calls.md")))
    assert told - known - functions == set()


def test_every_call_stands_in_a_table() -> None:
    """Each function that changes something has a row."""
    calls = [
        name
        for name, rest in re.findall(r"function (\w+)\(([^;]*);", INTERFACE)
        if not re.search(r"\bview\b", rest)
    ]
    assert len(calls) > 20
    rows = "\n".join(
        line for line in text_of("docs/calls.md").splitlines() if line.startswith("| `")
    )
    assert [name for name in calls if f"`{name}`" not in rows] == []


def test_every_setting_is_described() -> None:
    """Each field of the settings is in the table, and each row of the table on the page."""
    told = text_of("docs/reference/settings.md")
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert fields == {row.field for row in SETTINGS} | {"home", "deployment", "market_name"}
    rows = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \| .+ \| .+ \|$", told, re.MULTILINE))
    assert rows == {row.key: row.variable for row in SETTINGS}
    assert len(SETTINGS) == len(rows) == len(set(rows.values()))
    assert f"0 to {MAX_CONFIRMATIONS}." in told
    [accounts] = [line for line in told.splitlines() if line.startswith("| `accounts`")]
    assert all(f"`{role}`" in accounts for role in ROLES)


def test_the_defaults_on_the_page_are_those_in_force(
    tmp_path: Path, deployment: Deployment
) -> None:
    """What is loaded without a setting is what the page says."""
    save_deployment(deployment, tmp_path / "deployment.json")
    (tmp_path / "config.toml").write_text('rpc = "http://x"\ndeployment = "deployment.json"\n')
    loaded = Settings.load({"DAM_HOME": str(tmp_path)})
    told = text_of("docs/reference/settings.md")
    defaults = dict(re.findall(r"^\| `(\w+)` \| `\w+` \| (.+?) \|", told, re.MULTILINE))
    assert defaults["confirmations"] == str(loaded.confirmations)
    assert float(defaults["poll_seconds"]) == loaded.poll_seconds
    assert int(defaults["max_fee_gwei"]) * 10**9 == loaded.max_fee
    assert parse_amount(defaults["min_fee"]) == loaded.min_fee
    assert int(defaults["pin_bytes"].split()[0]) == loaded.pin_bytes
    assert defaults["halt_depth"] == str(loaded.halt_depth)
    assert defaults["unprofitable"] == loaded.unprofitable
    assert (defaults["health_port"], loaded.health_port) == ("off", None)
    assert defaults["rpc_agree"].split(",")[0] == str(loaded.rpc_agree)
    assert defaults["rpc"] == defaults["deployment"] == "none, required"


def test_every_variable_of_the_code_is_described() -> None:
    """Each ``DAM_...`` that the package reads stands with the settings or in docs/operating.md."""
    code = "".join(path.read_text("utf-8") for path in SOURCE.rglob("*.py"))
    told = text_of("docs/operating.md") + text_of("docs/reference/settings.md")
    read = set(re.findall(r"\bDAM_[A-Z_]+[A-Z]\b", code))
    assert "DAM_RPC_URL" in read
    assert [name for name in sorted(read) if f"`{name}`" not in told] == []


def logged_events() -> set[str]:
    """Names of all events that the package logs or journals."""
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called, first = node.func, node.args[0]
            name = called.attr if isinstance(called, ast.Attribute) else ""
            name = name or (called.id if isinstance(called, ast.Name) else "")
            wanted = name in {
                "debug",
                "info",
                "warning",
                "error",
                "critical",
                "exception",
                "_alert",
                "alert",
                "alert_once",
                "_failed",
                "level",
            }
            if wanted and isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.add(first.value)
    return found


def test_every_log_event_is_explained() -> None:
    """What a daemon may say at 3 a.m. stands in docs/operating.md."""
    events = logged_events()
    assert {"ready", "tick_failed", "no_balance", "keyfile-tightened"} <= events
    told = text_of("docs/operating.md")
    assert [event for event in sorted(events) if f"`{event}`" not in told] == []


def alerted_events() -> dict[str, bool]:
    """Events of level error and above, and all that is written into the journal.

    True: the call itself says the next step.
    """
    found: dict[str, bool] = {}
    loud = {"error", "critical", "exception", "alert", "alert_once", "_alert", "note"}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called, first = node.func, node.args[0]
            name = called.attr if isinstance(called, ast.Attribute) else ""
            if name in loud and isinstance(first, ast.Constant) and isinstance(first.value, str):
                says = any(keyword.arg == "next_step" for keyword in node.keywords)
                found[first.value] = found.get(first.value, False) or says
    return found


def test_every_alert_has_a_row() -> None:
    """With what it means and, where a person is needed, what to do; the log has it in short."""
    from dam.log import NEXT_STEP

    text = text_of("docs/operating.md")
    rows = table_after(text, "### Needs you") + table_after(text, "### Good to know")
    rows = [row for row in rows if all(row)]
    told = {name for row in rows for name in re.findall(r"`([a-z][a-z_-]+)`", row[0])}
    alerts = alerted_events()
    assert {"no_balance", "cannot_run", "ledger_recovered", "internal_error"} <= set(alerts)
    business = {"would_send"}  # of a dry run, which has nothing else to say
    assert sorted(set(alerts) - told - business) == []
    assert [row for row in table_after(text, "### Needs you") if len(row) != 3 or not row[2]] == []
    # Whoever is woken reads the log first: what needs him says there what to do.
    needs = {row[0].split("`")[1] for row in table_after(text, "### Needs you")}
    said = {event for event, says in alerts.items() if says}
    assert sorted(needs - set(NEXT_STEP) - said) == []


def test_every_reason_of_a_refusal_is_explained() -> None:
    """The codes that stand in logs and ledger, too."""
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        named = {ast.unparse(x.targets[0]): x.value for x in tree.body if isinstance(x, ast.Assign)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else ""
            name = name or (called.id if isinstance(called, ast.Name) else "")
            if name in {"Refused", "PartRefusal", "_end", "_alert"}:
                said = [named.get(ast.unparse(argument), argument) for argument in node.args]
                found |= {
                    one.value
                    for one in said
                    if isinstance(one, ast.Constant)
                    and isinstance(one.value, str)
                    and re.fullmatch(r"[a-z]+(-[a-z]+)+", one.value)
                }
    assert {"domain-mismatch", "fee-over-stake"} <= found
    told = text_of("docs/operating.md")
    assert [reason for reason in sorted(found) if f"`{reason}`" not in told] == []


def test_every_checkpoint_is_listed() -> None:
    """The places where tests kill a daemon."""
    code = "".join(path.read_text("utf-8") for path in SOURCE.rglob("*.py"))
    called = set(re.findall(r'checkpoint\("(F\d+)"\)', code))
    assert called == {row[0] for row in table_after(text_of("docs/operating.md"), "## 11.")}


def test_the_protocol_has_the_numbers_of_the_code() -> None:
    """Lengths, prefixes and limits that a second implementation would copy."""
    told = text_of("docs/protocol.md")
    assert f"{sealing.SEALED_BYTES} bytes: `tag(16) || nonce(24) || box(146)`" in told
    assert f"**Plain sealed part**, {sealing.PLAIN_SEALED_BYTES} bytes" in told
    assert f"**Plaintext of a part**, {sealing.PLAINTEXT_BYTES} bytes" in told
    assert f"chunks of {payload.CHUNK_BYTES:,} bytes" in told
    assert f"({MAX_BLOCK_BYTES:,} bytes)" in told
    assert f"at most {payload.MAX_INLINE_BYTES - 1:,} bytes" in told
    for key in sealing.LOW_ORDER_KEYS[2:4]:
        assert f"`{key.hex()}`" in told
    limits = Limits()
    for number in (
        limits.max_pages,
        limits.max_items,
        limits.max_part_pages,
        limits.max_parts,
        limits.max_plain_parts,
        payload.MAX_CHUNKS,
    ):
        assert f"{number:,}" in told
    assert f"| {limits.max_bytes >> 20} MiB |" in told
    for codec, start, length in (("dag-json", "baguqeera", 61), ("raw", "bafkrei", 59)):
        cid = str(Cid(codec, keccak(b"any")))  # type: ignore[arg-type]
        assert cid.startswith(start)
        assert len(cid) == length
        assert f"{length} letters, begins with `{start}`" in told


def test_the_derivations_are_those_of_the_code() -> None:
    """The personalisation strings of crypto/derivation.py, all of them."""
    code = (SOURCE / "crypto" / "derivation.py").read_text("utf-8")
    strings = set(re.findall(r'b"(dam\.[a-z-]+)"', code))
    assert len(strings) == 6
    told = {row[2].strip("`") for row in table_after(text_of("docs/protocol.md"), "### 3.5")}
    assert told == strings


def test_the_vectors_named_are_those_in_the_file() -> None:
    """docs/protocol.md, section 10, names each list of the vectors."""
    import json

    vectors = json.loads(text_of("tests/vectors/vectors.json"))
    section = text_of("docs/protocol.md").split("## 10. Test vectors")[1]
    assert [name for name in vectors if name != "about" and f"`{name}`" not in section] == []


def test_decisions_are_short_and_listed() -> None:
    """One per file, with status and date, under 40 lines, numbered without gaps, in the index."""
    files = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in files] == list(range(1, len(files) + 1))
    index = text_of("docs/decisions/README.md")
    for path in files:
        text = path.read_text("utf-8")
        assert len(text.splitlines()) < 40, path.name
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        told = re.match(r"#.*\n\nStatus: (.+), \d{4}-\d\d-\d\d\.\n\n", text)
        assert told, path.name
        assert re.fullmatch(r"accepted|superseded by \[\d+\]\(\d{4}-[\w-]+\.md\)", told[1])
        [row] = [line for line in index.splitlines() if f"({path.name})" in line]
        assert row.endswith(f"| {told[1].split(' [')[0]} |")


def spoken_commands() -> list[tuple[str, list[str]]]:
    """Every ``dam ...`` in backticks or in a shell fence: document and words."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        fences = re.findall(r"^```(?:sh|console|bash)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        spans = re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))
        lines = "\n".join([*fences, *spans]).replace("\\\n", " ").splitlines()
        for line in lines:
            words = line.removeprefix("$ ").split("#")[0].split()
            if words[:1] == ["dam"] and len(words) > 1:
                found.append((document.name, words[1:]))
    return found


def test_every_command_that_is_spoken_of_exists() -> None:
    """The commands of all documents, with their options, are those of ``dam``."""
    from dam.cli.main import main

    commands = spoken_commands()
    assert len(commands) > 20
    for where, words in commands:
        command: click.Command | None = main
        context = click.Context(main)
        rest = list(words)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            command = command.get_command(context, rest.pop(0))
        assert command is not None, f"{where}: dam {' '.join(words)}"
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        known |= {"--help", "--version", "-h"}
        for word in rest:
            if re.match(r"--?[a-z]", word):
                assert word.split("=")[0] in known, f"{where}: dam {' '.join(words)}"


def test_the_reference_is_made_from_the_code() -> None:
    """Each page of docs/reference is what tools/reference.py writes."""
    makers = tool("reference").MAKERS
    pages = {path.name for path in (ROOT / "docs" / "reference").glob("*.md")}
    assert pages == set(makers)
    for name, make in makers.items():
        assert text_of(f"docs/reference/{name}") == make(), f"`make reference` renews {name}"


def test_the_costs_of_a_sale_are_computed() -> None:
    """The tables of docs/cost.md are what tools/cost_page.py makes of the measured gas."""
    fresh = tool("cost_page").page()
    assert text_of("docs/cost.md") == fresh, "`tools/cost_page.py --write` renews it"


def test_the_drawing_of_a_sale_is_the_scripts() -> None:
    """The committed picture is what tools/sequence.py draws."""
    assert text_of("docs/assets/sale.svg") == tool("sequence").draw()


def test_the_example_of_a_store_file_can_be_read(tmp_path: Path) -> None:
    """What docs/reference/store-file.md and the tutorial show as one is one."""
    from dam.roles.seller.store_file import read_store_file

    for page in ("docs/reference/store-file.md", "docs/tutorials/seller.md"):
        found = re.search(
            r"^\[store\]\n.*?(?=^TOML$|^```$)", text_of(page), re.MULTILINE | re.DOTALL
        )
        assert found, page
        (tmp_path / "store.toml").write_text(found[0].replace("0x...", "0x" + "11" * 20), "utf-8")
        (tmp_path / "codes.txt").write_text("A-1\nA-2\n", "utf-8")
        for name in ("handbook.pdf", "poster.png"):
            (tmp_path / name).write_bytes(b"any")
        tokens = Tokens({Address("0x" + "11" * 20): Token(Address("0x" + "11" * 20), "T", 2)})
        assert read_store_file(tmp_path / "store.toml", tokens=tokens).name == "Ada's codes"


def rooms() -> list[str]:
    """The packages and modules of src/dam that bear a name of their own."""
    found = [path.parent.name for path in SOURCE.glob("*/__init__.py")]
    found += [path.stem for path in SOURCE.glob("*.py") if not path.stem.startswith("__")]
    assert len(found) > 15
    return sorted(found)


def test_every_room_stands_on_the_page_of_architecture() -> None:
    """With what it is for; and no room that is not there."""
    rows = table_after(text_of("docs/architecture.md"), "## The rooms")
    told = [name for row in rows for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(told) == rooms()
    assert all(len(row) == 3 and row[1] and row[2] for row in rows)


def test_every_module_that_architecture_names_is_there() -> None:
    """``room.module`` in backticks anywhere, and modules in brackets in the row of their room."""
    text = text_of("docs/architecture.md")
    names = set(re.findall(rf"`((?:{'|'.join(rooms())})(?:\.\w+)+)`", text))
    for room, *cells in table_after(text, "## The rooms"):
        for listed in re.findall(r"\((`[^)]+`)[^)]*\)", " ".join(cells)):
            names |= {f"{room.strip('`')}.{one}" for one in re.findall(r"`([a-z_]+)`", listed)}
    assert len(names) > 30
    for name in sorted(names):
        path = SOURCE.joinpath(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").exists(), name


def test_a_site_that_loads_from_elsewhere_is_noticed(tmp_path: Path) -> None:
    """Each way in which a page could fetch from another host, and links that lead nowhere."""
    faults_of = tool("site_check").faults_of
    good = '<a href="https://example.org">out</a> <a href="#here">in</a> <p id="here">'
    for number, bad in enumerate(
        (
            '<script src="https://cdn.example/x.js"></script>',
            '<script src="//cdn.example/x.js"></script>',
            '<link rel="stylesheet" href="https://cdn.example/x.css">',
            '<link rel="preconnect" href="https://cdn.example">',
            '<img srcset="https://cdn.example/x.png 2x">',
            '<iframe src="https://cdn.example/"></iframe>',
            '<p style="background: url(https://cdn.example/x.png)">',
            '<style>@import "https://cdn.example/x.css";</style>',
            '<script>fetch("https://cdn.example/x")</script>',
            '<script>import("//cdn.example/x.js")</script>',
            '<a href="missing.html">nowhere</a>',
            '<a href="#missing">nowhere</a>',
            '<img src="missing.png">',
        )
    ):
        site = tmp_path / str(number)
        site.mkdir()
        (site / "index.html").write_text(good, "utf-8")
        assert faults_of(site) == []
        (site / "index.html").write_text(good + bad, "utf-8")
        assert len(faults_of(site)) == 1, bad
    for name, text in (
        ("x.css", "@font-face { src: url(https://fonts.example/x.woff2) }"),
        ("x.js", "const u = `https://${host}/x`; fetch(u)"),
        ("x.svg", '<svg><image href="https://cdn.example/x.png"/></svg>'),
    ):
        site = tmp_path / name.replace(".", "-")
        site.mkdir()
        (site / name).write_text(text, "utf-8")
        assert len(faults_of(site)) == 1, name
