"""Searching: what is found, in which order, and that nothing in a person's words is an operator."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dam.catalog.about import NOTHING, About
from dam.catalog.store import Item
from dam.crypto.hashing import keccak
from dam.index import index as indexing
from dam.index import search as searching
from dam.index import store_rows
from dam.index.index import Index
from dam.index.search import PAGE_HITS, STORE_HITS, Query, match_of, search
from dam.types import Address, Status
from tests.unit.helpers import index_chain as made
from tests.unit.helpers.index_chain import IndexChain, who

TOKEN = who(0x70)


class Shops:
    """Stores of a made-up market, by what their documents say."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.chain: Any = IndexChain()
        self.index = Index(folder, made.DEPLOYMENT, pytest.fail)
        self.documents: dict[bytes, Any] = {}

        async def read_store(_: object, digest: bytes, **__: object) -> Any:
            return self.documents[digest]

        patch.setattr(indexing, "read_store", read_store)

    def open(
        self,
        seller: Address,
        *titles: str,
        name: str = "Shop",
        withdrawn: tuple[range, ...] = (),
        about: About = NOTHING,
        **terms: Any,
    ) -> None:
        items = tuple(
            Item(
                f"i{number}",
                title,
                made.terms(b"%d" % number, **terms),
                about=about,
                withdrawn=withdrawn,
            )
            for number, title in enumerate(titles)
        )
        digest = keccak(repr((seller, titles, withdrawn, terms)).encode())
        self.documents[digest] = SimpleNamespace(name=name, items=items)
        self.chain.stakes.setdefault(seller, 10**18)
        self.chain.mine(made.version(seller, digest))

    async def find(self, text: str = "", page: int | None = None, **query: Any) -> list[str]:
        return [hit.title for hit in (await self.search(text, page, **query)).hits]

    async def search(self, text: str = "", page: int | None = None, **query: Any) -> Any:
        await self.index.sync(self.chain)
        await self.index.read_documents(object(), seconds=60)  # type: ignore[arg-type]
        return search(self.index.db, Query(text, **query), page)


@pytest.fixture
def shops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shops]:
    opened = Shops(tmp_path, monkeypatch)
    yield opened
    opened.index.close()


async def test_words(shops: Shops) -> None:
    shops.open(who(1), "The Blue Whale", "blue-green algae", "Crème brûlée", name="Seaside")
    shops.open(who(2), "東京タワーの写真", "Fotos de São Paulo", "a b c")
    assert set(await shops.find("blue")) == {"The Blue Whale", "blue-green algae"}
    assert await shops.find("blue whale") == ["The Blue Whale"]
    assert await shops.find("WHALE blu") == ["The Blue Whale"]
    assert await shops.find("wh") == []  # two letters are a word, and no beginning
    assert await shops.find("creme brulee") == ["Crème brûlée"]
    assert await shops.find("cre\u0300me") == ["Crème brûlée"]
    assert len(await shops.find("seaside")) == 3
    assert await shops.find("東京") == ["東京タワーの写真"]
    assert await shops.find("写真") == ["東京タワーの写真"]
    assert await shops.find("京東") == []
    assert await shops.find("東 写") == ["東京タワーの写真"]
    assert await shops.find("sao") == ["Fotos de São Paulo"]
    assert len(await shops.find("  ")) == 6
    assert await shops.find("--- !!") == []


async def test_summaries_and_tags(shops: Shops) -> None:
    said = About(summary="Ein kurzer Film", tags=("ocean life", "4k"), description="secret word")
    shops.open(who(1), "Whales", about=said)
    shops.open(who(2), "Sharks")
    for text in ("kurzer", "ocean", "4k", "whales film life"):
        assert await shops.find(text) == ["Whales"]
    assert await shops.find("secret") == []  # descriptions are in no page
    [hit] = (await shops.search("ocean")).hits
    assert (hit.summary, hit.tags) == (said.summary, said.tags)


@pytest.mark.parametrize(
    "text",
    ["blue OR algae", "NOT blue", 'blue" OR "x', "body:blue", "blue*", "^blue", "NEAR(a b)",
     "-blue", "blue AND whale", '"', "*", "(", "\0blue", "{body}: blue", "a" * 500,
     "blue\u2028whale"],
)  # fmt: skip
async def test_nothing_in_the_words_is_an_operator(shops: Shops, text: str) -> None:
    shops.open(who(1), "The Blue Whale", "green algae")
    found = await shops.find(text)
    assert "green algae" not in found


async def test_any_text_can_be_looked_for(shops: Shops) -> None:
    shops.open(who(1), "The Blue Whale")
    await shops.find()
    dice = random.Random(5)
    alphabet = "ab\"*^:(){}+-~\\'NEAR OR AND NOT 東ぁ가é\u0301\ud7a3\0\n\t,.;\U0001f600"
    for _ in range(3000):
        text = "".join(dice.choice(alphabet) for _ in range(dice.randrange(12)))
        search(shops.index.db, Query(text))
    for point in range(0x20, 0x3000):
        search(shops.index.db, Query(chr(point)))
    assert len(match_of("x " * 300).split()) <= 16


async def test_prices_and_tokens(shops: Shops) -> None:
    shops.open(who(1), "dear", price=10**30)
    shops.open(who(2), "cheap", price=9)
    shops.open(who(3), "middle", price=10**9)
    shops.open(who(4), "token", price=1, token=TOKEN)
    assert await shops.find(sort="price") == ["cheap", "middle", "dear", "token"]
    assert await shops.find(max_price=10**9, sort="price") == ["cheap", "middle"]
    assert await shops.find(token=TOKEN) == ["token"]
    assert await shops.find(token=TOKEN, max_price=0) == []
    assert await shops.find("cheap", max_price=8) == []
    assert await shops.find(seller=who(3)) == ["middle"]
    assert await shops.find(seller=who(9)) == []


