"""A queue on this machine, for servers without SLURM: no daemon, no set-up.

- `store`: what it knows, in one SQLite file
- `runner`: the process that carries it out, and leaves when there is nothing left to do
- `devices`: GPUs and cores, each one run's at a time, whoever's
- `environment`: whose environment the runs get
- `scheduler`: the queue as `ls` and `cancel` ask it
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from savethat.launchers.queue.environment import fingerprint
from savethat.launchers.queue.store import Batch, Needs, Store, queue_file

__all__ = ["Batch", "Needs", "enqueue", "revive"]


def enqueue(batch: Batch, runs: Sequence[tuple[str, int, int]]) -> list[int]:
    """Queues runs of a launch, and sees to it that a runner lives; see `Store.add`.

    Raises:
        SchedulerError: the queue's file cannot be written.
    """
    environment = fingerprint(os.environ)
    with Store() as store:
        new = store.add(batch, runs, environment)
        if new and store.needs_runner(environment):
            _start_runner()
    return new


def revive() -> None:
    """Starts a runner where runs wait and theirs has died: after a crash, or a reboot.

    Raises:
        SchedulerError: the queue's file cannot be read.
    """
    if not queue_file().exists():
        return
    with Store() as store:
        if store.has_orphans():
            _start_runner()


def _start_runner() -> None:
    """Starts a runner that outlives this process and its terminal."""
    command = [sys.executable, "-m", "savethat.launchers.queue.runner"]
    log = queue_file().with_suffix(".log")
    with log.open("ab") as output:
        # Through a shell that ends at once: a runner that is nobody's child leaves no zombie.
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,
            check=True,
        )
