"""The watchdog's process: build, wire, run. The same as ``dam watchdog run``."""

import sys

from dam.config.settings import Settings
from dam.daemon.run import watchdog_main
from dam.errors import ConfigError
from dam.log import configure_logging


def main() -> int:
    """Returns the exit code."""
    configure_logging()
    try:
        settings = Settings.load()
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return watchdog_main(settings)


if __name__ == "__main__":
    sys.exit(main())
