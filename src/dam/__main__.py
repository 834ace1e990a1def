"""``python -m dam``: the command line."""

from dam.cli.main import main

if __name__ == "__main__":
    main(prog_name="dam")
