"""The project's own tools as modules: they are scripts, and no package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

_TOOLS = Path(__file__).resolve().parents[3] / "tools"


def tool(name: str) -> ModuleType:
    """``tools/NAME.py``, imported anew."""
    spec = importlib.util.spec_from_file_location(name, _TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
