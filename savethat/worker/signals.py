"""The signals that reach a supervisor, remembered until its main thread looks at them."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType

# What ends a run, and the words for it.
STOPS = {
    signal.SIGINT: "interrupted (Ctrl-C)",
    signal.SIGTERM: "terminated (SIGTERM)",
    signal.SIGHUP: "its terminal was closed (SIGHUP)",
}
# What announces the end of an attempt: USR2 ahead of SLURM's time limit, as submitit asks for it;
# USR1 is what sites and `--signal` commonly use for the same.
WARNINGS = frozenset({signal.SIGUSR1, signal.SIGUSR2})
# A terminal's Ctrl-Z and `fg`: the child, in a session of its own, is not reached by them.
PAUSES = frozenset({signal.SIGTSTP, signal.SIGCONT})


class Signals:
    """While entered, signals wake `wait` instead of ending this process.

    Only the main thread of a process can receive signals; elsewhere (a notebook's cell in a
    thread) this catches none, and `wait` still works.

    Args:
        warned: called, in the thread that waits, when the end of the attempt is announced.
    """

    def __init__(self, warned: Callable[[], None] = lambda: None) -> None:
        # A handler may come in the middle of anything, this queue's own `get` too: `put` is made
        # for that. An event's `set` is not: it would wait for ever for a lock its own thread holds.
        self._arrived: SimpleQueue[tuple[signal.Signals, float] | None] = SimpleQueue()
        self._before: dict[signal.Signals, object] = {}
        self.warned = warned
        self.stopped_by: signal.Signals | None = None
        # When that arrived, by `time.monotonic`.
        self.stopped_at = 0.0

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            # nohup's choice stands: a run started under it survives the logout. The batch script
            # ignores the warnings only until there is someone to hear them.
            ignored = {n for n in STOPS if signal.getsignal(n) is signal.SIG_IGN}
            self.catch(STOPS.keys() - ignored | WARNINGS)
            # Who starts a supervisor may have held these back until there is someone to hear them.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what signal() gave back
        self._before.clear()

    def catch(self, numbers: Iterable[signal.Signals]) -> None:
        """Has these signals wake `wait`, too, until this is left; in the main thread alone."""
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                self._before[number] = signal.signal(number, self._arrive)

    def _arrive(self, number: int, _frame: FrameType | None) -> None:
        self.inject(signal.Signals(number))

    def inject(self, number: signal.Signals) -> None:
        """Acts as if a signal had arrived; from any thread."""
        self._arrived.put((number, time.monotonic()))

    def wake(self) -> None:
        """Ends a `wait`, from any thread."""
        self._arrived.put(None)

    def wait(self, timeout: float | None = None) -> list[signal.Signals]:
        """The signals that arrived; waits for one, for `wake`, or for `timeout` seconds."""
        arrived = []
        with contextlib.suppress(Empty):
            arrived.append(self._arrived.get(timeout=timeout))
            while True:
                arrived.append(self._arrived.get_nowait())
        signals = [item for item in arrived if item is not None]
        for number, at in signals:
            if number in STOPS and self.stopped_by is None:
                self.stopped_by, self.stopped_at = number, at
            if number in WARNINGS:
                self.warned()
        return [number for number, _ in signals]
