"""One run as `ls` shows it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from savethat.run.record import Place, format_time
from savethat.run.status import Status


@dataclasses.dataclass(frozen=True)
class Row:
    """A run's latest attempt.

    Args:
        key, node (dotted), status, reason, args, result, tags, sweep, attempt: the run's.
        submitted_at, started_at, finished_at: UTC; None where not known.
        launch: the launch's id; `position` is the run's place in it, `array_size` the launch's.
        place: where it was sent, or runs.
        files, bytes: as last carried out; None where nothing was.
        synced: whether the remote has all of it; None where it is not finished, unless its worker
            cannot reach the remote.
        at_home: whether its mark and its files are read from this machine's folder.
        left, kept: files that are neither there nor here, and where those are.
        dropped: files that were removed on purpose, by `gc --keep`.
        mark: the name of the mark that was read; empty where there is none.
        submitted: for a run without a mark, whether its scheduler has a job of it; None where that
            is not known.
        code: the capsule it ran from; empty where there is none.
        cut: fields that were too large for the listing.
    """

    key: str
    node: str
    status: Status
    reason: str
    submitted_at: datetime | None
    launch: str
    place: Place
    attempt: int = 1
    position: int = 0
    array_size: int = 0
    started_at: datetime | None = None
    finished_at: datetime | None = None
    args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    result: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    sweep: str = ""
    files: int | None = None
    bytes: int | None = None
    synced: bool | None = None
    at_home: bool = False
    left: tuple[str, ...] = ()
    kept: str = ""
    dropped: int = 0
    mark: str = ""
    submitted: bool | None = None
    code: str = ""
    cut: tuple[str, ...] = ()

    @property
    def when(self) -> datetime:
        """When it finished, else started, else was submitted: what time filters look at."""
        known = self.finished_at or self.started_at or self.submitted_at
        return known or datetime.min.replace(tzinfo=timezone.utc)

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end; None before the end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    def to_json(self) -> dict[str, Any]:
        """The object `ls --json` prints."""
        return {
            "key": self.key,
            "node": self.node or None,
            "status": self.status.value,
            "reason": self.reason or None,
            "args": _finite(self.args),
            "result": _finite(self.result) if self.status is Status.COMPLETED else None,
            "submitted_at": _time(self.submitted_at),
            "started_at": _time(self.started_at),
            "finished_at": _time(self.finished_at),
            "duration_s": self.duration_s,
            "user": self.place.user or None,
            "host": self.place.host or None,
            "where": self.place.where or None,
            "job_id": self.place.job_id or None,
            "attempt": self.attempt,
            "sweep": self.sweep or None,
            "tags": list(self.tags),
            "files": self.files,
            "bytes": self.bytes,
            "synced": self.synced,
            "left": list(self.left),
            "kept": self.kept or None,
            "dropped": self.dropped,
            "code": self.code or None,
        }


def flatten(value: object, name: str) -> dict[str, Any]:
    """A JSON value as columns: `args.opt.lr`; lists stay whole."""
    if isinstance(value, Mapping) and value:
        return {
            column: inner
            for key, sub in value.items()
            for column, inner in flatten(sub, f"{name}.{key}").items()
        }
    return {name: value}


def _time(time: datetime | None) -> str | None:
    return format_time(time) if time else None


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinities: they are written as texts."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
