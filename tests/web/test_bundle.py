"""The page as it is built, and as it ships."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "web" / "src").rglob("*.ts"))
FIRST_LOAD_BYTES = 60_000
SCREEN_BYTES = 100_000
"""Of script and style, compressed."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "static"
    command = ["node", "web/build.mjs", "--out", folder]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    return folder


def test_the_page_is_built_again_to_the_byte(built: Path) -> None:
    sys.path.append(str(ROOT / "tools"))
    from hatch_build import sums

    kept = (ROOT / "web" / "dist.sha256").read_text("utf-8")
    assert sums(built) == kept, "run `make page` and commit web/dist.sha256"


def loaded(built: Path, name: str) -> set[str]:
    """A script, and what it loads at once."""
    found: set[str] = set()
    left = [name]
    while left:
        script = left.pop()
        found.add(script)
        named = re.findall(r'(?:from|import)"\./([^"]+)"', (built / script).read_text("utf-8"))
        left += set(named) - found
    return found


def test_the_first_load_is_small_and_so_is_each_screen(built: Path) -> None:
    first = loaded(built, "app.js")
    assert len(first) > 1
    shell = {"index.html", "app.css"} | first
    screens = [path.name for path in built.glob("*.js") if not path.name.startswith("chunk-")]
    sizes = {path.name: len(gzip.compress(path.read_bytes(), 9)) for path in built.iterdir()}
    assert sum(sizes[name] for name in shell) <= FIRST_LOAD_BYTES
    for screen in screens:
        size = sum(sizes[name] for name in shell | loaded(built, screen))
        assert size <= SCREEN_BYTES, screen


def test_the_page_names_no_other_host(built: Path) -> None:
    """Names of XML and of specifications, which nobody asks for, stand in lit and the icon."""
    known = {"http://www.w3.org"}
    found = {
        match
        for path in built.iterdir()
        for match in re.findall(r"(?:https?|wss?)://[\w.-]+", path.read_text("utf-8"))
    }
    assert found <= known


def test_markup_is_never_made_of_text() -> None:
    assert SOURCES
    words = ("unsafeHTML", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write",
             "unsafeSVG", "unsafeStatic", "eval(", "new Function", "srcdoc")  # fmt: skip
    found = [
        f"{path.name}: {word}"
        for path in SOURCES
        for word in words
        if word in path.read_text("utf-8")
    ]
    assert found == []


def test_wheel_and_sdist_hold_the_page(built: Path, tmp_path: Path) -> None:
    """From a copy of the sources, in which the page is built; one without it is refused."""
    static = ROOT / "src" / "dam" / "web" / "static"
    assert (static / "index.html").exists(), "run `make setup`"
    command = [sys.executable, "-m", "hatchling", "build", "-d", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=300)
    [wheel], [sdist] = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    names = {path.name for path in built.iterdir()}
    with zipfile.ZipFile(wheel) as archive:
        held = {n.split("/")[-1] for n in archive.namelist() if n.startswith("dam/web/static/")}
    assert held == names
    with tarfile.open(sdist) as tar:
        held = {n.split("/")[-1] for n in tar.getnames() if "/src/dam/web/static/" in n}
        assert any(n.endswith("/web/build.mjs") for n in tar.getnames())
        assert not [n for n in tar.getnames() if "node_modules" in n]
    assert held == names
