"""Locks on a file that many may hold together or one alone; they end with their process.

`filelock`, which the rest of savethat uses, has no shared ones.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

# What a file system says that has no such locks.
_NONE_HERE = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}


class Lock:
    """A lock that is held, or is not to be had on this file system.

    Args:
        descriptor: of its file, open.
        is_held: whether this file system has locks.
    """

    def __init__(self, descriptor: int, *, is_held: bool) -> None:
        self._descriptor = descriptor
        self.is_held = is_held

    @classmethod
    def shared(cls, path: Path) -> Lock:
        """Waits until nobody has it alone."""
        lock = cls._taken(path, fcntl.LOCK_SH)
        assert lock is not None
        return lock

    @classmethod
    def alone(cls, path: Path, *, wait: bool) -> Lock | None:
        """Waits until nobody else has it; without waiting it is None where that is not so.

        It is also None then if the file system has no locks, so that nobody can tell.
        """
        lock = cls._taken(path, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lock is not None and not lock.is_held and not wait:
            lock.release()
            return None
        return lock

    @classmethod
    def _taken(cls, path: Path, operation: int) -> Lock | None:
        while True:
            # A network's file systems lock alone only what is open for writing.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                is_held = _flock(descriptor, operation)
            except BlockingIOError:
                os.close(descriptor)
                return None
            except BaseException:
                os.close(descriptor)
                raise
            if _is_still(path, descriptor):
                return cls(descriptor, is_held=is_held)
            os.close(descriptor)  # it was removed while this process waited for it

    def touch(self) -> None:
        """Notes that it was used now."""
        with contextlib.suppress(OSError):
            os.utime(self._descriptor)

    def release(self) -> None:
        """Ends it."""
        os.close(self._descriptor)


def _flock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno in _NONE_HERE:
            return False
        raise
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
