"""The contract of a scheduler: it is asked once, ahead of the marks, and answers for many runs."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence

from savethat.run.layout import job_name
from savethat.run.record import Place
from savethat.run.status import Answer


@dataclasses.dataclass(frozen=True)
class JobRef:
    """Names one run's job to its scheduler.

    Args:
        launch: the launch id.
        position: the run's place in the launch.
        place: where the run was sent, or runs.
        array_size: the most runs in one of the launch's job arrays; 0 where there is none.
        key: the run's.
        attempt: which attempt of it.
    """

    launch: str
    position: int
    place: Place
    array_size: int = 0
    key: str = ""
    attempt: int = 1

    @property
    def job_name(self) -> str:
        """The name its job has."""
        return job_name(self.launch, self.position, self.array_size)[0]


class Snapshot(abc.ABC):
    """What a scheduler knew at one moment.

    Args:
        warning: one line for the user where the scheduler could not be asked; else empty.
    """

    warning: str = ""

    @abc.abstractmethod
    def answers(self, refs: Sequence[JobRef]) -> Mapping[JobRef, Answer]:
        """The scheduler's word on each run; at most one further call for all of them together."""


class Scheduler(abc.ABC):
    """One of the places runs are sent to."""

    @abc.abstractmethod
    def ask(self, *, max_age: float) -> Snapshot:
        """What it knows, at most `max_age` seconds old; never raises: a failure is a NotAsked.

        Ask before the marks are listed: a run that ends between the two then shows its mark,
        where in the other order it would look lost.
        """

    @abc.abstractmethod
    def cancel(self, refs: Sequence[JobRef]) -> Sequence[JobRef]:
        """Ends these jobs, pending or running.

        Returns:
            Those that never began and never will: no worker of theirs leaves a mark.

        Raises:
            SchedulerError: it could not be asked to.
        """
