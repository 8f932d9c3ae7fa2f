"""A job of SLURM's as seen from inside: why it is being ended, and whether it starts again.

slurmstepd writes the cause into the job's output before it signals the job, so that knowing it
costs the controller nothing; the controller is asked only whether it starts the job again.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from pathlib import Path

from savethat.errors import SchedulerError
from savethat.launchers.reasons import CANCELLED, NODE_FAILURE, PREEMPTED, REQUEUED, TIMEOUT
from savethat.launchers.slurm import commands, shared

# What ends an attempt and says nothing against another one.
FROM_OUTSIDE = frozenset({PREEMPTED, REQUEUED, TIMEOUT, NODE_FAILURE})

# `slurmstepd-n1: error: *** JOB 5 ON n1 CANCELLED AT 2026-11-25T01:36:43 DUE TO TIME LIMIT ***`
# Source: _handle_signal_container in slurmstepd's req.c, SLURM 20.02 to 25.05.
_SAID = re.compile(rb"slurmstepd.*\*\*\* (?:JOB|STEP) .* CANCELLED AT \S+(?: DUE TO (.+?))? \*\*\*")
_CAUSES = {
    b"": CANCELLED,
    b"TIME LIMIT": TIMEOUT,
    b"PREEMPTION": PREEMPTED,
    b"JOB REQUEUE": REQUEUED,
    b"NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS": NODE_FAILURE,
}
_TAIL = 65_536
# A job that is being ended has no time to wait long for a busy controller.
_PATIENCE = 4.0
_KILL_WAIT = 30.0
_MAX_AGE = 86_400.0


class OwnJob:
    """The job that this process is in.

    Args:
        job_id: SLURM's id, with the array's index.
        restarts: how often SLURM has started it again so far.
        requeue: how often that may be, by the launch.
        output: what the job prints.
    """

    def __init__(self, job_id: str, restarts: int, requeue: int, output: Path) -> None:
        self._job_id = job_id
        self._restarts = restarts
        self._requeue = requeue
        self._output = output
        try:
            # A site may have jobs append to what their attempts before printed.
            self._before = output.stat().st_size
        except OSError:
            self._before = 0

    def cause(self) -> str:
        """Why SLURM has told the job to end, in our words; empty where it has said nothing."""
        try:
            with self._output.open("rb") as file:
                file.seek(max(self._before, file.seek(0, os.SEEK_END) - _TAIL))
                said: list[bytes] = _SAID.findall(file.read())
        except OSError:
            return ""
        if not said:
            return ""
        return _CAUSES.get(said[-1], said[-1].decode(errors="replace").lower())

    def goes_on(self, reason: str) -> bool:
        """Whether another attempt follows one that ended for this reason."""
        if reason not in FROM_OUTSIDE or self._restarts >= self._requeue:
            return False
        if reason == TIMEOUT:
            return True  # `start_again` asks for it
        try:
            return self._is_queued_again()
        except SchedulerError:
            return True  # in doubt it is SLURM that tells, later, what became of it

    def start_again(self, reason: str) -> None:
        """Has SLURM queue the job again, where it does not by itself; this ends the job.

        Raises:
            SchedulerError: it refused, or could not be asked.
        """
        if reason == TIMEOUT:
            commands.call(["scontrol", "requeue", self._job_id], timeout=_PATIENCE)

    def stay_over(self, reason: str) -> None:
        """Takes the job out of the queue again, where SLURM does not know that it was the last."""
        if reason in FROM_OUTSIDE and reason != TIMEOUT:
            with contextlib.suppress(SchedulerError):
                if self._is_queued_again():
                    commands.call(["scancel", self._job_id], timeout=_PATIENCE)

    @functools.cached_property
    def kill_wait(self) -> float:
        """Seconds between the SIGTERM that ends a job and the SIGKILL: SLURM's KillWait.

        Asked for once a day for all of the user's jobs; SLURM's default where it does not answer.
        """
        file = f"kill-wait-{os.environ.get('SLURM_CLUSTER_NAME', '')}.json"
        kept = shared.read(file, max_age=_MAX_AGE)
        if isinstance(kept, (int, float)) and kept > 0:
            return float(kept)
        try:
            seconds = float(commands.setting("KillWait", timeout=_PATIENCE))
        except (SchedulerError, ValueError):
            return _KILL_WAIT
        shared.write(file, seconds)
        return seconds

    def _is_queued_again(self) -> bool:
        text = commands.call(["scontrol", "-o", "show", "job", self._job_id], timeout=_PATIENCE)
        match = re.search(r" Restarts=(\d+) ", text)
        return match is not None and int(match[1]) > self._restarts
