"""Runs a node in this process: for `run --pdb` and for `node.run()` in a notebook."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

from savethat import node as nodes
from savethat.logs import add_sink, now_line, remove_sink, traceback_text
from savethat.worker.errand import Ending, Errand, one_line
from savethat.worker.journal import Journal
from savethat.worker.lending import Loan
from savethat.worker.result import save_result
from savethat.worker.signals import STOPS, Signals


class Inline:
    """Runs one node in this process.

    Args:
        node: the node to run.
        pdb: whether to open the debugger where the node raises.

    After `run`, `value` holds what the node returned and `error` what it raised.
    """

    def __init__(self, node: nodes.Node[Any, Any], *, pdb: bool = False) -> None:
        self._node = node
        self._pdb = pdb
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self, errand: Errand, journal: Journal, signals: Signals) -> Ending:
        """Runs the node to its end."""
        loan = Loan(errand)
        surroundings = nodes.Surroundings(
            errand.key, errand.output_dir, loan.storage, errand.attempt, errand.deadline
        )
        nodes.enter(self._node, surroundings)
        sink = add_sink(lambda line: journal.line(line, show=False))
        try:
            with _copied(journal), _raised(signals):
                try:
                    self._node.setup()
                    self.value = self._node._run()
                finally:
                    loan.save_inputs()
            return Ending("completed", "", save_result(self.value, errand.output_dir))
        # Everything the node can raise is an ending; the caller gets it back as `error`.
        except BaseException as error:
            self.error = error
            tb = error.__traceback__
            own = tb.tb_next if tb is not None and tb.tb_next is not None else tb
            journal.line(now_line("exception", traceback_text(error, own), "ERROR"), show=self._pdb)
            if self._pdb and isinstance(error, Exception):
                import pdb  # noqa: T100 # the debugger is what --pdb asks for

                pdb.post_mortem(tb)
            if isinstance(error, KeyboardInterrupt):
                signals.stopped_by = signals.stopped_by or signal.SIGINT
                return Ending("cancelled", STOPS[signals.stopped_by])
            return Ending("failed", one_line(error))
        finally:
            remove_sink(sink)


@contextlib.contextmanager
def _raised(signals: Signals) -> Iterator[None]:
    """Signals that end a run are raised in the node as KeyboardInterrupt, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: object) -> None:
        signals.stopped_by = signals.stopped_by or signal.Signals(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _copied(journal: Journal) -> Iterator[None]:
    """What Python code prints goes where it went before, and into the log."""
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout = _Copy(stdout, journal, "stdout")
    sys.stderr = _Copy(stderr, journal, "stderr")
    try:
        yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr


class _Copy:
    """A text stream that also writes into the journal."""

    def __init__(self, stream: TextIO, journal: Journal, source: str) -> None:
        self._stream = stream
        self._journal = journal
        self._source = source

    def write(self, text: str) -> int:
        self._journal.stream(self._source, text.encode("utf-8", "backslashreplace"))
        return self._stream.write(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
