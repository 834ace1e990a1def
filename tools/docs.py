"""Builds the documentation site into .build/site, and checks it.

    tools/docs.py

The pages of docs/ and the documents at the root are laid out in .build/docs, beside pages for the
API and for each file of the checkout that a page links to. mkdocs builds them in strict mode. What
it built is read once more: each link must lead to a file and an anchor of the site, and nothing may
be loaded from another host.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

from reference import commands_page
from site_check import faults_of

ROOT = Path(__file__).resolve().parent.parent
STAGE = ROOT / ".build" / "docs"
SITE = ROOT / ".build" / "site"
MKDOCS = ROOT / ".tools" / "docs" / "bin" / "mkdocs"
PACKAGE = ROOT / "src" / "dam"

# mkdocs takes a README for the index of its folder, so the one at the root has another name.
AT_ROOT = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
LEXERS = {".sol": "solidity", ".py": "python", ".json": "json", ".toml": "toml"}
_LINK = re.compile(r"(\[[^\]]*\]\()([^)\s]+)(\))")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)

# What the theme's scripts name, for pages that we do not have (diagrams, a link to a repository),
# for browsers older than all that the theme supports, in a warning: no address is left of it.
FETCHED = ("https://unpkg.com/", "https://bit.ly/", "https://api.github.com/", "https://${e}/api/")
NOWHERE = "data:,"
# Languages of the search other than English.
UNUSED = "assets/javascripts/lunr"


# --- laying the pages out ---------------------------------------------------------------------


class Stage:
    """The folder that mkdocs reads, with links rewritten to it."""

    def __init__(self) -> None:
        shutil.rmtree(STAGE, ignore_errors=True)
        shutil.copytree(ROOT / "docs", STAGE)
        for name, page in AT_ROOT.items():
            shutil.copy(ROOT / name, STAGE / page)
        self._sources: set[Path] = set()

    def rewrite(self) -> None:
        """Turns links to files of the checkout into links to pages of the site."""
        pages = {ROOT / name: STAGE / page for name, page in AT_ROOT.items()}
        pages |= {p: STAGE / p.relative_to(ROOT / "docs") for p in (ROOT / "docs").rglob("*.md")}
        for written, page in pages.items():
            parts = _FENCE.split(written.read_text("utf-8"))
            for i in range(0, len(parts), 2):
                parts[i] = _LINK.sub(
                    lambda m, written=written, page=page: (
                        m[1] + self._moved(m[2], written, page) + m[3]
                    ),
                    parts[i],
                )
            page.write_text("".join(parts), "utf-8")

    def _moved(self, link: str, written: Path, page: Path) -> str:
        if re.match(r"[a-z]+:|#", link):
            return link
        path, mark, anchor = link.partition("#")
        target = (written.parent / path).resolve()
        if target.is_dir():
            target /= "README.md"
        if target.is_relative_to(ROOT / "docs"):
            place = STAGE / target.relative_to(ROOT / "docs")
        elif str(target.relative_to(ROOT)) in AT_ROOT:
            place = STAGE / AT_ROOT[str(target.relative_to(ROOT))]
        else:
            place = self._source(target)
        return os.path.relpath(place, page.parent) + mark + anchor

    def _source(self, file: Path) -> Path:
        """A page that shows a file of the checkout."""
        name = file.relative_to(ROOT)
        page = STAGE / "source" / f"{name}.md"
        if file not in self._sources:
            self._sources.add(file)
            page.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_text("utf-8")
            page.write_text(
                f"---\nsearch:\n  exclude: true\nhide: [toc]\n---\n\n# {name}\n\n"
                f"````{LEXERS.get(file.suffix, 'text')}\n{text.rstrip()}\n````\n",
                "utf-8",
            )
        return page


def write_api_pages() -> None:
    """One page for each package of src/dam, and one for the modules beside them."""
    folder = STAGE / "reference" / "api"
    folder.mkdir(parents=True)
    packages = sorted(
        path for path in PACKAGE.iterdir() if (path / "__init__.py").exists() and path.name != "cli"
    )
    index = [
        "# API\n",
        "Made from the docstrings. What each package is for, and which imports which, is in",
        "[the architecture](../../architecture.md). The command line (`dam.cli`) is left out:",
        "[its commands](../commands.md) have a page of their own.\n",
        "- [dam](dam.md): the modules that every package may import",
    ]
    ground = [p for p in sorted(PACKAGE.glob("*.py")) if not p.stem.startswith("__")]
    write_api_page(folder / "dam.md", "dam", ground)
    for package in packages:
        modules = sorted(p for p in package.rglob("*.py") if p.stat().st_size)
        write_api_page(folder / f"{package.name}.md", f"dam.{package.name}", modules)
        index.append(f"- [dam.{package.name}]({package.name}.md)")
    (folder / "index.md").write_text("\n".join(index) + "\n", "utf-8")


def write_api_page(page: Path, title: str, modules: list[Path]) -> None:
    text = f"# {title}\n"
    for module in modules:
        name = PurePosixPath(module.relative_to(PACKAGE.parent)).with_suffix("")
        dotted = str(name).replace("/", ".").removesuffix(".__init__")
        text += f"\n::: {dotted}\n"
    page.write_text(text, "utf-8")


def write_nav() -> Path:
    """mkdocs.yml with folders spelled out: mkdocs itself knows files alone."""
    lines = []
    for line in (ROOT / "mkdocs.yml").read_text("utf-8").splitlines():
        folder = re.fullmatch(r"( +)- (\w+): ([\w/]+)/", line)
        if not folder:
            lines.append(line)
            continue
        indent, title, path = folder.groups()
        lines.append(f"{indent}- {title}:")
        pages = sorted((STAGE / path).glob("*.md"), key=lambda p: (p.stem not in HEADS, p.stem))
        lines += [f"{indent}    - {page.relative_to(STAGE)}" for page in pages]
    written = ROOT / ".build" / "mkdocs.yml"
    text = "\n".join(lines).replace(".build/docs", "docs").replace(".build/site", "site")
    written.write_text(text.replace("paths: [src]", "paths: [../src]") + "\n", "utf-8")
    return written


HEADS = {"README", "index", "dam"}


# --- building and checking --------------------------------------------------------------------


def build(config: Path) -> None:
    """Runs mkdocs in strict mode.

    Raises:
        SystemExit: At any warning, which is shown.
    """
    # Not --quiet: mkdocs then does not count its warnings.
    done = subprocess.run(
        [MKDOCS, "build", "--strict", "--clean", "--config-file", config],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        print("\n".join(line for line in lines if not line.startswith("INFO")), file=sys.stderr)
        raise SystemExit(done.returncode)


def unload() -> None:
    """Takes out of the theme what it could fetch from elsewhere, and what we do not use."""
    shutil.rmtree(SITE / UNUSED)
    for source_map in SITE.rglob("*.map"):
        source_map.unlink()
    for script in SITE.rglob("*.js"):
        text = script.read_text("utf-8")
        for address in FETCHED:
            text = text.replace(address, address.replace("https://", NOWHERE))
        script.write_text(text, "utf-8")


def main() -> int:
    stage = Stage()
    stage.rewrite()
    write_api_pages()
    (STAGE / "reference" / "commands.md").write_text(commands_page(), "utf-8")
    build(write_nav())
    unload()
    faults = faults_of(SITE)
    for fault in faults:
        print(fault)
    pages = len(list(SITE.rglob("*.html")))
    print(f"{pages} pages in {SITE.relative_to(ROOT)}, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
