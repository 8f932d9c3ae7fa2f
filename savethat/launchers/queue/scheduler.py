"""This machine's queue as it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from savethat.errors import SchedulerError
from savethat.launchers.base import JobRef, Scheduler, Snapshot
from savethat.launchers.foreground import is_alive, login_name, machine_id, terminate
from savethat.launchers.queue.store import Job as Queued
from savethat.launchers.queue.store import RunState, Store, queue_file
from savethat.run.record import QUEUE, Place
from savethat.run.status import Answer, Job, NoSuchJob, NotAsked, Phase

KILLED = "its worker was killed"

Task = tuple[str, int]


class Queue(Scheduler):
    """This user's queue on this machine."""

    def ask(self, *, max_age: float) -> Snapshot:
        """What the queue's file says now; reading it costs too little to share answers."""
        if not queue_file().exists():
            return _Queued([])
        try:
            with Store() as store:
                return _Queued(store.unfinished())
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
            gone = store.cancel([(ref.key, ref.attempt) for ref in refs])
            jobs = _by_task(store.jobs([ref.launch for ref in refs]))
        for ref in refs:
            job = jobs.get((ref.key, ref.attempt))
            if job is not None and job.state is RunState.RUNNING:
                terminate(job.pid, job.pid_started)
        return [ref for ref in refs if (ref.key, ref.attempt) in gone or _task(ref) not in jobs]


class _Queued(Snapshot):
    """What the queue's file said."""

    def __init__(self, unfinished: Sequence[Queued]) -> None:
        self._unfinished = _by_task(unfinished)

    def answers(self, refs: Sequence[JobRef]) -> Mapping[JobRef, Answer]:
        """The word on each run; those that are over by now are looked up together."""
        answers: dict[JobRef, Answer] = {}
        others: list[JobRef] = []
        for ref in refs:
            if why := _out_of_reach(ref.place):
                answers[ref] = NotAsked(why)
            elif (job := self._unfinished.get(_task(ref))) is not None:
                answers[ref] = _answer(job, ref.place)
            else:
                others.append(ref)
        jobs: dict[Task, Queued] = {}
        if others and queue_file().exists():
            try:
                with Store() as store:
                    jobs = _by_task(store.jobs([ref.launch for ref in others]))
            except SchedulerError as error:
                return answers | dict.fromkeys(others, NotAsked(error.message))
        for ref in others:
            job = jobs.get(_task(ref))
            # A queue whose file was lost still knows a worker by its process.
            lives = ref.place.pid and is_alive(ref.place.pid, ref.place.pid_started)
            unknown = Job(Phase.RUNNING, host=ref.place.host) if lives else NoSuchJob()
            answers[ref] = _answer(job, ref.place) if job is not None else unknown
        return answers


class _Unreadable(Snapshot):
    """The queue's file could not be read."""

    def __init__(self, why: str) -> None:
        self.warning = self._why = why

    def answers(self, refs: Sequence[JobRef]) -> Mapping[JobRef, Answer]:
        return dict.fromkeys(refs, NotAsked(self._why))


def _answer(job: Queued, place: Place) -> Answer:
    job_id = str(job.number)
    if job.state is RunState.QUEUED:
        return Job(Phase.PENDING, job_id=job_id)
    if job.state is RunState.STARTING:
        return Job(Phase.PENDING, "starting", job_id=job_id)
    if job.state is RunState.RUNNING:
        if job.alive:
            return Job(Phase.RUNNING, job_id=job_id, host=place.host)
        return Job(Phase.OVER, KILLED, job_id=job_id, host=place.host)
    cancelled = job.ending == "cancelled"
    reason = job.reason or ("cancelled" if cancelled else "")
    return Job(Phase.OVER, reason, cancelled, job_id, place.host)


def _by_task(jobs: Sequence[Queued]) -> dict[Task, Queued]:
    return {(job.key, job.attempt): job for job in jobs}


def _task(ref: JobRef) -> Task:
    return ref.key, ref.attempt


def _out_of_reach(place: Place) -> str:
    """Why this queue does not know a run; empty where it does."""
    if place.scheduler != QUEUE:
        return f"it is in no queue but on {place.where}"
    if place.machine != machine_id():
        return f"it is in the queue of {place.host or 'another machine'}"
    if place.user != login_name():
        return f"it is in the queue of {place.user}"
    return ""
