"""The modules of this folder find each other, whatever started pytest."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
