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
    """A launch in the queue: its folder, the Python of its workers, and what its runs need."""

    id: str
    folder: Path
    python: str
    needs: Needs


@dataclasses.dataclass(frozen=True)
class Job:
    """A run in the queue."""

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

    @property
    def alive(self) -> bool:
        """Whether its worker lives."""
        return self.state is RunState.RUNNING and is_alive(self.pid, self.pid_started)

    @property
    def shown(self) -> str:
        """Its status, as far as the queue knows: `ls` reads the marks, too."""
        if self.state is RunState.OVER or (self.state is RunState.RUNNING and not self.alive):
            return self.ending or "lost"
        return "running" if self.state is RunState.RUNNING else "queued"
