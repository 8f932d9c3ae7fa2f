"""Answers of SLURM that the user's processes share: files in the user's cache folder.

A cache that cannot be read or written costs time only: nothing here raises.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

from savethat import cache
from savethat.cache import folder, write

__all__ = ["forget_answers", "forgotten_at", "is_current", "lock", "read", "write"]

_FORGOTTEN = "slurm-forgotten"
# Longer than one question may take.
_LOCK_TIMEOUT = 15.0
# Login nodes that share a home folder have clocks that differ a little.
_CLOCK_SKEW = 5.0


def forget_answers() -> None:
    """From now on, what SLURM said before is not used any more; call it after a submission."""
    path = folder() / _FORGOTTEN
    now = time.time()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        # Explicitly: the file server's clock may differ from this machine's.
        os.utime(path, (now, now))


def forgotten_at() -> float:
    """When answers were forgotten last, in seconds since the epoch; 0 where they never were."""
    try:
        return (folder() / _FORGOTTEN).stat().st_mtime
    except OSError:
        return 0.0


def is_current(at: float, *, now: float, max_age: float) -> bool:
    """Whether what was learned `at` some time is still good `now`."""
    return now - max_age <= at <= now + _CLOCK_SKEW


def read(name: str, *, max_age: float = float("inf")) -> Any:
    """What was written under a name at most `max_age` seconds ago; None where there is nothing."""
    try:
        if time.time() - (folder() / name).stat().st_mtime > max_age:
            return None
    except OSError:
        return None
    return cache.read(name)


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Held by one of the user's processes at a time; after 15 s, or where it cannot be, by all."""
    # Imported here: it takes half as long as all of `savethat --help`.
    import filelock

    held = filelock.FileLock(folder() / f"{name}.lock", timeout=_LOCK_TIMEOUT, mode=0o600)
    with contextlib.suppress(OSError, NotImplementedError):
        folder().mkdir(parents=True, exist_ok=True)
        held.acquire()
    try:
        yield
    finally:
        held.release()
