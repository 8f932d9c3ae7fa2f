"""The queue's runner: `python -m savethat.launchers.queue.runner`, detached from any terminal.

There is one for each environment that runs are queued from (see `environment`). It starts workers
as cores, GPUs and limits allow, and leaves when nothing is left to do. It holds nothing that would
be lost with it: the workers are processes of their own, and the next runner finds all in the store.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from savethat.launchers.foreground import this_process
from savethat.launchers.output import last_line, queue_output
from savethat.launchers.queue.devices import Held, cores, take
from savethat.launchers.queue.environment import fingerprint
from savethat.launchers.queue.scheduler import KILLED
from savethat.launchers.queue.store import Batch, Job, Needs, RunState, Store

# How often to look for new runs, for devices that another user gave back, and for the end of
# workers that are not this process's children. Its own children wake it.
_POLL = 0.5
# How many runs of a launch are considered at a time.
_LOOK_AHEAD = 64


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
        self._children: dict[int, tuple[subprocess.Popen[bytes], Job, Path]] = {}
        self._wake = threading.Event()

    def run(self) -> None:
        """Works until nothing is left to do; at once where another runner has the environment."""
        here = this_process()
        enlisted = self._store.enlist(self._environment, here.pid, here.pid_started)
        self._store.adopt(self._environment)
        if not enlisted:
            return
        signal.signal(signal.SIGCHLD, lambda *_: self._wake.set())
        self._store.put_back(self._environment)
        while True:
            self._wake.clear()
            self._reap()
            self._start()
            if self._store.leave(self._environment):
                return
            self._wake.wait(_POLL)

    def _reap(self) -> None:
        """Notes the runs whose worker is gone."""
        for number, (process, job, log) in list(self._children.items()):
            if process.poll() is not None:
                del self._children[number]
                # Where the worker has said how it went, this changes nothing.
                reason = ": ".join(filter(None, (_ending(process.returncode), last_line(log))))
                self._store.end(number, job.claim, reason=reason)
        for job in self._store.live():
            if job.state is RunState.RUNNING and not job.alive:
                self._store.end(job.number, job.claim, reason=KILLED)

    def _start(self) -> None:
        """Starts workers, first come, first served; who does not fit is passed by."""
        running = Counter(job.launch for job in self._store.live())
        for job, batch in self._store.queued(self._environment, _LOOK_AHEAD):
            needs = batch.needs
            if not fits(needs, of_launch=running[batch.id], in_all=running.total()):
                continue
            held = take(
                gpus=needs.gpus, of_gpus=needs.devices, cpus=needs.cpus, of_cores=self._cores
            )
            if held is None:
                continue
            with contextlib.closing(held):
                claim = self._store.start(job)
                if claim is not None:
                    running[batch.id] += 1
                    self._start_worker(dataclasses.replace(job, claim=claim), batch, held)

    def _start_worker(self, job: Job, batch: Batch, held: Held) -> None:
        order = batch.folder / "order.json"
        command = [batch.python, "-u", "-m", "savethat.worker.queued", str(order)]
        command += [str(job.position), str(job.number), str(job.claim)]
        command += [_numbers(held.cores), _numbers(held.locks)]
        environ = dict(os.environ)
        if batch.needs.devices:
            # An empty list hides the GPUs from a run that asked for none.
            environ["CUDA_VISIBLE_DEVICES"] = _numbers(held.gpus)
        log = queue_output(batch.folder, job.position)
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environ,
                    pass_fds=held.locks,
                    # It goes on when this runner is killed.
                    start_new_session=True,
                )
        except OSError as error:
            self._store.end(job.number, job.claim, reason=f"its worker cannot start: {error}")
        else:
            self._children[job.number] = process, job, log


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
        Runner(store, fingerprint(os.environ)).run()


if __name__ == "__main__":
    main()
