"""SLURM as it is asked: one squeue for all of a user's runs, shared between their processes."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from savethat.errors import SchedulerError
from savethat.launchers.base import JobRef, Scheduler, Snapshot
from savethat.launchers.foreground import login_name
from savethat.launchers.slurm import accounting, commands, shared
from savethat.launchers.slurm.accounting import Task, task_named, task_of
from savethat.launchers.slurm.arrays import ranges
from savethat.launchers.slurm.states import read_state
from savethat.run.key import parse_key
from savethat.run.record import SLURM, Place
from savethat.run.status import Answer, Job, NoSuchJob, NotAsked, Phase

# Job id (with the array index, by `-r`), state, reason, host, name. The name goes last, because a
# job that is not ours may have any. `-o` and not `-O`, which cuts fields.
_SQUEUE = ["squeue", "--me", "-h", "-r", "-t", "all", "-o", "%i|%T|%B|%r|%j"]
_JOB_ID = re.compile(r"\d+(?:_(\d+))?")
# A launch's id carries its time; its job comes to SLURM a little later.
_SUBMISSION = 60.0
NO_SLURM = "no SLURM on this machine"
# One job may be cancelled by its id, and a million of them would not fit a command line.
_IDS_A_CALL = 1_000
# scancel comes back before SLURM has ended the jobs.
_CANCEL_PATIENCE, _CANCEL_PAUSE = 5.0, 0.2


class Slurm(Scheduler):
    """The cluster this machine belongs to."""

    def ask(self, *, max_age: float) -> Snapshot:
        """What squeue says of this user's jobs, at most `max_age` seconds old; 0 always asks.

        Takes 10 s at most. A machine without SLURM is no failure: its snapshot has no warning.
        """
        began = time.time()
        if not commands.installed():
            return _Unanswered(NO_SLURM)
        try:
            cluster = commands.cluster_name()
            at, rows = _squeue(cluster, began, max_age)
        except SchedulerError as error:
            return _Unanswered(
                f"SLURM could not be asked: {error.message}",
                warning=f"SLURM could not be asked: {error.message}",
            )
        return _Queue(cluster, at, rows, max_age)

    def cancel(self, refs: Sequence[JobRef]) -> Sequence[JobRef]:
        """Ends these jobs, pending or running, with one scancel; those that are over are left.

        Returns:
            The runs without a job, and those whose job SLURM ended before it had a node.

        Raises:
            SchedulerError: a job is another user's or another cluster's (then none is cancelled),
                or SLURM could not be asked, or refused.
        """
        snapshot = self._now("cancel", refs)
        rows = {ref: snapshot.row(ref) for ref in refs}
        pending = [ref for ref, row in rows.items() if row and row.pending]
        targets = _ranges(row.job_id for row in rows.values() if row and row.alive)
        try:
            for start in range(0, len(targets), _IDS_A_CALL):
                commands.call(["scancel", *targets[start : start + _IDS_A_CALL]])
        finally:
            shared.forget_answers()
        never = self._never_began(pending) if pending else []
        return never + self._without_job(snapshot, [ref for ref, row in rows.items() if not row])

    def _never_began(self, refs: Sequence[JobRef]) -> list[JobRef]:
        """Those of these cancelled jobs, pending until then, that did not begin meanwhile.

        Of some tasks of an array nothing is left at all; one that began has a row with a host.
        """
        end = time.monotonic() + _CANCEL_PATIENCE
        while True:
            snapshot = self._now("cancel", refs)
            rows = [(ref, snapshot.row(ref)) for ref in refs]
            if not any(row and row.pending for _, row in rows) or time.monotonic() > end:
                return [ref for ref, row in rows if row is None or row.never_began]
            time.sleep(_CANCEL_PAUSE)

    def look_for(self, refs: Sequence[JobRef]) -> tuple[list[JobRef], list[str]]:
        """Which of these runs have no job, and the ids of their live jobs: asked for now.

        Raises:
            SchedulerError: SLURM could not be asked, or a run is not this user's on this cluster.
        """
        snapshot = self._now("submit", refs)
        rows = [(ref, snapshot.row(ref)) for ref in refs]
        alive = {row.job_id.partition("_")[0] for _, row in rows if row and row.alive}
        return self._without_job(snapshot, [ref for ref, row in rows if not row]), sorted(alive)

    def _without_job(self, snapshot: _Queue, refs: Sequence[JobRef]) -> list[JobRef]:
        """Those that the accounting does not know either."""
        words = snapshot.accounted(refs, max_age=0)
        return [ref for ref, word in zip(refs, words, strict=True) if isinstance(word, NoSuchJob)]

    def _now(self, what: str, refs: Sequence[JobRef]) -> _Queue:
        snapshot = self.ask(max_age=0)
        if isinstance(snapshot, _Unanswered):
            raise SchedulerError(
                f"cannot {what} {_names(refs)}: {snapshot.why}", "try again where SLURM answers"
            )
        assert isinstance(snapshot, _Queue)
        for ref in refs:
            if why := snapshot.out_of_reach(ref.place):
                raise SchedulerError(
                    f"cannot {what} {ref.key or ref.launch} from here: {why}",
                    f"run the same as {ref.place.user} on {ref.place.where}",
                )
        return snapshot


@dataclasses.dataclass(frozen=True)
class _Row:
    """A job, or one task of an array, as squeue has it."""

    job_id: str
    state: str
    host: str
    reason: str
    name: str

    @classmethod
    def parse(cls, line: str) -> _Row | None:
        fields = line.split("|", 4)
        if len(fields) < 5 or _JOB_ID.fullmatch(fields[0]) is None:
            return None
        return cls(*fields)

    @property
    def task(self) -> Task:
        index = self.job_id.partition("_")[2]
        return task_named(self.name, int(index) if index else None)

    @property
    def alive(self) -> bool:
        answer = self.answer()
        return not isinstance(answer, Job) or answer.phase is not Phase.OVER

    @property
    def pending(self) -> bool:
        answer = self.answer()
        return isinstance(answer, Job) and answer.phase is Phase.PENDING

    @property
    def never_began(self) -> bool:
        """Whether it was cancelled before it had a node: SLURM names none then."""
        answer = self.answer()
        return isinstance(answer, Job) and answer.cancelled and not answer.host

    def answer(self) -> Job | NotAsked:
        return read_state(self.state, reason=self.reason, job_id=self.job_id, host=self.host)


class _Unanswered(Snapshot):
    """SLURM was not asked, or gave no answer."""

    def __init__(self, why: str, warning: str = "") -> None:
        self.why = why
        self.warning = warning

    def answers(self, refs: Sequence[JobRef]) -> Mapping[JobRef, Answer]:
        return dict.fromkeys(refs, NotAsked(self.why))


class _Queue(Snapshot):
    """What squeue said."""

    def __init__(self, cluster: str, at: float, rows: Iterable[_Row], max_age: float) -> None:
        self._cluster = cluster
        self._at = at
        self._max_age = max_age
        self._user = login_name()
        self._by_task: dict[Task, _Row] = {}
        self._by_id: dict[str, _Row] = {}
        for row in rows:
            self._by_id[row.job_id] = row
            other = self._by_task.get(row.task)
            # A name that occurs twice was submitted twice: one that lives counts, then the later.
            if other is None or _rank(row) > _rank(other):
                self._by_task[row.task] = row

    def answers(self, refs: Sequence[JobRef]) -> Mapping[JobRef, Answer]:
        """The word of squeue; for runs it does not know, the accounting's, asked once."""
        found: dict[JobRef, Answer] = {}
        unknown: list[JobRef] = []
        for ref in refs:
            row = self.row(ref)
            if why := self.out_of_reach(ref.place):
                found[ref] = NotAsked(why)
            elif row is not None:
                found[ref] = row.answer()
            elif self._older_than(ref):
                found[ref] = NotAsked("squeue was asked before the job was submitted")
            else:
                unknown.append(ref)
        found.update(zip(unknown, self.accounted(unknown, max_age=self._max_age), strict=True))
        return found

    def accounted(self, refs: Sequence[JobRef], *, max_age: float) -> list[Answer]:
        """The accounting's word on runs that squeue does not know, asked once."""
        if not refs:
            return []
        return accounting.look_up(refs, cluster=self._cluster, asked=self._at, max_age=max_age)

    def row(self, ref: JobRef) -> _Row | None:
        """The job of a run: by its name, or by its id where it has been renamed."""
        row = self._by_task.get(task_of(ref))
        return row or (self._by_id.get(ref.place.job_id) if ref.place.job_id else None)

    def out_of_reach(self, place: Place) -> str:
        """Why this user's squeue on this cluster does not know a job; empty where it does."""
        if place.scheduler != SLURM:
            return f"it is no SLURM job but on {place.where}"
        if place.where != self._cluster:
            return f"it is on {place.where}, and this machine belongs to {self._cluster}"
        if place.user != self._user:
            return f"it is a job of {place.user}"
        return ""

    def _older_than(self, ref: JobRef) -> bool:
        parts = parse_key(ref.launch.partition(".")[0])
        return parts is not None and self._at < parts.time.timestamp() + _SUBMISSION


