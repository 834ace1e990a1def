"""DAM: a decentralized marketplace for digital goods."""

__version__ = "0.1.0"
