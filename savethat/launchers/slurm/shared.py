"""Answers of SLURM that the user's processes share: files in the user's cache folder.

A cache that cannot be read or written costs time only: nothing here raises.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

_FORGOTTEN = "slurm-forgotten"
# Longer than one question may take.
_LOCK_TIMEOUT = 15.0
# Login nodes that share a home folder have clocks that differ a little.
_CLOCK_SKEW = 5.0


def folder() -> Path:
    """The user's cache folder."""
    return platformdirs.user_cache_path("savethat")


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
    path = folder() / name
    try:
        if time.time() - path.stat().st_mtime > max_age:
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def write(name: str, content: object) -> None:
    """Keeps a JSON value under a name; written aside and renamed, readable by the user only."""
    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=folder(), prefix=f".{name}-")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(content, file)
            Path(aside).replace(folder() / name)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise


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
