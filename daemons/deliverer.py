"""The deliverer's process: build, wire, run. The same as ``dam deliverer run``."""

import sys

from dam import logs
from dam.config import Settings
from dam.errors import ConfigError
from dam.wiring import deliverer


def main() -> int:
    """Returns the exit code."""
    logs.configure()
    try:
        settings = Settings.load()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return deliverer(settings)


if __name__ == "__main__":
    sys.exit(main())
