"""Runs a node in a child process and finds out why it ended, whatever it did."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from savethat.launchers.processes import end_processes, prepare_to_end
from savethat.launchers.reasons import CANCELLED, TIMEOUT
from savethat.logs import Line
from savethat.worker.errand import Ending, Errand
from savethat.worker.journal import Journal
from savethat.worker.memory import KernelKills, resident
from savethat.worker.signals import PAUSES, STOPS, Signals
from savethat.worker.spawn import Child, start_child

# How long the pipes are read after the child's end, when a process it left behind holds them.
DRAIN = 2.0
# How long to wait for our own signal when the child was ended by the same: SLURM signals every
# process of a job, in no order.
SIGNAL_SKEW = 2.0
# SLURM ends a job up to a minute around its time limit.
DEADLINE_SKEW = 60.0
OUT_OF_MEMORY = "out of memory"


class ChildProcess:
    """Runs nodes in a child process.

    Args:
        grace: seconds between the first signal that ends the run and a SIGKILL of the child.
        held: file descriptors of locks that are to be held until the child is gone, too.
        cause: called after a SIGTERM: why it came, where the scheduler has said it.
        memory: what the run's job asked for, as sbatch's `--mem` has it; may be empty.
        child: the one that was started for the run already; None: it is started when it runs.
    """

    def __init__(
        self,
        *,
        grace: float,
        held: Sequence[int] = (),
        cause: Callable[[], str] = lambda: "",
        memory: str = "",
        child: Child | None = None,
    ) -> None:
        self._grace = grace
        self._held = tuple(held)
        self._cause = cause
        self._memory = memory
        self._child = child

    def run(self, errand: Errand, journal: Journal, signals: Signals) -> Ending:
        """Runs the errand's node to its end, and ends whatever it leaves running."""
        signals.catch(PAUSES)
        child = self._child or start_child(
            errand.key,
            errand.attempt,
            errand.config.root,
            python=errand.python,
            held=self._held,
        )
        process = child.process
        outcome = Said()
        kills = KernelKills()
        pump = _Pump(process, child.events, journal, outcome, kills)
        pump.start()
        threading.Thread(target=_wake_at_end, args=(process, signals), daemon=True).start()
        # The write end stays open until the child has ended: it is the child's lifeline.
        with os.fdopen(child.lifeline, "w", encoding="utf-8") as lifeline:
            try:
                lifeline.write(errand.dump() + "\n")
                lifeline.flush()
            except BrokenPipeError:
                pass  # it ended before it could read: its exit code says why
            prepare_to_end()
            killed_by_us = self._watch(process, signals, journal)
            _signal_group(process, signal.SIGKILL)
        code = process.returncode
        out_of_memory = code == -signal.SIGKILL and not killed_by_us and kills.lately
        if left := end_processes(errand.key):
            journal.event(f"ended {left} processes that the node had left running", "WARNING")
        pump.finish()
        if signals.stopped_by is None and (outcome.stopped or code in _STOP_CODES):
            signals.wait(SIGNAL_SKEW)
        told = self._cause() if signals.stopped_by == signal.SIGTERM else ""
        if not told and errand.deadline is not None:
            told = TIMEOUT if time.time() > errand.deadline - DEADLINE_SKEW else ""
        memory = OUT_OF_MEMORY if out_of_memory else resident(self._memory)
        return read_ending(code, outcome, signals.stopped_by, told=told, memory=memory)

    def _watch(self, process: subprocess.Popen[bytes], signals: Signals, journal: Journal) -> bool:
        """Passes signals on until the child has ended; kills it when it takes too long.

        Returns:
            Whether it had to.
        """
        kill_at: float | None = None
        while process.poll() is None:
            timeout = None if kill_at is None else max(0.0, kill_at - time.monotonic())
            for number in signals.wait(timeout):
                if number in STOPS:
                    if kill_at is not None and number == signal.SIGINT:
                        kill_at = time.monotonic()
                    elif kill_at is None:
                        kill_at = time.monotonic() + self._grace
                        journal.event(f"{STOPS[number]}; ending the node", "WARNING", show=True)
                        process.send_signal(
                            signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
                        )
                elif number == signal.SIGTSTP:
                    _signal_group(process, signal.SIGSTOP)
                    os.kill(os.getpid(), signal.SIGSTOP)
                elif number == signal.SIGCONT:
                    _signal_group(process, signal.SIGCONT)
                else:
                    process.send_signal(number)
            if kill_at is not None and time.monotonic() >= kill_at and process.poll() is None:
                journal.event("the node did not end; killing it", "WARNING", show=True)
                _signal_group(process, signal.SIGKILL)
                process.wait()
                return True
        return False


