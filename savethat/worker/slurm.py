"""The worker of a SLURM job, run by its batch script: `savethat.worker.slurm ORDER OFFSET`."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path

from savethat.config import Config, Credentials, credentials
from savethat.errors import ConfigError, SavethatError
from savethat.launchers.foreground import this_process
from savethat.launchers.output import job_output
from savethat.launchers.slurm.limits import parse_limit
from savethat.launchers.slurm.own_job import OwnJob
from savethat.run.record import SLURM, Place
from savethat.worker.capsule import running_from
from savethat.worker.errand import Ending, Errand, Runner
from savethat.worker.folder import RunFolder
from savethat.worker.journal import Journal
from savethat.worker.order import Order
from savethat.worker.post import Post
from savethat.worker.process import ChildProcess
from savethat.worker.restart import earlier_ending
from savethat.worker.signals import Signals
from savethat.worker.supervisor import supervise

# Of the time between SIGTERM and SIGKILL the node gets this share, and at most so many seconds, to
# come to an end; its files get the rest.
GRACE_SHARE, MOST_GRACE = 0.35, 10.0


def main(argv: list[str], environ: dict[str, str]) -> int:
    """Carries out one run of the order; the exit code is the job's: 0 for completed."""
    path = Path(argv[1])
    order = Order.read(path)
    # The array's indices begin at 0 again in each array of a launch.
    position = int(argv[2]) + int(environ.get("SLURM_ARRAY_TASK_ID", "0"))
    restarts = int(environ.get("SLURM_RESTART_COUNT", "0"))
    secret = _credentials(order.config)
    if restarts:
        # Its machine may have failed after its last mark.
        if earlier_ending(order.config, secret, order.run(position)):
            return 0
        order = order.restarted(position, restarts)
    run, launch = order.run(position), order.launch
    place = _place(order, environ)
    output = job_output(path.parent, launch.id, position, launch.array_size)
    job = OwnJob(place.job_id, restarts, launch.requeue, output)
    post = Post(
        place,
        RunFolder.scratch(order.config, run.key, run.attempt),
        secret,
        published=True,
        deadline=_deadline(order, environ),
        batch_log=output,
        job=job,
        sync=order.config.sync,
    )
    runner: Runner = ChildProcess(
        grace=min(MOST_GRACE, job.kill_wait * GRACE_SHARE),
        cause=job.cause,
        memory=str(launch.resources.get("mem", "")),
    )
    if restarts > launch.requeue:
        # SLURM starts a job again as often as it must.
        runner = Refusal(f"requeued {restarts} times (--requeue {launch.requeue})")
    with running_from(order, post.credentials) as order:
        outcome = supervise(order, position, post, runner)
    reason = f": {outcome.ending.reason}" if outcome.ending.reason else ""
    sys.stderr.write(f"{run.key} {outcome.ending.mark}{reason}\n")
    if not outcome.synced:
        sys.stderr.write(f"kept in {order.config.local_path}: {outcome.trouble}\n")
    return 0 if outcome.ending.mark == "completed" else 1


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Runs no node: the attempt is one too many."""

    reason: str

    def run(self, errand: Errand, journal: Journal, signals: Signals) -> Ending:
        """Ends at once."""
        return Ending("failed", self.reason)


def _credentials(config: Config) -> Credentials | None:
    """The bucket's; without any, the shared file system takes the run, and the login node sends."""
    try:
        return credentials(config) if config.b2 else None
    except ConfigError:
        return None


def _deadline(order: Order, environ: dict[str, str]) -> float | None:
    """When SLURM ends the job, seconds since the epoch; None where no limit is known."""
    if end := environ.get("SLURM_JOB_END_TIME"):
        return float(end)
    # SLURM before 23.02 does not tell the job; the limit that was asked for does.
    limit = order.launch.resources.get("time")
    return time.time() + parse_limit(str(limit)) if limit is not None else None


def _place(order: Order, environ: dict[str, str]) -> Place:
    here = this_process()
    array = environ.get("SLURM_ARRAY_JOB_ID")
    job_id = (
        f"{array}_{environ['SLURM_ARRAY_TASK_ID']}" if array else environ.get("SLURM_JOB_ID", "")
    )
    return dataclasses.replace(
        here,
        scheduler=SLURM,
        where=order.launch.place.where,
        user=order.launch.place.user,
        host=environ.get("SLURMD_NODENAME", here.host),
        job_id=job_id,
    )


if __name__ == "__main__":
    try:
        code = main(sys.argv, dict(os.environ))
    except SavethatError as error:
        # The last line of the job's output is what `ls` shows of a run that left no other word.
        sys.exit(f"{error.message}" + (f" ({error.hint})" if error.hint else ""))
    sys.exit(code)
