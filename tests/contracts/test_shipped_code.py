"""What ships with the package is what Ape compiles: see test_shipped_code.tree."""

from dam.market.code import shipped_build
from scripts._contracts import load_fresh


def test_every_contract_is_apes_to_the_byte(project):
    load_fresh(project)
    for name, code in shipped_build().contracts.items():
        made = project.get_contract(name).contract_type.deployment_bytecode.bytecode
        assert bytes.fromhex(made.removeprefix("0x")) == code.creation, name
