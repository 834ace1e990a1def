"""`make demo`: real sales on a local chain, with every part a process of its own. See demo/."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo.main import main

if __name__ == "__main__":
    sys.exit(main())
