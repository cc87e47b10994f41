"""Errors people meet: each says what to do next and carries the exit code of the command."""

from __future__ import annotations

__all__ = ["Busy", "DataError", "KnowngoodError", "UsageError"]


class KnowngoodError(Exception):
    """Something went wrong that a person can put right. `message` is for them; `exit_code` for the shell."""

    exit_code = 1

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(KnowngoodError):
    """The command, a setting or a mapping asks for something that does not exist."""

    exit_code = 2


class DataError(KnowngoodError):
    """A file cannot be read as what it is said to be."""

    exit_code = 3


class Busy(KnowngoodError):
    """Another process holds what is needed; the same command works when it is done."""

    exit_code = 75
