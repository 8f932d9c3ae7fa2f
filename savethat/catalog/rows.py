"""Rows of what marks, launch records and schedulers say; the status law does the rest."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timezone

from savethat.catalog.row import Row
from savethat.run.layout import ENDINGS
from savethat.run.record import SLURM, Launch, Mark, Place, PlannedRun
from savethat.run.status import Answer, Job, NotAsked, Phase, State, read_status


@dataclasses.dataclass(frozen=True)
class Sighting:
    """A mark that was found, and where."""

    mark: Mark
    name: str
    modified: float
    synced: bool

    @property
    def key(self) -> str:
        """The run's."""
        return self.mark.key

    @property
    def attempt(self) -> int:
        """Which attempt of it."""
        return self.mark.attempt

    @property
    def launch(self) -> str:
        """The launch's id."""
        return self.mark.launch


@dataclasses.dataclass(frozen=True)
class Planned:
    """A run that a launch record names."""

    launch: Launch
    run: PlannedRun
    modified: float
    synced: bool


def row_of_plan(planned: Planned, answer: Answer | None, now: float) -> Row:
    """A run that has no mark yet, or none of its latest attempt.

    Args:
        planned: what its launch record says.
        answer: its scheduler's; None where that is not known here.
        now: by the clock of the storage server, in seconds since the epoch.
    """
    launch, run = planned.launch, planned.run
    answer = answer or NotAsked(f"its scheduler, {launch.place.scheduler}, is not known here")
    seen = f"queued on {launch.place.where} when last seen {_clock(planned.modified)}"
    state = read_status(None, answer, launch_age=now - planned.modified, last_seen=seen)
    return Row(
        key=run.key,
        node=run.node,
        status=state.status,
        reason=state.reason,
        submitted_at=launch.created_at,
        launch=launch.id,
        place=_told(launch.place, answer),
        attempt=run.attempt,
        position=run.position,
        array_size=launch.array_size,
        submitted=_submitted(answer),
        args=run.args,
        tags=launch.tags,
        sweep=launch.sweep,
        code=launch.code,
        synced=planned.synced if state.status.finished else None,
        at_home=not planned.synced,
    )


def row_of_mark(sighting: Sighting, answer: Answer | None = None, now: float = 0.0) -> Row:
    """A run that has a mark.

    Args:
        sighting: the mark.
        answer: its scheduler's; None where that is not known here. An ended run needs none.
        now: by the clock of the storage server; an ended run needs none.
    """
    mark = sighting.mark
    answer = answer or NotAsked(f"its scheduler, {mark.place.scheduler}, is not known here")
    seen = ""
    if mark.mark not in ENDINGS:
        doing = f"{mark.reason} and to go on" if mark.reason else "running"
        seen = f"{doing} on {mark.place.host} when last seen {_clock(sighting.modified)}"
    age = now - sighting.modified
    state = read_status(mark, answer, heartbeat_age=age, last_seen=seen)
    return Row(
        key=mark.key,
        node=mark.node,
        status=state.status,
        reason=state.reason,
        submitted_at=mark.submitted_at,
        launch=mark.launch,
        place=mark.place,
        attempt=mark.attempt,
        position=mark.position,
        array_size=mark.array_size,
        started_at=mark.started_at,
        finished_at=mark.finished_at,
        args=mark.args,
        result=mark.result,
        tags=mark.tags,
        sweep=mark.sweep,
        files=mark.files,
        bytes=mark.bytes,
        synced=_synced(state, sighting),
        at_home=not sighting.synced,
        left=mark.left,
        kept=mark.kept,
        dropped=mark.dropped,
        mark=sighting.name,
        code=mark.code,
        cut=mark.cut,
    )


def _submitted(answer: Answer) -> bool | None:
    """Whether the scheduler has a job of the run; None where it could not be asked.

    What waits to be submitted is pending, and has no job's id.
    """
    if isinstance(answer, NotAsked):
        return None
    return isinstance(answer, Job) and (answer.phase is not Phase.PENDING or answer.job_id != "")


def _synced(state: State, sighting: Sighting) -> bool | None:
    if not sighting.synced or sighting.mark.left:
        return False
    return True if state.status.finished else None


def _told(place: Place, answer: Answer) -> Place:
    """The place, with the job id and the host a scheduler told of."""
    if isinstance(answer, Job):
        return dataclasses.replace(
            place, job_id=answer.job_id or place.job_id, host=answer.host or ""
        )
    return dataclasses.replace(place, host="") if place.scheduler == SLURM else place


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
