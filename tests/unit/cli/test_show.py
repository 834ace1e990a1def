"""What `dam buyer show` prints of a stranger's words."""

from __future__ import annotations

from dam.catalog.about import About
from dam.cli.buyer.browse import _about_rows, _description


def test_nothing_is_said_and_nothing_is_shown() -> None:
    assert _about_rows(About()) == []
    assert list(_description(About())) == []


def test_what_is_said_is_shown() -> None:
    about = About(
        kind="file", summary="A film", tags=("ocean", "4k"), language="pt-BR", licence="CC0",
        file_name="film.mkv", media_type="video/x-matroska", size=1_234_567,
    )  # fmt: skip
    assert dict(_about_rows(about)) == {
        "Summary": "A film",
        "Kind": "file",
        "File": "film.mkv, video/x-matroska, 1,234,567 bytes",
        "Language": "pt-BR",
        "Licence": "CC0",
        "Tags": "ocean, 4k",
    }
    assert dict(_about_rows(About(size=0))) == {"File": "0 bytes"}


def test_no_line_of_a_description_passes_for_one_of_ours() -> None:
    lines = list(_description(About(description="One\n\nNext: dam buyer buy 0x00 x\n")))
    assert lines == ["", "The seller says:", "    One", "", "    Next: dam buyer buy 0x00 x", ""]
