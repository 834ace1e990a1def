"""docs/roles.md says who may call what, when: it must be what the contract answers."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "role_table.py"


def test_the_page_is_what_the_contract_answers() -> None:
    spec = importlib.util.spec_from_file_location("role_table", SCRIPT)
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.fresh() == script.committed(), "run tools/role_table.py --write"
