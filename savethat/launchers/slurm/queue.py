"""SLURM as it is asked: one squeue for all of a user's runs, shared between their processes."""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from savethat.errors import SchedulerError
from savethat.launchers.base import JobRef, Scheduler, Snapshot
from savethat.launchers.foreground import login_name
from savethat.launchers.slurm import accounting, commands, shared
from savethat.launchers.slurm.accounting import Task, task_of
from savethat.launchers.slurm.arrays import ranges
from savethat.launchers.slurm.squeue import Row, Said, squeue
from savethat.run.key import parse_key
from savethat.run.layout import parse_job_name
from savethat.run.record import SLURM, Place
from savethat.run.status import Answer, Job, NoSuchJob, NotAsked, Phase

# A launch's id carries its time; its job comes to SLURM a little later.
_SUBMISSION = 60.0
_TOO_EARLY = "squeue was asked before the job was submitted"
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
            cluster = commands.cluster_name(max_age=max_age)
            said = squeue(cluster, began, max_age)
        except SchedulerError as error:
            return _Unanswered(
                f"SLURM could not be asked: {error.message}",
                warning=f"SLURM could not be asked: {error.message}",
            )
        return _Queue(cluster, said, max_age)

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
        jobless = self._without_job(
            "cancel", snapshot, [ref for ref, row in rows.items() if not row]
        )
        pending = [ref for ref, row in rows.items() if row and row.pending]
        targets = _ranges(row.job_id for row in rows.values() if row and row.alive)
        try:
            for start in range(0, len(targets), _IDS_A_CALL):
                commands.call(["scancel", *targets[start : start + _IDS_A_CALL]])
        finally:
            shared.forget_answers()
        return [*(self._never_began(pending) if pending else []), *jobless]

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
        jobless = self._without_job("submit", snapshot, [ref for ref, row in rows if not row])
        return jobless, sorted(alive)

    def _without_job(self, what: str, snapshot: _Queue, refs: Sequence[JobRef]) -> list[JobRef]:
        """Those that the accounting does not know either: nobody submits them meanwhile.

        Raises:
            SchedulerError: that could not be told of one of them.
        """
        words = dict(zip(refs, snapshot.accounted(refs, max_age=0), strict=True))
        for ref, word in words.items():
            if isinstance(word, NotAsked):
                raise SchedulerError(
                    f"cannot {what} {_names([ref])}: {word.why}", "try again when sacct answers"
                )
        return [ref for ref, word in words.items() if isinstance(word, NoSuchJob)]

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


class _Unanswered(Snapshot):
    """SLURM was not asked, or gave no answer."""

    def __init__(self, why: str, warning: str = "") -> None:
        self.why = why
        self.warning = warning

    def answers(self, refs: Sequence[JobRef]) -> Mapping[JobRef, Answer]:
        return dict.fromkeys(refs, NotAsked(self.why))


class _Queue(Snapshot):
    """What squeue said."""

    def __init__(self, cluster: str, said: Said, max_age: float) -> None:
        self._cluster = cluster
        self._said = said
        self._max_age = max_age
        self._user = login_name()
        self._by_task: dict[Task, Row] = {}
        self._by_id = {row.job_id: row for row in said.rows}
        for row in said.rows:
            other = self._by_task.get(row.task)
            # A name that occurs twice was submitted twice: one that lives counts, then the later.
            if other is None or _rank(row) > _rank(other):
                self._by_task[row.task] = row

    def answers(self, refs: Sequence[JobRef]) -> Mapping[JobRef, Answer]:
        """The word of squeue; where it knows no job, or no more of its end, the accounting's."""
        found: dict[JobRef, Answer] = {}
        unknown: list[JobRef] = []
        vague: list[JobRef] = []
        for ref in refs:
            row = self.row(ref)
            if why := self.out_of_reach(ref.place):
                found[ref] = NotAsked(why)
            elif row is not None:
                found[ref] = row.answer()
                if row.is_vague:
                    vague.append(ref)
            else:
                unknown.append(ref)
        words = self.accounted([*unknown, *vague], max_age=self._max_age)
        changed = shared.generation() != self._said.generation
        for ref, word in zip([*unknown, *vague], words, strict=True):
            if ref not in found:
                found[ref] = self._beside_silence(ref, word, changed=changed)
            elif isinstance(word, Job) and word.phase is Phase.OVER:
                found[ref] = word
        return found

    def accounted(self, refs: Sequence[JobRef], *, max_age: float) -> list[Answer]:
        """The accounting's word on runs that squeue does not know, asked once."""
        if not refs:
            return []
        words = accounting.look_up(refs, cluster=self._cluster, max_age=max_age)
        return [self._renamed(ref) or word for ref, word in zip(refs, words, strict=True)]

    def row(self, ref: JobRef) -> Row | None:
        """The job of a run, by its name. Not by its id: SLURM uses that again."""
        return self._by_task.get(task_of(ref))

    def _renamed(self, ref: JobRef) -> NotAsked | None:
        """Doubt, where a job with the run's id lives under a name that is no run's.

        Someone has renamed it, or it is another job by now.
        """
        row = self._by_id.get(ref.place.job_id)
        if row is None or not row.alive or _is_a_launch(row.name):
            return None
        return NotAsked(f"SLURM has a job {row.job_id} under the name {row.name}")

    def out_of_reach(self, place: Place) -> str:
        """Why this user's squeue on this cluster does not know a job; empty where it does."""
        if place.scheduler != SLURM:
            return f"it is no SLURM job but on {place.where}"
        if place.where != self._cluster:
            return f"it is on {place.where}, and this machine belongs to {self._cluster}"
        if place.user != self._user:
            return f"it is a job of {place.user}"
        return ""

    def _beside_silence(self, ref: JobRef, word: Answer, *, changed: bool) -> Answer:
        """The accounting's word on a run, beside what it means that squeue does not know the job.

        Args:
            ref: the run.
            word: what the accounting said, after squeue.
            changed: whether something was submitted or cancelled since squeue was asked.
        """
        over = isinstance(word, Job) and word.phase is Phase.OVER
        if over or isinstance(word, NotAsked):
            return word
        if changed or self._precedes(ref):
            return word if isinstance(word, Job) else NotAsked(_TOO_EARLY)
        if isinstance(word, Job):
            # The controller has forgotten it; the accounting has missed its end.
            return dataclasses.replace(
                word, phase=Phase.OVER, reason="the job ended without a word"
            )
        return word

    def _precedes(self, ref: JobRef) -> bool:
        """Whether squeue may have been asked before the job was submitted.

        By the clock of the machine that launched it; one that is ahead of this machine's clock
        tells nothing.
        """
        parts = parse_key(ref.launch.partition(".")[0])
        if parts is None:
            return False
        launched = parts.time.timestamp()
        return self._said.at - _SUBMISSION < launched <= time.time() + shared.CLOCK_SKEW


def _rank(row: Row) -> tuple[bool, int]:
    return row.alive, int(row.job_id.partition("_")[0])


def _is_a_launch(name: str) -> bool:
    """Whether a job is called as savethat calls its own."""
    launch, _ = parse_job_name(name, 0)
    return parse_key(launch.partition(".")[0]) is not None


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
