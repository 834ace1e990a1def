"""The soak: three deliverers, a watchdog, Kubo and Anvil for an hour, under random faults.

``tools/soak.py`` runs it; `world` starts everything, `buyer` and `publisher` trade, `injectors` and
`scheduler` inject faults, `gauges` measure, `checker` reads the chain by itself, `report` tells.
"""

import sys
from pathlib import Path
from types import ModuleType

# Some libraries install a package "tests" of their own, which would be found before our folder.
if "tests" not in sys.modules:
    _tests = ModuleType("tests")
    _tests.__path__ = [str(Path(__file__).resolve().parents[1] / "tests")]
    sys.modules["tests"] = _tests
