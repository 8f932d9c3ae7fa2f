"""Every error savethat raises on purpose.

SavethatError            a sentence that names the thing, and a hint that names the next step
├── UsageError           2  the command line or a call is wrong
│   └── ArgumentError    2  a node's arguments are wrong
├── ConfigError          3  savethat.toml, the credentials or the environment is wrong
├── NotFoundError        4  no such node, or no such run
├── StorageError         5  the remote refused, failed or could not be reached
│   ├── MissingError     5  the remote answered: it holds no such object
│   ├── UnreachableError 5  the remote could not be asked
│   └── DeniedError      5  the remote refused: credentials, rights or a cap
├── SchedulerError       6  SLURM refused or could not be asked
├── RefusedError         7  done as asked, something would be lost: so it is not done
└── RunFailedError       1  a run that was waited for did not complete

The number is the exit code of the command line. Anything else that is raised is a bug and
keeps its traceback.
"""

from __future__ import annotations

from typing import ClassVar


class SavethatError(Exception):
    """An expected failure, shown to the user as one sentence and a hint.

    Args:
        message: what went wrong; names the thing concerned.
        hint: what to do next; names the command where there is one. May be empty.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SavethatError):
    """The command line, or a call of the Python side, is wrong."""

    exit_code = 2


class ArgumentError(UsageError):
    """A node's arguments are wrong, or their types cannot be saved and restored."""


class ConfigError(SavethatError):
    """A configuration file, the credentials or the environment is wrong."""

    exit_code = 3


class NotFoundError(SavethatError):
    """There is no such node, or no such run."""

    exit_code = 4


class StorageError(SavethatError):
    """The remote refused, failed, or could not be reached."""

    exit_code = 5


class MissingError(StorageError):
    """The remote was asked, and holds no such object."""


class UnreachableError(StorageError):
    """The remote could not be asked: no network, no answer in time."""


class DeniedError(StorageError):
    """The remote refused: unknown credentials, missing rights, or a cap of the account."""


class SchedulerError(SavethatError):
    """SLURM refused, failed, or could not be asked."""

    exit_code = 6


class RefusedError(SavethatError):
    """Doing what was asked would lose something, so it was not done."""

    exit_code = 7


class RunFailedError(SavethatError):
    """A run that was waited for did not complete."""
