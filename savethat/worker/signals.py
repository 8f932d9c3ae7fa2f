"""The signals that reach a supervisor, remembered until its main thread looks at them."""

from __future__ import annotations

import contextlib
import signal
import threading
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType

# What ends a run, and the words for it.
STOPS = {
    signal.SIGINT: "interrupted (Ctrl-C)",
    signal.SIGTERM: "terminated (SIGTERM)",
    signal.SIGHUP: "its terminal was closed (SIGHUP)",
}
# SLURM's warning ahead of the time limit, as submitit asks for it.
WARNING = signal.SIGUSR2


class Signals:
    """While entered, signals wake `wait` instead of ending this process.

    Only the main thread of a process can receive signals; elsewhere (a notebook's cell in a
    thread) this catches none, and `wait` still works.
    """

    def __init__(self) -> None:
        # A handler may come in the middle of anything, this queue's own `get` too: `put` is made
        # for that. An event's `set` is not: it would wait for ever for a lock its own thread holds.
        self._arrived: SimpleQueue[signal.Signals | None] = SimpleQueue()
        self._before: dict[signal.Signals, object] = {}
        self.stopped_by: signal.Signals | None = None

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (*STOPS, WARNING):
                # nohup's choice stands: a run started under it survives the logout. The batch
                # script ignores the warning only until there is someone to hear it.
                if number == WARNING or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._arrive)
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

    def _arrive(self, number: int, _frame: FrameType | None) -> None:
        self.inject(signal.Signals(number))

    def inject(self, number: signal.Signals) -> None:
        """Acts as if a signal had arrived; from any thread."""
        self._arrived.put(number)

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
        signals = [number for number in arrived if number is not None]
        for number in signals:
            if number in STOPS and self.stopped_by is None:
                self.stopped_by = number
        return signals
