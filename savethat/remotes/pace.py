"""How much is done at a time: more while that makes it faster, less where the server is busy."""

from __future__ import annotations

import threading
import time
from types import TracebackType

_FIRST = 8
_MOST = 48
# How much faster it must have become to go on adding.
_FASTER = 1.1


class Pace:
    """Lets so many threads through at a time: `with pace: ...` is one thing done."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._limit = _FIRST
        self._active = 0
        self._waiting = 0
        # Of the present round: since when, and how many were done.
        self._since = time.monotonic()
        self._done = 0
        # The best of all rounds, in things a second.
        self._best = 0.0

    @property
    def limit(self) -> int:
        """How many at a time."""
        return self._limit

    def __enter__(self) -> None:
        with self._changed:
            self._waiting += 1
            while self._active >= self._limit:
                self._changed.wait()
            self._waiting -= 1
            self._active += 1

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._active -= 1
            self._done += 1
            if self._done >= self._limit:
                self._judge()
            self._changed.notify()

    def slow_down(self) -> None:
        """Halves it: the server is busy. Counts once a round: all threads are told at once."""
        with self._changed:
            if self._done or self._best:
                self._limit = max(self._limit // 2, 1)
                self._best = 0.0
                self._begin()

    def _judge(self) -> None:
        """Doubles it after a round that was faster than those before."""
        rate = self._done / max(time.monotonic() - self._since, 1e-9)
        # Where nobody waits, more at a time does not help.
        if self._waiting and rate > _FASTER * self._best:
            self._best = rate
            self._limit = min(2 * self._limit, _MOST)
            self._changed.notify_all()
        self._begin()

    def _begin(self) -> None:
        self._since, self._done = time.monotonic(), 0
