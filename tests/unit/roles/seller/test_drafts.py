"""Options of the command line, and which items they touch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dam.ethereum.erc20 import Tokens
from dam.roles.seller.drafted import ItemDraft
from dam.roles.seller.drafts import read_draft
from dam.roles.seller.store_file import Faults

STORE = """[store]
name = "s"
[[items]]
id = "a"
price = 1000
text = "one"
[[items]]
id = "b"
price = 2000
text = "two"
"""


def read(path: Path, *assign: str, **options: Any) -> dict[str, ItemDraft]:
    draft = read_draft(path, overrides=options, tokens=Tokens(), name="s", assign=assign)
    return {item.name: item for item in draft.items}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store.toml"
    path.write_text(STORE)
    return path


def test_options_without_assign_are_for_every_item_that_does_not_say(store: Path) -> None:
    items = read(store, parts=5, commission="7%")
    assert {(i.parts, i.commission * 100 // i.price) for i in items.values()} == {(5, 7)}
    assert "parts" in items["a"].said
    assert "parts" not in read(store)["a"].said


def test_options_of_assign_touch_that_item_alone(store: Path, make: Any) -> None:
    plain = read(store)
    names = [make.person(n) for n in range(1, 6)]
    items = read(store, "a", parts=5, threshold=4, deliverers=names, commission="7%", penalty="9")
    assert items["b"] == plain["b"]
    one = items["a"]
    assert (one.parts, one.threshold, one.deliverers) == (5, 4, tuple(names))
    assert (one.commission, one.penalty) == (70, 9)
    both = read(store, "a", "b", parts=4)
    assert [item.parts for item in both.values()] == [4, 4]


def test_the_terms_of_a_folder_stay_those_of_all_its_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    items = read(tmp_path, "a", price="1000", commission="7%", parts=5)
    assert [(i.price, i.commission) for i in items.values()] == [(1000, 70), (1000, 70)]
    assert [i.parts for i in items.values()] == [5, 3]


@pytest.mark.parametrize("place", ["item", "defaults"])
def test_an_option_that_the_file_would_undo_is_refused(store: Path, place: str) -> None:
    if place == "item":
        store.write_text(STORE + "parts = 3\n")
    else:
        store.write_text("[defaults]\nparts = 3\n" + STORE)
    with pytest.raises(Faults, match="item 'b': the file says parts for it: write there"):
        read(store, "b", parts=5)
    assert read(store, "b", threshold=3)["b"].threshold == 3
