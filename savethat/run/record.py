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
from typing import Any
from urllib.parse import quote

from savethat.run.fields import build, fields_of, words
from savethat.run.key import FIRST_YEAR, parse_key, stem_of
from savethat.run.layout import MARKS
from savethat.untrusted import read_json, shortened

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
# As in the names of marks.
MOST_ATTEMPTS = 999_999_999
_LAUNCH_ID = re.compile(r"[^\W\d][\w-]*(\.[1-9][0-9]{0,8})?")
_LARGEST_PID = 2**31 - 1
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


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
        requeue: how often each of its runs may be started again, by whoever carries it out, when
            it was ended from outside: preempted, out of time, its machine gone.
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
    requeue: int = 0

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
        fields = fields_of(data, FORMAT)
        runs = fields.get("runs")
        if not isinstance(runs, list) or not runs:
            raise ValueError("a launch record without runs")
        launch = build(
            cls,
            fields,
            {
                "created_at": parse_time(fields.get("created_at")),
                "place": _place(fields.get("place")),
                "runs": tuple(build(PlannedRun, run) for run in runs),
                "tags": words(fields.get("tags", [])),
                "argv": words(fields.get("argv", [])),
            },
        )
        _check_code(launch.code)
        _check_launch_id(launch.id)
        for run in launch.runs:
            _check_run(run.key, launch.id)
        if not all(1 <= run.attempt <= MOST_ATTEMPTS for run in launch.runs):
            raise ValueError("a launch record with a run that has no attempt")
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
        left: names of the run's files that are not where the mark is, as an attempt ended that had
            no time to send them.
        kept: where those are: `host:folder`; empty where none are left.
        dropped: files that were removed on purpose since, by `gc --keep`.
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
    left: tuple[str, ...] = ()
    kept: str = ""
    dropped: int = 0
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
        fields = fields_of(data, FORMAT)
        times = {name: fields.get(name) for name in ("started_at", "finished_at")}
        mark = build(
            cls,
            fields,
            {
                "place": _place(fields.get("place")),
                "submitted_at": parse_time(fields.get("submitted_at")),
                **{
                    name: parse_time(time) if time is not None else None
                    for name, time in times.items()
                },
                "tags": words(fields.get("tags", [])),
                "left": words(fields.get("left", [])),
                "cut": words(fields.get("cut", [])),
            },
        )
        _check_code(mark.code)
        _check_launch_id(mark.launch)
        _check_run(mark.key, mark.launch)
        if mark.mark not in MARKS:
            raise ValueError(f"not a mark: {shortened(mark.mark)}")
        if not 1 <= mark.attempt <= MOST_ATTEMPTS:
            raise ValueError(f"not an attempt: {mark.attempt}")
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
        if len(self.left) > 1:
            # That something is left is the fact; which files, the mark's content says.
            cut = tuple(dict.fromkeys((*self.cut, "left")))
            return dataclasses.replace(self, left=self.left[: len(self.left) // 2], cut=cut)
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
        if "savethat" not in info:
            raise ValueError("it has no header of savethat's")
        return cls.from_json(read_json(info["savethat"]))


def format_time(time: datetime) -> str:
    """ISO 8601 in UTC, to the microsecond: `2026-11-23T08:05:52.120000Z`."""
    # strftime and strptime take ten times as long as ISO 8601 does, and a listing has many times.
    utc = time.astimezone(timezone.utc).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='microseconds')}Z"


def parse_time(text: object) -> datetime:
    """The time `format_time` wrote.

    Raises:
        ValueError: the text is no such time.
    """
    if not isinstance(text, str) or _TIME.fullmatch(text) is None:
        raise ValueError(f"not a time: {shortened(text)}")
    try:
        time = datetime.fromisoformat(f"{text[:-1]}+00:00")
    except ValueError:
        raise ValueError(f"not a time: {shortened(text)}") from None
    if time.year < FIRST_YEAR:
        raise ValueError(f"not a time of a run: {shortened(text)}")
    return time


def _check_code(name: str) -> None:
    """Refuses what is no capsule's name: it becomes part of a path."""
    if name and CODE_NAME.fullmatch(name) is None:
        raise ValueError(f"not the name of a code capsule: {shortened(name)}")


def _check_launch_id(name: str) -> None:
    """Refuses what is no launch's id: it becomes part of a path."""
    if _LAUNCH_ID.fullmatch(name) is None:
        raise ValueError(f"not a launch id: {shortened(name)}")


def _check_run(key: str, launch_id: str) -> None:
    """Refuses what is no run's key, or one that is not of this launch."""
    if parse_key(key) is None:
        raise ValueError(f"not a run key: {shortened(key)}")
    if stem_of(key) != launch_id.partition(".")[0]:
        raise ValueError(f"{key} is not a run of the launch {shortened(launch_id)}")


def _place(data: object) -> Place:
    place = build(Place, data)
    if place.pid > _LARGEST_PID:
        raise ValueError(f"not a process id: {place.pid}")
    return place
