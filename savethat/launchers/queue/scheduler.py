"""This machine's queue as it is asked."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Mapping, Sequence

from savethat.errors import SchedulerError
from savethat.launchers.base import JobRef, Scheduler, Snapshot
from savethat.launchers.foreground import is_alive, login_name, machine_id, terminate
from savethat.launchers.queue.job import Job as Queued
from savethat.launchers.queue.job import RunState
from savethat.launchers.queue.store import Store, queue_file
from savethat.run.record import QUEUE, Place
from savethat.run.status import Answer, Job, NoSuchJob, NotAsked, Phase

KILLED = "its worker was killed"

# A launch, and the key of one of its runs.
Task = tuple[str, str]


class Queue(Scheduler):
    """This user's queue on this machine."""

    def ask(self, *, max_age: float) -> Snapshot:
        """What the queue's file says now; reading it costs too little to share answers."""
        now = time.time()
        if not queue_file().exists():
            return _Queued([], now)
        try:
            with Store() as store:
                return _Queued(store.unfinished(), now)
        except SchedulerError as error:
            return _Unreadable(error.message)

    def cancel(self, refs: Sequence[JobRef]) -> Sequence[JobRef]:
        """Takes waiting runs out of the queue, and sends SIGTERM to the workers of running ones.

        Returns:
            Those that waited.

        Raises:
            SchedulerError: a run is in another machine's or another user's queue; then none is
                cancelled.
        """
        for ref in refs:
            if why := _out_of_reach(ref.place):
                raise SchedulerError(
                    f"{ref.key} cannot be cancelled from here: {why}",
                    f"run savethat cancel as {ref.place.user} on {ref.place.host}",
                )
        with Store() as store:
            # What a killed worker has left waits, and is taken out like the others.
            store.recover()
            gone = store.cancel([_task(ref) for ref in refs])
            jobs = _by_task(store.jobs([ref.launch for ref in refs]))
        never = []
        for ref in refs:
            job = jobs.get(_task(ref))
            if _task(ref) in gone:
                never.append(ref)
            elif job is not None and job.state is RunState.RUNNING:
                terminate(job.pid, job.pid_started)
            elif job is None and not _terminate(ref.place):
                never.append(ref)
        return never


class _Queued(Snapshot):
    """What the queue's file, and the process table, said when they were asked.

    Both at that time, and nothing later: a run that ends while its marks are listed is running.
    """

    def __init__(self, unfinished: Sequence[Queued], asked: float) -> None:
        self._asked = asked
        self._words = {(job.launch, job.key): _word(job) for job in unfinished}

    def answers(self, refs: Sequence[JobRef]) -> Mapping[JobRef, Answer]:
        """The word on each run; those that were over, or not queued yet, are looked up together."""
        answers: dict[JobRef, Answer] = {}
        others: list[JobRef] = []
        for ref in refs:
            if why := _out_of_reach(ref.place):
                answers[ref] = NotAsked(why)
            elif (word := self._words.get(_task(ref))) is not None and ref.attempt <= word.attempt:
                answers[ref] = word
            else:
                others.append(ref)
        if not others:
            return answers
        try:
            return answers | self._look_up(others)
        except SchedulerError as error:
            return answers | dict.fromkeys(others, NotAsked(error.message))

    def _look_up(self, refs: Sequence[JobRef]) -> dict[JobRef, Answer]:
        jobs: dict[Task, Queued] = {}
        if queue_file().exists():
            with Store() as store:
                jobs = _by_task(store.jobs([ref.launch for ref in refs]))
        answers: dict[JobRef, Answer] = {}
        for ref in refs:
            job = jobs.get(_task(ref))
            if job is None or ref.attempt > job.attempt + job.restarts:
                # A queue whose file was lost still knows a worker by its process.
                lives = ref.place.pid and is_alive(ref.place.pid, ref.place.pid_started)
                answers[ref] = Job(Phase.RUNNING, host=ref.place.host) if lives else NoSuchJob()
            elif job.ending in ("completed", "failed") and job.changed >= self._asked:
                # Queued and ended since: its mark was not there yet when the marks were listed.
                answers[ref] = dataclasses.replace(_word(job), phase=Phase.RUNNING, reason="")
            else:
                answers[ref] = _word(job)
        return answers


class _Unreadable(Snapshot):
    """The queue's file could not be read."""

    def __init__(self, why: str) -> None:
        self.warning = self._why = why

    def answers(self, refs: Sequence[JobRef]) -> Mapping[JobRef, Answer]:
        return dict.fromkeys(refs, NotAsked(self._why))


def _word(job: Queued) -> Job:
    """What the queue says of a run that it knows."""
    word = Job(
        Phase.OVER,
        job_id=str(job.number),
        host=socket.gethostname(),
        attempt=job.attempt + job.restarts,
    )
    if job.state is RunState.QUEUED:
        return dataclasses.replace(word, phase=Phase.PENDING, host="")
    if job.state is RunState.STARTING:
        return dataclasses.replace(word, phase=Phase.PENDING, reason="starting", host="")
    if job.state is RunState.OVER:
        cancelled = job.ending == "cancelled"
        reason = job.reason or ("cancelled" if cancelled else "")
        return dataclasses.replace(word, reason=reason, cancelled=cancelled)
    if job.alive:
        return dataclasses.replace(word, phase=Phase.RUNNING)
    if job.may_restart:
        # Its runner, or the next command that looks, puts it back.
        again = word.attempt + 1
        return dataclasses.replace(word, phase=Phase.PENDING, host="", attempt=again)
    return dataclasses.replace(word, reason=KILLED)


def _terminate(place: Place) -> bool:
    """Ends a worker that the queue's file, which was lost, does not tell of; whether one lived."""
    return bool(place.pid) and terminate(place.pid, place.pid_started)


def _by_task(jobs: Sequence[Queued]) -> dict[Task, Queued]:
    return {(job.launch, job.key): job for job in jobs}


def _task(ref: JobRef) -> Task:
    return ref.launch, ref.key


def _out_of_reach(place: Place) -> str:
    """Why this queue does not know a run; empty where it does."""
    if place.scheduler != QUEUE:
        return f"it is in no queue but on {place.where}"
    if place.machine != machine_id():
        return f"it is in the queue of {place.host or 'another machine'}"
    if place.user != login_name():
        return f"it is in the queue of {place.user}"
    return ""
