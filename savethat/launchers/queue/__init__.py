"""A queue on this machine, for servers without SLURM: no daemon, no set-up.

- `job`: a run in it, and what it takes up
- `store`, `schema`: what it knows, in one SQLite file
- `runner`: the process that carries it out, and leaves when there is nothing left to do
- `workers`: how it starts a run's worker
- `devices`: GPUs and cores, each one run's at a time, whoever's
- `environment`: whose environment the runs get
- `scheduler`: the queue as `ls` and `cancel` ask it
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from savethat.errors import SchedulerError
from savethat.launchers.processes import INSIDE_A_RUN, start_detached
from savethat.launchers.queue.environment import own_fingerprint
from savethat.launchers.queue.job import Batch, Needs
from savethat.launchers.queue.store import Store, queue_file

__all__ = ["Batch", "Needs", "enqueue", "revive"]


def enqueue(batch: Batch, runs: Sequence[tuple[str, int, int]]) -> list[int]:
    """Queues runs of a launch, and sees to it that a runner lives; see `Store.add`.

    Raises:
        SchedulerError: the queue's file cannot be written, or no process can be started.
    """
    environment = own_fingerprint()
    with Store() as store:
        # Together: who looks in between would take these for runs whose runner has died.
        with store.transaction():
            new = store.add(batch, runs, environment)
            called = store.call_runner(environment)
        if called:
            _start_runner()
    return new


def revive() -> None:
    """Starts a runner where runs wait and theirs has died: after a crash, or a reboot.

    What ran then waits again, as often as its launch allows. They get the environment of this
    process, unless that is a run: its environment has the run's devices in it, and no credentials.
    A queue that cannot be read is passed by: whoever asks it something is told.
    """
    if INSIDE_A_RUN in os.environ or not queue_file().exists():
        return
    environment = own_fingerprint()
    with contextlib.suppress(SchedulerError), Store() as store:
        store.recover()
        store.adopt(environment)
        if store.call_runner(environment):
            _start_runner()


def _start_runner() -> None:
    """Starts a runner that outlives this process and its terminal."""
    command = [sys.executable, "-m", "savethat.launchers.queue.runner"]
    try:
        with queue_file().with_suffix(".log").open("ab") as output:
            start_detached(command, cwd=Path("/"), output=output)
    except (OSError, subprocess.SubprocessError) as error:
        raise SchedulerError(
            f"the runner of this machine's queue cannot be started: {error}",
            "savethat ls tries again",
        ) from error
