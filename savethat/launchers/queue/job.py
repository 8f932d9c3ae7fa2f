"""A run in the queue, and what it takes up."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path

from savethat.launchers.foreground import is_alive


class RunState(str, enum.Enum):
    """Where a run is in the queue."""

    QUEUED = "queued"
    # A runner has started its worker, which has not yet said that it took it.
    STARTING = "starting"
    RUNNING = "running"
    OVER = "over"


@dataclasses.dataclass(frozen=True)
class Needs:
    """What each run of a launch takes up.

    Args:
        cpus: cores of its own; 0: it shares them all.
        gpus: how many GPUs of its own.
        devices: the GPUs it may have, by index.
        max_parallel: the most runs of the launch at a time; 0: no limit of its own.
        queue_limit: the most runs of the queue at a time; 0: as its cores and GPUs allow.
    """

    cpus: int = 0
    gpus: int = 0
    devices: tuple[int, ...] = ()
    max_parallel: int = 0
    queue_limit: int = 0


@dataclasses.dataclass(frozen=True)
class Batch:
    """A launch in the queue.

    Args:
        id: the launch's.
        folder: the launch's.
        python: the interpreter of its workers.
        needs: what its runs take up.
        requeue: how often each of them may be started again.
    """

    id: str
    folder: Path
    python: str
    needs: Needs
    requeue: int = 0


@dataclasses.dataclass(frozen=True)
class Job:
    """A run in the queue.

    Args:
        number: the run's in the queue.
        key, launch, position: as its launch has them.
        attempt: the one that was queued; each restart makes it one more.
        state: where it is.
        claim: what a worker must show to carry it out.
        pid, pid_started: the worker's process, as foreground.process_start has it.
        ending: the mark that it left.
        reason: why it is over; empty where the mark says it.
        changed: seconds since the epoch.
        requeue: how often it may be started again.
        restarts: how often it was.
    """

    number: int
    key: str
    attempt: int
    launch: str
    position: int
    state: RunState
    claim: int
    pid: int
    pid_started: float
    ending: str
    reason: str
    changed: float
    requeue: int = 0
    restarts: int = 0

    @property
    def alive(self) -> bool:
        """Whether its worker lives."""
        return self.state is RunState.RUNNING and is_alive(self.pid, self.pid_started)

    @property
    def may_restart(self) -> bool:
        """Whether it waits again when its worker is gone without a word."""
        return self.restarts < self.requeue

    @property
    def shown(self) -> str:
        """Its status, as far as the queue knows: `ls` reads the marks, too."""
        if self.state is RunState.OVER:
            return self.ending or "lost"
        if self.state is not RunState.RUNNING:
            return "queued"
        if self.alive:
            return "running"
        return "queued" if self.may_restart else "lost"
