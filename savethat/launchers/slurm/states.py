"""SLURM's states of a job, in our words."""

from __future__ import annotations

import pwd
import signal
from typing import NamedTuple

from savethat.run.status import Job, NotAsked, Phase


class Meaning(NamedTuple):
    """A state's phase, its reason (empty: SLURM's own is shown), and whether someone did it."""

    phase: Phase
    reason: str = ""
    cancelled: bool = False


# Source: "JOB STATE CODES" of squeue(1) and sacct(1), SLURM 20.02 to 25.05.
STATES: dict[str, Meaning] = {
    "PENDING": Meaning(Phase.PENDING),
    "REQUEUED": Meaning(Phase.PENDING, "requeued"),
    "REQUEUE_FED": Meaning(Phase.PENDING, "requeued"),
    "EXPEDITING": Meaning(Phase.PENDING, "requeued"),
    "REQUEUE_HOLD": Meaning(Phase.PENDING, "requeued and held"),
    "RESV_DEL_HOLD": Meaning(Phase.PENDING, "held: its reservation is gone"),
    "SPECIAL_EXIT": Meaning(Phase.PENDING, "requeued and held: special exit"),
    "CONFIGURING": Meaning(Phase.RUNNING, "node is being set up"),
    "RUNNING": Meaning(Phase.RUNNING),
    "COMPLETING": Meaning(Phase.RUNNING, "ending"),
    "SUSPENDED": Meaning(Phase.RUNNING, "suspended"),
    "STOPPED": Meaning(Phase.RUNNING, "stopped"),
    "SIGNALING": Meaning(Phase.RUNNING, "being signalled"),
    "RESIZING": Meaning(Phase.RUNNING, "being resized"),
    "STAGE_OUT": Meaning(Phase.RUNNING, "staging files out"),
    "COMPLETED": Meaning(Phase.OVER, "the job ended without a word"),
    "FAILED": Meaning(Phase.OVER),
    "CANCELLED": Meaning(Phase.OVER, "cancelled", cancelled=True),
    "TIMEOUT": Meaning(Phase.OVER, "timeout"),
    "OUT_OF_MEMORY": Meaning(Phase.OVER, "out of memory"),
    "NODE_FAIL": Meaning(Phase.OVER, "node failure"),
    "BOOT_FAIL": Meaning(Phase.OVER, "node failed to boot"),
    "LAUNCH_FAILED": Meaning(Phase.OVER, "SLURM failed to launch the job"),
    "RECONFIG_FAIL": Meaning(Phase.OVER, "node failed to be reconfigured"),
    "DEADLINE": Meaning(Phase.OVER, "deadline passed"),
    "PREEMPTED": Meaning(Phase.OVER, "preempted"),
    "REVOKED": Meaning(Phase.OVER, "moved to another cluster"),
}


def read_state(
    state: str, *, reason: str = "", exit_code: str = "", job_id: str = "", host: str = ""
) -> Job | NotAsked:
    """SLURM's word on a job, in ours.

    Args:
        state: as squeue's `%T` or sacct's `State` has it (`CANCELLED by 1000`).
        reason: squeue's `%r`; it counts for pending jobs, and for failed ones without exit code.
        exit_code: sacct's `ExitCode`: code and signal (`1:0`, `0:9`); empty where it is not known.
        job_id: passed on.
        host: passed on; `n/a` and the like are no host.
    """
    word, _, by = state.strip().partition(" ")
    meaning = STATES.get(word.rstrip("+"))
    if meaning is None:
        return NotAsked(f"SLURM calls the job {state}, which is not a state known here")
    text = meaning.reason
    if meaning.phase is Phase.PENDING and not text:
        text = "" if reason == "None" else reason
    elif word == "FAILED":
        text = _failure(exit_code, reason)
    elif meaning.cancelled and by.startswith("by "):
        text = f"cancelled by {_user(by.removeprefix('by '))}"
    known_host = "" if host.lower() in ("", "n/a", "none assigned", "(null)") else host
    return Job(meaning.phase, text, meaning.cancelled, job_id, known_host)


def _failure(exit_code: str, reason: str) -> str:
    code, _, number = exit_code.partition(":")
    if number.isdecimal() and int(number):
        try:
            return f"killed by {signal.Signals(int(number)).name}"
        except ValueError:
            return f"killed by signal {number}"
    if code.isdecimal():
        return f"exit code {code}"
    if reason == "JobLaunchFailure":  # what squeue says of a job that a signal ended, too
        return "killed, or not launched (JobLaunchFailure)"
    return "non-zero exit code" if reason in ("NonZeroExitCode", "None", "") else reason


def _user(uid: str) -> str:
    try:
        return pwd.getpwuid(int(uid)).pw_name
    except (KeyError, ValueError):
        return f"user {uid}"
