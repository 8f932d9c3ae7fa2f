"""How long a remote may go on: until a moment that its caller sets, from any thread."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable

from savethat.errors import UnreachableError


class Patience:
    """What is left of a remote's time; without a moment set, all the time in the world."""

    def __init__(self) -> None:
        self._until = math.inf
        self._changed = threading.Condition()
        self._timer: threading.Timer | None = None
        self._ends: list[Callable[[], None]] = []

    def at_the_end(self, end: Callable[[], None]) -> None:
        """Has `end` called, from a thread of its own, when the moment has come."""
        with self._changed:
            self._ends.append(end)
            self._set_timer()

    def hurry(self, until: float | None) -> None:
        """Sets the moment, by `time.monotonic()`; None: there is none."""
        with self._changed:
            self._until = math.inf if until is None else until
            self._set_timer()
            self._changed.notify_all()

    def left(self) -> float:
        """Seconds, not below 0; `inf` without a moment."""
        return max(self._until - time.monotonic(), 0.0)

    def check(self, needed: float = 0.0) -> None:
        """Raises where less is left than `needed` seconds, or nothing.

        Raises:
            UnreachableError: there is no time left.
        """
        if self.left() <= needed:
            raise UnreachableError("there is no time left to reach it", "savethat sync, later")

    def wait(self, seconds: float) -> None:
        """Sleeps; what is waited for must begin before the moment.

        Raises:
            UnreachableError: at once, also during the wait, where it would last too long.
        """
        end = time.monotonic() + seconds
        with self._changed:
            while (rest := end - time.monotonic()) > 0:
                self.check(rest)
                self._changed.wait(rest)
        self.check()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ends and self._until < math.inf:
            self._timer = threading.Timer(self.left(), self._end)
            self._timer.daemon = True
            self._timer.start()

    def _end(self) -> None:
        for end in list(self._ends):
            if self.left() <= 0:
                with contextlib.suppress(OSError):
                    end()
