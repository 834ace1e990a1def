"""The subcommands of ``dam``: one module per group."""
