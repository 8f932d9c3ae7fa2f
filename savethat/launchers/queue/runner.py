"""The queue's runner: `python -m savethat.launchers.queue.runner`, detached from any terminal.

There is one for each environment that runs are queued from (see `environment`). It starts workers
as cores, GPUs and limits allow, and leaves when nothing is left to do. It holds nothing that would
be lost with it: the workers are processes of their own, and the next runner finds all in the store.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from savethat.launchers.foreground import this_process
from savethat.launchers.output import last_line, queue_output
from savethat.launchers.queue.devices import Held, cores, take
from savethat.launchers.queue.environment import own_fingerprint
from savethat.launchers.queue.job import Batch, Job, Needs, RunState
from savethat.launchers.queue.scheduler import KILLED
from savethat.launchers.queue.store import Store
from savethat.launchers.queue.workers import Worker, Workers

# How often to look for new runs, for devices that another user gave back, and for the end of
# workers that are not this process's children. Its own children wake it.
_POLL = 0.5
# How many launches are considered at a time, and how many runs of each.
_LAUNCHES, _OF_EACH = 256, 64
# A machine or a disk that is full now need not be so for ever: no reason to give up a run.
_PASSING = frozenset(
    {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT}
)


def fits(needs: Needs, *, of_launch: int, in_all: int) -> bool:
    """Whether one more run may start, by the limits on how many run at a time.

    What has no limit and takes neither cores nor GPUs of its own runs alone: it may use the whole
    machine.

    Args:
        needs: the run's.
        of_launch: how many of its launch run.
        in_all: how many of the queue run.
    """
    if needs.queue_limit and in_all >= needs.queue_limit:
        return False
    if needs.max_parallel:
        return of_launch < needs.max_parallel
    return bool(needs.queue_limit or needs.cpus or needs.gpus) or in_all == 0


class Runner:
    """Carries out what is queued from one environment.

    Args:
        store: the queue's.
        environment: the fingerprint of this process's environment.
    """

    def __init__(self, store: Store, environment: str) -> None:
        self._store = store
        self._environment = environment
        self._cores = cores()
        self._workers = Workers()
        self._children: dict[int, tuple[Worker, Job, Path]] = {}

    def run(self) -> None:
        """Works until nothing is left to do; at once where another runner has the environment."""
        here = this_process()
        if not self._store.enlist(self._environment, here.pid, here.pid_started):
            return
        alarm = _Alarm()
        while True:
            self._start(self._reap())
            if self._store.leave(self._environment):
                return
            alarm.sleep(_POLL)

    def _reap(self) -> list[Job]:
        """Notes the runs whose worker is gone; gives back those that are live."""
        for number, (worker, job, log) in list(self._children.items()):
            code = worker.poll()
            if code is not None:
                del self._children[number]
                # Where the worker has said how it went, this changes nothing.
                reason = ": ".join(filter(None, (_ending(code), last_line(log))))
                if code < 0:
                    self._store.end_killed(number, job.claim, reason)
                else:
                    self._store.end(number, job.claim, reason=reason)
        live = []
        for job in self._store.live():
            # Its own children it knows without asking the system for each.
            if job.number in self._children or job.state is RunState.STARTING or job.alive:
                live.append(job)
            else:
                self._store.end_killed(job.number, job.claim, KILLED)
        return live

    def _start(self, live: Sequence[Job]) -> None:
        """Starts workers, first come, first served; who does not fit is passed by."""
        running = Counter(job.launch for job in live)
        # What was asked for in vain is not there for the next that asks for the same.
        short: set[tuple[int, tuple[int, ...], int]] = set()
        waiting = self._store.queued(self._environment, launches=_LAUNCHES, of_each=_OF_EACH)
        for job, batch in waiting:
            needs = batch.needs
            if not fits(needs, of_launch=running[batch.id], in_all=running.total()):
                continue
            asked = needs.gpus, needs.devices, needs.cpus
            held = None if asked in short else self._take(needs)
            if held is None:
                short.add(asked)
                continue
            with contextlib.closing(held):
                try:
                    running[batch.id] += self._start_run(job, batch, held, running.total())
                except OSError:
                    return  # for the next ones the machine is full, too

    def _take(self, needs: Needs) -> Held | None:
        return take(gpus=needs.gpus, of_gpus=needs.devices, cpus=needs.cpus, of_cores=self._cores)

    def _start_run(self, job: Job, batch: Batch, held: Held, live: int) -> bool:
        """Starts a run's worker, if so many runs are live; whether it did.

        Raises:
            OSError: the machine is too full for one more process; the run waits again.
        """
        claim = self._store.start(job, live)
        if claim is None:
            return False
        try:
            self._start_worker(dataclasses.replace(job, claim=claim), batch, held)
        except OSError as error:
            if error.errno in _PASSING:
                self._store.put_back(job.number, claim)
                raise
            self._store.end(job.number, claim, reason=f"its worker cannot start: {error}")
            return False
        return True

    def _start_worker(self, job: Job, batch: Batch, held: Held) -> None:
        words = [str(batch.folder / "order.json"), str(job.position), str(job.number)]
        words += [str(job.claim), _numbers(held.cores), _numbers(held.locks)]
        # An empty list hides the GPUs from a run that asked for none.
        visible = {"CUDA_VISIBLE_DEVICES": _numbers(held.gpus)} if batch.needs.devices else {}
        log = queue_output(batch.folder, job.position)
        with self._store.closed():
            worker = self._workers.start(
                batch.python, words, environ=visible, log=log, locks=held.locks
            )
        self._children[job.number] = worker, job, log


class _Alarm:
    """Sleeps, and wakes when a child ends; one a process.

    Not with an event that a signal handler sets: where the signal comes while the event's own lock
    is held, by the very thread that runs handlers, that waits for it for ever. A simple queue may
    be put into at any moment.
    """

    def __init__(self) -> None:
        self._ends: SimpleQueue[int] = SimpleQueue()
        signal.signal(signal.SIGCHLD, lambda number, _: self._ends.put(number))

    def sleep(self, seconds: float) -> None:
        """Sleeps so long, or until a child ends; not at all where one has ended since last time."""
        with contextlib.suppress(Empty):
            self._ends.get(timeout=seconds)
            while True:
                self._ends.get_nowait()


def _ending(code: int) -> str:
    """How a worker ended that did not say it itself."""
    if code < 0:
        return f"{KILLED} by {signal.Signals(-code).name}"
    return f"its worker ended with exit code {code}"


def _numbers(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def main() -> None:
    """Runs the queue in this process's environment."""
    # A shell starts what it sends to the background with this one ignored, and children inherit it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with Store() as store:
        Runner(store, own_fingerprint()).run()


if __name__ == "__main__":
    main()
