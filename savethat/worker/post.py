"""Where a supervisor stands: its process, its folder, and the scheduler's job that it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Protocol

from savethat.config import Credentials
from savethat.config.model import Sync
from savethat.run.record import Place
from savethat.worker.errand import Ending
from savethat.worker.folder import RunFolder


class Job(Protocol):
    """The scheduler's job that the supervisor is, where attempts can follow one another in it."""

    @property
    def kill_wait(self) -> float:
        """Seconds between the signal that ends the job and its being killed."""
        ...

    def goes_on(self, reason: str) -> bool:
        """Whether another attempt follows one that ended for this reason."""
        ...

    def start_again(self, reason: str) -> None:
        """Sees to it that it does; SchedulerError where it does not."""
        ...

    def stay_over(self, reason: str) -> None:
        """Sees to it that none does."""
        ...


@dataclasses.dataclass(frozen=True)
class Post:
    """Where this supervisor stands.

    Args:
        place: this process, as marks name it.
        folder: the run's folder.
        credentials: for the remote; None in a local-only project, or where there are none here.
        published: whether the launch record is on the remote already.
        deadline: when the scheduler ends the attempt, seconds since the epoch; None if never.
        batch_log: what the worker prints outside the run, to be stored with it; None where nobody
            keeps that.
        job: the scheduler's; None where a run is not started again in it.
        sync: who sends the run to B2; see `savethat.config.Config`.
    """

    place: Place
    folder: RunFolder
    credentials: Credentials | None
    published: bool
    deadline: float | None = None
    batch_log: Path | None = None
    job: Job | None = None
    sync: Sync = "auto"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended, and where it is.

    Args:
        ending: the run's.
        synced: whether the project's remote has it all.
        trouble: why it does not; empty where it does.
        goes_on: whether another attempt follows this one.
    """

    ending: Ending
    synced: bool
    trouble: str = ""
    goes_on: bool = False
