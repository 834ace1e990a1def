"""Writes tests/vectors/chain.json: golden vectors of what chain, files and streams share.

Usage: python tools/make_chain_vectors.py [path]

As make_vectors.py, whose file has the hashes and boxes. tests/unit/test_chain_vectors.py computes
each value by other means.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from abi_vectors import calls, events, refused_logs, reverts
from file_vectors import (
    amounts,
    big_streams,
    junk_fragments,
    key_files,
    purchase_records,
    refused_amounts,
    refused_files,
    refused_payloads,
    refused_sharings,
    refused_streams,
    sharings,
    skipped_secrets,
)
from sale_vectors import clocks, marks, whole_purchase, words
from store_vectors import documents
from vector_inputs import plain

TARGET = Path(__file__).resolve().parents[1] / "tests" / "vectors" / "chain.json"


def build() -> bytes:
    """The file's bytes."""
    vectors: dict[str, Any] = {
        "about": "Golden vectors of the DAM protocol, version 2: calls, logs, refusals, sales, "
        "files, streams. Conventions as in vectors.json; see README.md. Written by "
        "tools/make_chain_vectors.py.",
        "call": calls(),
        "event": events(),
        "refused_log": refused_logs(),
        "revert": reverts(),
        "sale_word": words(),
        "marks_word": marks(),
        "clocks": clocks(),
        "whole_purchase": [whole_purchase()],
        "interpolation": sharings(),
        "refused_interpolation": refused_sharings(),
        "skipped_secret": skipped_secrets(),
        "junk_fragment": junk_fragments(),
        "big_stream": big_streams(),
        "refused_stream": refused_streams(),
        "refused_payload": refused_payloads(),
        "key_file": key_files(),
        "purchase_record": purchase_records(),
        "refused_file": refused_files(),
        "document": documents(),
        "amount": amounts(),
        "refused_amount": refused_amounts(),
    }
    return json.dumps(plain(vectors), indent=1, ensure_ascii=False).encode() + b"\n"


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.write_bytes(build())
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