@dataclasses.dataclass
class Said:
    """What the child said of itself before it went.

    Args:
        result: the result's scalars; None where it has none.
        error: what the node raised, on one line.
        stopped: which interruption ended it.
    """

    result: Mapping[str, Any] | None = None
    error: str | None = None
    stopped: str | None = None


class _Pump(threading.Thread):
    """Reads the child's stdout, stderr and events until they are closed."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        events: int,
        journal: Journal,
        outcome: Said,
        kills: KernelKills,
    ) -> None:
        super().__init__(name="savethat-pump", daemon=True)
        assert process.stdout is not None
        assert process.stderr is not None
        self._files = (process.stdout, process.stderr)
        self._sources = {
            process.stdout.fileno(): "stdout",
            process.stderr.fileno(): "stderr",
            events: "events",
        }
        self._events = events
        self._journal = journal
        self._outcome = outcome
        self._kills = kills
        self._rest = b""
        self._end_by: float | None = None

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for number in self._sources:
                selector.register(number, selectors.EVENT_READ)
            while selector.get_map():
                # Woken now and then, so that a pipe held open elsewhere is left at `_end_by`.
                ready = selector.select(timeout=0.5)
                if self._end_by is None:
                    self._kills.look()
                if not ready and self._end_by is not None and time.monotonic() >= self._end_by:
                    break
                for key, _ in ready:
                    data = os.read(key.fd, 65536)
                    if not data:
                        selector.unregister(key.fd)
                    elif key.fd == self._events:
                        self._hear(data)
                    else:
                        self._journal.stream(self._sources[key.fd], data)
        os.close(self._events)
        for file in self._files:
            file.close()

    def finish(self) -> None:
        """Waits for what is still in the pipes, after the child's end."""
        self._end_by = time.monotonic() + DRAIN
        self.join()

    def _hear(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for text in lines:
            for kind, value in json.loads(text).items():
                if kind == "line":
                    self._journal.line(Line.from_json(value))
                else:
                    setattr(self._outcome, kind, value)


_STOP_CODES = {-number for number in STOPS}


def read_ending(
    code: int,
    outcome: Said,
    stopped_by: signal.Signals | None,
    *,
    told: str = "",
    memory: str = "",
) -> Ending:
    """Why a child ended.

    Args:
        code: its exit code; negative for a signal.
        outcome: what it said itself.
        stopped_by: the signal that reached the supervisor; None where none did.
        told: why the scheduler ends the attempt (`timeout`, `preempted`, `cancelled`); empty where
            it does not, or has not said.
        memory: for a child that was killed: what is known of its memory.
    """
    if outcome.result is not None:
        return Ending("completed", "", outcome.result)
    if stopped_by == signal.SIGTERM and told:
        return Ending("cancelled" if told == CANCELLED else "failed", told)
    if stopped_by is not None:
        return Ending("cancelled", STOPS[stopped_by])
    if outcome.error is not None:
        return Ending("failed", outcome.error)
    if outcome.stopped is not None:
        return Ending("failed", told or outcome.stopped)
    if code == -signal.SIGKILL and memory:
        known = memory == OUT_OF_MEMORY
        return Ending("failed", memory if known else f"killed by SIGKILL, {memory}")
    if code < 0:
        return Ending("failed", f"killed by {signal.Signals(-code).name}")
    return Ending("failed", f"exit code {code}")


def _wake_at_end(process: subprocess.Popen[bytes], signals: Signals) -> None:
    process.wait()
    signals.wake()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signals what is left of the child's session: it leads it, so its id is the group's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for zombies
        os.killpg(process.pid, number)
