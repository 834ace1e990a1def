"""What is deployed and tested is what the sources say, and is compiled once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts._contracts import load_fresh


class Project:
    """What `load_fresh` knows of Ape's: it compiles into a manifest, or reads that."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest_path = path / ".build" / "__local__.json"
        self.compiled = 0
        self.read = 0
        self.broken = False

    def load_contracts(self, *, use_cache: bool) -> None:
        assert not use_cache
        if self.broken:
            raise ValueError("does not compile")
        self.compiled += 1
        self.manifest_path.write_text("{}")

    def load_manifest(self) -> None:
        self.read += 1


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name in ("ape-config.yaml", "package-lock.json", "contracts/A.sol", "contracts/lib/B.sol"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return Project(tmp_path)


def test_the_second_one_takes_what_the_first_compiled(project: Project) -> None:
    load_fresh(project)
    other = Project(project.path)
    load_fresh(other)
    assert (project.compiled, project.read) == (1, 0)
    assert (other.compiled, other.read) == (0, 1)


@pytest.mark.parametrize(
    "name", ["contracts/lib/B.sol", "ape-config.yaml", "package-lock.json", "contracts/New.sol"]
)
def test_whatever_goes_into_it_compiles_it_anew(project: Project, name: str) -> None:
    load_fresh(project)
    (project.path / name).write_text("changed")
    load_fresh(project)
    assert project.compiled == 2


def test_a_lost_manifest_is_made_again(project: Project) -> None:
    load_fresh(project)
    project.manifest_path.unlink()
    load_fresh(project)
    assert project.compiled == 2


def test_a_manifest_that_another_command_rewrote_is_made_again(project: Project) -> None:
    """A branch was tried and compiled, and left again: the sources are those of before."""
    load_fresh(project)
    project.manifest_path.write_text('{"of": "another branch"}')
    load_fresh(project)
    assert project.compiled == 2


def test_what_did_not_compile_is_not_taken_for_compiled(project: Project) -> None:
    load_fresh(project)
    source = project.path / "contracts" / "A.sol"
    before = source.read_text()
    source.write_text("changed")
    project.broken = True
    with pytest.raises(ValueError, match="does not compile"):
        load_fresh(project)
    source.write_text(before)
    project.broken = False
    load_fresh(project)
    assert project.compiled == 2
