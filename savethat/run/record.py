"""What is written down about a run: the launch record and the marks, and their JSON.

A record is read from a bucket that others may write to: whatever does not look as it should is
refused with ValueError, and never half believed.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar
from urllib.parse import quote

from savethat.run.key import parse_key
from savethat.run.layout import MARKS

FORMAT = 1
# B2's limit for name and info headers together is 7,000 bytes: what a mark may take of it leaves
# room for the longest name.
INFO_LIMIT = 5_900
REASON_LIMIT = 500

FOREGROUND = "foreground"
SLURM = "slurm"
QUEUE = "queue"

# The start of the SHA-256 of what a capsule holds.
CODE_NAME = re.compile(r"[0-9a-f]{32}")
_LAUNCH_ID = re.compile(r"[^\W\d][\w-]*(\.[1-9]\d*)?")
_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where and by whom a run is carried out.

    Args:
        scheduler: `foreground`, `queue` or `slurm`: who is asked about the run.
        where: the cluster's name, `queue` or `foreground`, as `ls` shows it.
        user: login name.
        host: the machine's name.
        machine: identifies the machine's process table (see launchers.foreground); empty
            where that does not matter.
        pid: the supervisor's process id, 0 where it is not known yet.
        pid_started: that process's start, as its system counts it, against reuse of the pid.
        job_id: the scheduler's id (`123`, `123_4`), empty where there is none.
    """

    scheduler: str
    where: str
    user: str
    host: str = ""
    machine: str = ""
    pid: int = 0
    pid_started: float = 0.0
    job_id: str = ""


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One run of a launch.

    Args:
        key: the run's.
        node: dotted.
        args: as JSON.
        attempt: from 1.
        position: the run's number in its launch; it stays when other runs are removed.
        resumable: whether an attempt after the first starts with the files of the one before.
    """

    key: str
    node: str
    args: Mapping[str, Any]
    attempt: int = 1
    position: int = 0
    resumable: bool = False


@dataclasses.dataclass(frozen=True)
class Launch:
    """What was asked: written once, before any job exists.

    Args:
        id: also its jobs' name (see `layout.job_name`); the run key where the launch has one run.
        created_at: UTC.
        place: who launched it, and which scheduler is to carry it out.
        runs: by position.
        root: the project's root on the launching machine.
        resources: sbatch options as asked.
        tags: the user's words for it.
        sweep: the sweep's id, empty where it is none.
        array_size: the most runs in one job array; 0 where there is no array.
        max_parallel: the most of its runs at a time; 0 for no limit of its own.
        code: the name of the capsule its runs run from; empty where the code was not frozen.
        commit: of the checkout at launch; empty where there is none.
        argv: the command line that asked.
        reproduces: the key of the run that this one is to reproduce; empty where it is none.
    """

    id: str
    created_at: datetime
    place: Place
    runs: tuple[PlannedRun, ...]
    root: str = ""
    resources: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    sweep: str = ""
    array_size: int = 0
    max_parallel: int = 0
    code: str = ""
    commit: str = ""
    argv: tuple[str, ...] = ()
    reproduces: str = ""

    def to_json(self) -> dict[str, Any]:
        """The record as it is stored."""
        data = dataclasses.asdict(self)
        data["created_at"] = format_time(self.created_at)
        return {"format": FORMAT, **data}

    @classmethod
    def from_json(cls, data: object) -> Launch:
        """A record read back.

        Raises:
            ValueError: it is not a launch record of a format known here.
        """
        fields = _checked(data)
        place = _build(Place, fields.pop("place", None))
        runs = fields.pop("runs", None)
        if not isinstance(runs, list) or not runs:
            raise ValueError("a launch record without runs")
        launch = _build(
            cls,
            {
                **fields,
                "created_at": parse_time(fields.get("created_at")),
                "place": place,
                "runs": tuple(_build(PlannedRun, run) for run in runs),
                "tags": _words(fields.get("tags", [])),
                "argv": _words(fields.get("argv", [])),
            },
        )
        _check_code(launch.code)
        if _LAUNCH_ID.fullmatch(launch.id) is None:
            raise ValueError(f"not a launch id: {launch.id!r}")
        if any(parse_key(run.key) is None or run.attempt < 1 for run in launch.runs):
            raise ValueError("a launch record with a run that has no run key")
        if len({run.position for run in launch.runs}) < len(launch.runs):
            raise ValueError("a launch record with two runs at one position")
        return launch


@dataclasses.dataclass(frozen=True)
class Mark:
    """What a worker says of an attempt: the fact is the name, the rest is what `ls` prints.

    Args:
        key: the run.
        attempt: from 1.
        mark: `started`, `completed`, `failed` or `cancelled`.
        node: dotted.
        launch: the launch's id.
        place: where it runs.
        submitted_at, started_at, finished_at: UTC; a run cancelled before it began never started.
        reason: why it ended, one line.
        args: as JSON.
        result: the result's scalars.
        tags, sweep: as launched.
        files, bytes: of the run's folder, as last carried out.
        heartbeat: seconds between two rewritings of `started`.
        position, array_size: the run's in its launch (see `layout.job_name`).
        code: the name of the capsule it ran from, or, in the foreground, that its code makes.
        cut: names of the fields that were too large to be listed here.
    """

    key: str
    attempt: int
    mark: str
    node: str
    launch: str
    place: Place
    submitted_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str = ""
    args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    result: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    sweep: str = ""
    files: int = 0
    bytes: int = 0
    heartbeat: float = 60.0
    position: int = 0
    array_size: int = 0
    code: str = ""
    cut: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The mark's content, whole."""
        data = dataclasses.asdict(self)
        for name in ("submitted_at", "started_at", "finished_at"):
            time = data[name]
            data[name] = format_time(time) if time else None
        return {"format": FORMAT, **data}

    @classmethod
    def from_json(cls, data: object) -> Mark:
        """A mark read back.

        Raises:
            ValueError: it is not a mark of a format known here.
        """
        fields = _checked(data)
        times = {name: fields.get(name) for name in ("started_at", "finished_at")}
        mark = _build(
            cls,
            {
                **fields,
                "place": _build(Place, fields.get("place")),
                "submitted_at": parse_time(fields.get("submitted_at")),
                **{
                    name: parse_time(time) if time is not None else None
                    for name, time in times.items()
                },
                "tags": _words(fields.get("tags", [])),
                "cut": _words(fields.get("cut", [])),
            },
        )
        _check_code(mark.code)
        if parse_key(mark.key) is None or mark.mark not in MARKS or mark.attempt < 1:
            raise ValueError(f"not a mark: {mark.key!r} {mark.mark!r}")
        return mark

    def to_info(self) -> dict[str, str]:
        """The mark as info headers, cut where it would not fit (then `cut` names what is missing).

        Source: B2's limit of 10 headers and 7,000 bytes, names and percent-encoding included.
        """
        mark = dataclasses.replace(self, reason=self.reason[:REASON_LIMIT])
        while True:
            info = {"savethat": json.dumps(mark.to_json(), separators=(",", ":"))}
            if len(quote(info["savethat"], safe="")) <= INFO_LIMIT:
                return info
            mark = mark._smaller()

    def _smaller(self) -> Mark:
        """This mark without the largest thing that may be left out."""
        sizes = {
            ("args", name): len(json.dumps(value)) + len(name) for name, value in self.args.items()
        } | {
            ("result", name): len(json.dumps(value)) + len(name)
            for name, value in self.result.items()
        }
        if sizes:
            field, name = max(sizes, key=lambda item: sizes[item])
            kept = {k: v for k, v in getattr(self, field).items() if k != name}
            cut = tuple(dict.fromkeys((*self.cut, field)))
            if field == "args":
                return dataclasses.replace(self, args=kept, cut=cut)
            return dataclasses.replace(self, result=kept, cut=cut)
        if self.tags:
            cut = tuple(dict.fromkeys((*self.cut, "tags")))
            return dataclasses.replace(self, tags=self.tags[:-1], cut=cut)
        return dataclasses.replace(self, reason=self.reason[: len(self.reason) // 2])

    @classmethod
    def from_info(cls, info: Mapping[str, str]) -> Mark:
        """A mark read from its info headers.

        Raises:
            ValueError: they are not a mark's.
        """
        return cls.from_json(json.loads(info.get("savethat", "")))


def format_time(time: datetime) -> str:
    """ISO 8601 in UTC, to the microsecond: `2026-11-23T08:05:52.120000Z`."""
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: object) -> datetime:
    """The time `format_time` wrote.

    Raises:
        ValueError: the text is no such time.
    """
    if not isinstance(text, str):
        raise ValueError(f"not a time: {text!r}")
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


def _check_code(name: str) -> None:
    """Refuses what is no capsule's name: it becomes part of a path."""
    if name and CODE_NAME.fullmatch(name) is None:
        raise ValueError(f"not the name of a code capsule: {name!r}")


def _checked(data: object) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    if data.get("format") != FORMAT:
        raise ValueError(f"format {data.get('format')!r}; this savethat reads format {FORMAT}")
    return {name: value for name, value in data.items() if name != "format"}


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
        raise ValueError(f"not a list of words: {value!r}")
    return tuple(value)


# Names of the annotations used above, and what a JSON value of each may be.
_SHAPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": (int, float),
    "Mapping[str, Any]": dict,
    "datetime": datetime,
    "datetime | None": (datetime, type(None)),
    "tuple[str, ...]": tuple,
    "tuple[PlannedRun, ...]": tuple,
    "Place": Place,
}


def _build(cls: type[_T], data: object) -> _T:
    """A record from a JSON object; each value is checked, fields of later versions are ignored."""
    if not isinstance(data, dict):
        raise ValueError(f"not a {cls.__name__}: {data!r}")
    known = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type] # only called with dataclasses
        if field.name not in data:
            continue
        value = data[field.name]
        expected = _SHAPES[str(field.type)]
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            raise ValueError(f"{cls.__name__}.{field.name} is {value!r}")
        known[field.name] = value
    try:
        return cls(**known)
    except TypeError as error:
        raise ValueError(f"not a {cls.__name__}: {error}") from None
