"""Answers of SLURM that the user's processes share: files in the user's cache folder.

Machines that share the folder may have clocks hours apart. So whether something was submitted since
an answer is told by a token that every submission renews, and ages are taken only where writer and
reader seem to have the same time.

A question that failed is shared as an answer is: a SLURM that is down is not asked more often than
one that is well.

A cache that cannot be read or written costs time only: nothing here raises because of it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

from savethat import cache
from savethat.cache import folder, write
from savethat.errors import SchedulerError

__all__ = [
    "CLOCK_SKEW",
    "forget_answers",
    "generation",
    "is_current",
    "lock",
    "note_failure",
    "raise_failure",
    "read",
    "write",
]

_GENERATION = "slurm-generation.json"
# Longer than one question may take.
_LOCK_TIMEOUT = 15.0
# Login nodes that share a home folder have clocks that differ a little.
CLOCK_SKEW = 5.0


def forget_answers() -> None:
    """From now on, what SLURM said before is not used any more; call it after a submission."""
    write(_GENERATION, os.urandom(8).hex())


def generation() -> str:
    """Names the time since answers were forgotten last; empty where they never were."""
    value = read(_GENERATION)
    return value if isinstance(value, str) else ""


def is_current(at: float, *, began: float, max_age: float) -> bool:
    """Whether what was learned `at` some time is good for a question that `began` at another.

    Who waited meanwhile may use it whatever `max_age` is. What comes from the future was learned by
    another clock.
    """
    return began - max_age <= at <= time.time() + CLOCK_SKEW


def read(name: str, *, max_age: float = float("inf")) -> Any:
    """What was written under a name at most `max_age` seconds ago; None where there is nothing."""
    try:
        if time.time() - (folder() / name).stat().st_mtime > max_age:
            return None
    except OSError:
        return None
    return cache.read(name)


def note_failure(name: str, error: SchedulerError) -> None:
    """Lets others who would ask the same know that it failed just now."""
    words = [error.message, error.hint]
    write(f"failed-{name}", {"at": time.time(), "generation": generation(), "words": words})


def raise_failure(name: str, *, began: float, max_age: float) -> None:
    """Raises what the same question of another process ended with, if that is current.

    What failed before something was submitted says nothing any more.

    Raises:
        SchedulerError: it failed there.
    """
    content = read(f"failed-{name}")
    try:
        at, words = float(content["at"]), [str(word) for word in content["words"]]
        good = content["generation"] == generation()
        error = SchedulerError(*words)
    except (KeyError, TypeError, ValueError, OverflowError):
        return
    if good and is_current(at, began=began, max_age=max_age):
        raise error


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