async def test_withdrawn_copies_are_not_free_whether_sold_before_or_not(shops: Shops) -> None:
    shops.open(who(1), "codes", withdrawn=(range(1, 3), range(4, 5)))
    supply = made.terms(b"0").supply
    [hit] = (await shops.search()).hits
    assert (hit.taken, hit.withdrawn, hit.free) == (0, 3, supply - 3)
    shops.chain.mine(made.bought(who(1), 1, made.terms(b"0")))
    shops.chain.mine(made.bought(who(1), 3, made.terms(b"0")))
    [hit] = (await shops.search()).hits
    assert (hit.taken, hit.withdrawn, hit.free) == (2, 2, supply - 4)


async def test_new_and_rated_and_backed(shops: Shops) -> None:
    for number, title in enumerate(("old", "newer", "newest"), 1):
        shops.open(who(number), title)
    shops.chain.stakes[who(3)] = 1  # below the reserve of 180
    sale = made.bought(who(2), 1, made.terms(b"0"))
    logs = [made.part(sale, i, who(0xD0)) for i in range(3)]
    shops.chain.mine(sale, *logs, made.closed(sale, Status.SETTLED), made.rated(sale, 5))
    shops.chain.mine(made.other("SellerStaked", seller=who(3), amount=1, free=1))
    assert await shops.find(sort="new") == ["newer", "old", "newest"]
    assert await shops.find(sort="rating") == ["newer", "old", "newest"]
    found = await shops.search(sort="new")
    assert [(hit.backed, hit.taken, hit.free) for hit in found.hits] == [
        (True, 1, 9), (True, 0, 10), (False, 0, 10),
    ]  # fmt: skip
    assert found.hits[0].store.record.rating.tenths == 50
    # An update makes nothing new, and stake brings an item back.
    shops.open(who(1), "old", "added")
    shops.chain.stakes[who(3)] = 10**18
    shops.chain.mine(made.other("SellerStaked", seller=who(3), amount=1, free=2))
    assert await shops.find(sort="new") == ["added", "newest", "newer", "old"]


async def test_a_store_of_many_items_does_not_fill_the_pages(shops: Shops) -> None:
    shops.open(who(1), *(f"spam {i}" for i in range(300)))
    for number in range(2, 12):
        shops.open(who(number), *(f"honest {number} {i}" for i in range(3)))
    for sort in ("best", "price", "new"):
        first = await shops.find(page=1, sort=sort)
        assert len(first) == PAGE_HITS
        assert sum(title.startswith("spam") for title in first) <= STORE_HITS
    pages = [await shops.find(page=number) for number in range(1, 19)]
    shown = [title for page in pages for title in page]
    assert len(shown) == len(set(shown)) == 330
    assert pages[-1] == []
    assert sorted(await shops.find()) == sorted(shown)


async def test_the_best_candidates_are_looked_at(
    shops: Shops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MAX_CANDIDATES", 12)
    shops.open(who(1), *(f"thing spam {i}" for i in range(100)))
    shops.open(who(2), "thing one", "thing two", "thing three")
    shops.open(who(3), "thing without stake")
    shops.chain.stakes[who(3)] = 0
    found = await shops.search("thing")
    titles = [hit.title for hit in found.hits]
    assert found.candidates == 12
    assert {"thing one", "thing two", "thing three"} <= set(titles)
    assert "thing without stake" not in titles


async def test_budgets_of_a_store(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_rows, "MAX_ITEMS", 5)
    shops.open(who(1), *(f"thing {i}" for i in range(9)))
    assert len(await shops.find()) == 5
    monkeypatch.setattr(store_rows, "MAX_TEXT_BYTES", 100)
    shops.open(who(2), *("x" * 20 for _ in range(9)))
    assert (await shops.find(seller=who(2))) == ["x" * 20]
    hidden = shops.index.db.execute("SELECT sum(hidden) FROM stores").fetchone()
    assert hidden == (4 + 8,)


async def test_a_new_version_takes_the_old_items_away(shops: Shops) -> None:
    shops.open(who(1), "before", "both")
    assert set(await shops.find()) == {"before", "both"}
    shops.open(who(1), "after", "both")
    assert set(await shops.find()) == {"after", "both"}
    assert await shops.find("before") == []
    shops.chain.mine(made.version(who(1), bytes(32), bytes(32)))
    assert await shops.find() == []
    shops.chain.reorganise(1)
    shops.chain.mine()
    assert set(await shops.find("both")) == {"both"}


async def test_a_grade_that_changes_moves_the_words_along(shops: Shops) -> None:
    shops.open(who(1), "thing one", commission=10**18, price=10**19)
    shops.open(who(2), "thing two")
    shops.chain.stakes[who(1)] = 10**20
    assert set(await shops.find("thing")) == {"thing one", "thing two"}
    terms = made.terms(b"0", commission=10**18, price=10**19)
    for copy in range(3):
        sale = made.bought(who(2), copy, terms)
        parts = [made.part(sale, i, who(0xD0)) for i in range(3)]
        shops.chain.mine(sale, *parts, made.closed(sale, Status.SETTLED), made.rated(sale, 5))
    assert await shops.find("thing") == ["thing two", "thing one"]
    # As many of the words as of the items, each in its place.
    ranks = shops.index.db.execute("SELECT rank FROM items ORDER BY rank").fetchall()
    assert shops.index.db.execute("SELECT rowid FROM words ORDER BY rowid").fetchall() == ranks
