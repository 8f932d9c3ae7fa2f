"""The status law: what a run's marks and its own scheduler's answer mean together.

`docs/explanation/status.md` holds the table; `tests/test_status.py` holds this to it.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING

from savethat.run.layout import ENDINGS

if TYPE_CHECKING:
    from savethat.run.record import Mark

# How long a launch may be under way before its job must be known to the scheduler. It covers the
# time for which answers of the scheduler are shared between processes, too.
SUBMIT_GRACE = 180.0
# A heartbeat is stale when this many of its periods went by, and some time for the upload.
HEARTBEAT_PERIODS = 3
HEARTBEAT_SLACK = 30.0
# A job may have begun since its scheduler was asked; that its `started` mark is younger than this
# is no sign then that it waits for another attempt.
ANSWER_AGE = 30.0


class Status(str, enum.Enum):
    """The seven states of a run."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    UNKNOWN = "unknown"

    @property
    def finished(self) -> bool:
        """Whether the run is over for certain: only such runs may be removed."""
        return self in FINISHED


FINISHED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.LOST})
# What `--failed` selects.
UNSUCCESSFUL = FINISHED - {Status.COMPLETED}


class Phase(enum.Enum):
    """What a scheduler that knows a job says of it."""

    PENDING = "pending"
    RUNNING = "running"
    OVER = "over"


@dataclasses.dataclass(frozen=True)
class Job:
    """A scheduler's word on one job.

    Args:
        phase: pending, running or over.
        reason: the scheduler's reason, in our words (`timeout`, `node failure`); may be empty.
        cancelled: for a job that is over: someone ended it.
        job_id: the scheduler's id.
        host: where it runs, empty where that is not known.
        attempt: which attempt of the run this is said of; 0 where the scheduler does not count.
    """

    phase: Phase
    reason: str = ""
    cancelled: bool = False
    job_id: str = ""
    host: str = ""
    attempt: int = 0


@dataclasses.dataclass(frozen=True)
class NoSuchJob:
    """The scheduler was asked, and knows no such job.

    Args:
        trace: what is known of the job's end from elsewhere, such as the last line it printed.
    """

    trace: str = ""


@dataclasses.dataclass(frozen=True)
class NotAsked:
    """The scheduler could not be asked, or is not within reach of this machine: nothing follows."""

    why: str


Answer = Job | NoSuchJob | NotAsked


@dataclasses.dataclass(frozen=True)
class State:
    """A status, and the reason beside it (may be empty)."""

    status: Status
    reason: str = ""


def read_status(
    mark: Mark | None,
    answer: Answer,
    *,
    heartbeat_age: float = 0.0,
    launch_age: float = float("inf"),
    last_seen: str = "",
) -> State:
    """The state of a run's latest attempt.

    Args:
        mark: what its worker said last; None where it has said nothing.
        answer: what the run's own scheduler says, asked before the marks were listed.
        heartbeat_age: seconds since a `started` mark was written, by the storage server's clock.
        launch_age: seconds since the launch record was written, by the same clock.
        last_seen: when and where the run was heard of last, for the reason of an unknown one.
    """
    if mark is not None and mark.mark in ENDINGS:
        return State(Status(mark.mark), mark.reason)
    if isinstance(answer, Job):
        return _read_job(mark, answer, heartbeat_age)
    started = mark is not None
    if isinstance(answer, NoSuchJob):
        if not started and launch_age < SUBMIT_GRACE:
            return State(Status.QUEUED, "being submitted")
        if not started:
            return State(Status.LOST, answer.trace or "never submitted")
        return State(Status.LOST, answer.trace or "no trace of the job")
    if mark is not None and heartbeat_age < stale_after(mark):
        return _queued_again(mark, 0) if mark.reason else State(Status.RUNNING)
    if not started and launch_age < SUBMIT_GRACE:
        return State(Status.QUEUED, "being submitted")
    return State(Status.UNKNOWN, "; ".join(filter(None, (last_seen, answer.why))))


def stale_after(mark: Mark) -> float:
    """The age, in seconds, at which a `started` mark no longer shows that its worker lives."""
    return HEARTBEAT_PERIODS * mark.heartbeat + HEARTBEAT_SLACK


def _read_job(mark: Mark | None, job: Job, heartbeat_age: float) -> State:
    """The state of a run whose scheduler knows its job; `mark` is `started`, or there is none."""
    if job.phase is Phase.PENDING:
        if mark is not None and _is_over(mark, job, heartbeat_age):
            return _queued_again(mark, job.attempt)
        return State(Status.QUEUED, job.reason)
    # The last word of an attempt is none on the one after it.
    said = mark.reason if mark is not None and job.attempt <= mark.attempt else ""
    if job.phase is Phase.RUNNING:
        return State(Status.RUNNING, said or job.reason)
    if job.cancelled:
        return State(Status.CANCELLED, job.reason)
    return State(Status.LOST, job.reason or said or "the job ended without a word")


def _is_over(mark: Mark, job: Job, heartbeat_age: float) -> bool:
    """Whether the attempt that a `started` mark is of is over, where its job is pending."""
    if mark.reason or job.attempt > mark.attempt:
        return True
    return job.attempt == 0 and heartbeat_age >= ANSWER_AGE


def _queued_again(mark: Mark, attempt: int) -> State:
    again = max(attempt, mark.attempt + 1)
    return State(Status.QUEUED, f"{mark.reason or 'requeued'} (attempt {again} queued)")
