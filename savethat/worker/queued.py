"""The worker of a run in this machine's queue, started by the queue's runner.

`python -m savethat.worker.queued ORDER POSITION NUMBER CLAIM CORES LOCKS`: the launch's order, the
run's place in it, its number in the queue and the claim to it, and the devices that it holds.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from savethat.config import credentials
from savethat.errors import SavethatError
from savethat.launchers.foreground import this_process
from savethat.launchers.output import queue_output
from savethat.launchers.processes import INSIDE_A_RUN
from savethat.launchers.queue.store import Store
from savethat.run.record import QUEUE
from savethat.worker.capsule import running_from
from savethat.worker.errand import one_line
from savethat.worker.folder import RunFolder
from savethat.worker.order import Order
from savethat.worker.post import Post
from savethat.worker.process import ChildProcess
from savethat.worker.restart import earlier_ending
from savethat.worker.signals import STOPS
from savethat.worker.supervisor import supervise

# How long a node may take to end after it was cancelled, before it is killed.
GRACE = 10.0


def main(argv: list[str]) -> None:
    """Carries out one run of the order, if it is still this worker's to carry out."""
    path, position, number, claim = Path(argv[1]), int(argv[2]), int(argv[3]), int(argv[4])
    cores, locks = _numbers(argv[5]), _numbers(argv[6])
    # A cancellation between the claim and the supervisor's handlers waits for these.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    place = this_process(QUEUE, QUEUE, str(number))
    with Store() as store:
        if not store.claim(number, claim, place.pid, place.pid_started):
            return
        restarts = store.restarts(number)
    ending, reason = "", ""
    try:
        order = Order.read(path)
        secret = credentials(order.config) if order.config.b2 else None
        if restarts:
            # Killed after its last mark: all that was left to do is to say so here.
            ending = earlier_ending(order.config, secret, order.run(position))
            if ending:
                return
            order = order.restarted(position, restarts)
        if cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cores)
        post = Post(
            place,
            RunFolder.in_place(order.config, order.run(position).key),
            secret,
            published=True,
            batch_log=queue_output(path.parent, position),
        )
        with running_from(order, post.credentials) as order:
            outcome = supervise(order, position, post, ChildProcess(grace=GRACE, held=locks))
        ending, reason = outcome.ending.mark, outcome.ending.reason
    except (SavethatError, OSError) as error:
        reason = str(error)
    except Exception as error:
        # A fault of ours: it left no mark, so the queue is where `ls` finds the reason.
        reason = one_line(error)
        raise
    finally:
        with Store() as store:
            store.end(number, claim, ending=ending, reason=reason)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(",") if word)


if __name__ == "__main__":
    # What this process starts is part of the run.
    os.environ[INSIDE_A_RUN] = "1"
    main(sys.argv)
