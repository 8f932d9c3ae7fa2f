"""What the operating system raises, as savethat's errors."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from savethat.errors import DeniedError, MissingError, StorageError, UnreachableError

_UNREACHABLE = {
    errno.EIO,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENOTCONN,
    errno.ESTALE,
    errno.ETIMEDOUT,
}


@contextlib.contextmanager
def translated(name: str) -> Iterator[None]:
    """Raises an error of the operating system as the contract's."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise MissingError(f"there is no {name}") from error
        message = f"{error.filename or name}: {error.strerror or error}"
        if isinstance(error, PermissionError):
            raise DeniedError(message, "look at the folder's permissions") from error
        if error.errno in _UNREACHABLE:
            raise UnreachableError(message, "look whether the file system is there") from error
        raise StorageError(message) from error