def _rank(row: _Row) -> tuple[bool, int]:
    return row.alive, int(row.job_id.partition("_")[0])


def _squeue(cluster: str, began: float, max_age: float) -> tuple[float, list[_Row]]:
    """When squeue was asked, and what it said: by this process, or by another one of the user.

    Raises:
        SchedulerError: squeue failed, here or in a process that was waited for.
    """
    file = f"squeue-{cluster}-{os.getuid()}.json"
    kept = _kept(file, began, max_age)
    if kept is not None:
        return kept
    with shared.lock(file):
        # Others may have asked while this process waited for its turn.
        kept = _kept(file, began, max_age)
        if kept is not None:
            return kept
        at = time.time()
        try:
            output = commands.call(_SQUEUE)
        except SchedulerError as error:
            shared.write(file, {"failed": time.time(), "why": [error.message, error.hint]})
            raise
        rows = [row for line in output.splitlines() if (row := _Row.parse(line))]
        shared.write(file, {"at": at, "rows": [dataclasses.astuple(row) for row in rows]})
        return at, rows


def _kept(file: str, began: float, max_age: float) -> tuple[float, list[_Row]] | None:
    """Another process's answer, where it is good enough.

    Raises:
        SchedulerError: another process's question failed while this one waited.
    """
    content: Any = shared.read(file)
    if not isinstance(content, dict):
        return None
    try:
        if "failed" in content:
            # Those who waited for the failed question do not each wait for another one.
            if content["failed"] >= began:
                raise SchedulerError(*content["why"])
            return None
        at = float(content["at"])
        rows = [_Row(*row) for row in content["rows"]]
    except (KeyError, TypeError, ValueError):
        return None
    current = shared.is_current(at, now=began, max_age=max_age)
    return (at, rows) if current and at > shared.forgotten_at() else None


def _ranges(job_ids: Iterable[str]) -> list[str]:
    """Job ids for scancel, an array's tasks together: `12`, `15_[0-3,7]`."""
    targets: list[str] = []
    arrays: dict[str, list[int]] = defaultdict(list)
    for job_id in dict.fromkeys(job_ids):
        job, _, task = job_id.partition("_")
        if task:
            arrays[job].append(int(task))
        else:
            targets.append(job)
    targets += [f"{job}_[{ranges(tasks)}]" for job, tasks in arrays.items()]
    return targets


def _names(refs: Sequence[JobRef]) -> str:
    names = list(dict.fromkeys(ref.key or ref.launch for ref in refs))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
