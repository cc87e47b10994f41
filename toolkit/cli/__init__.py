"""The command: the one place where sources and metrics meet. Nothing heavy is imported before a command needs it."""

from toolkit.cli.entry import app, main

__all__ = ["app", "main"]
