"""The tests' own SLURM, as a benchmark sees it: limits, counters, the jobs of one measure."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections import Counter
from pathlib import Path

LAB = Path(os.environ.get("SAVETHAT_SLURM_LAB") or "/tmp/savethat-slurm-lab")  # noqa: S108 # the lab's own default
CONF = LAB / "slurm.conf"

# The calls that a squeue, and a sacct, ask about jobs with.
SQUEUE, SACCT = "REQUEST_JOB_INFO", "DBD_GET_JOBS_COND"

_PATIENCE = 60.0
_LARGEST_ARRAY = re.compile(r"^MaxArraySize\s*=\s*(\d+)", re.MULTILINE)
_RPC = re.compile(r"^\t(\w+)\s+\(\s*\d+\) count:(\d+)", re.MULTILINE)
# Sent by SLURM's daemons to each other, and by the sdiag that counts.
_NOT_A_CLIENT = re.compile(r"MESSAGE_|ACCOUNTING_|REQUEST_STATS_INFO")


class NoSchedulerError(Exception):
    """There is no SLURM that this benchmark can use; the message says what to do."""


def environment() -> dict[str, str]:
    """What a client of the tests' own SLURM needs; no other cluster is ever asked."""
    return {"SLURM_CONF": str(CONF)}


def version() -> str:
    """SLURM's name and version."""
    return _call("sinfo", "--version").strip()


def require_arrays_of(jobs: int) -> None:
    """Sees to it that one array may have that many jobs.

    Raises:
        NoSchedulerError: it may not, or no SLURM answers.
    """
    found = _LARGEST_ARRAY.search(_call("scontrol", "show", "config"))
    largest = int(found[1]) if found else 0
    if largest < jobs:
        raise NoSchedulerError(
            f"the SLURM that is up takes arrays of at most {largest:,} jobs, not {jobs:,}: "
            "end it (make slurm-down), and make brings up one that does"
        )


def client_calls() -> Counter[str]:
    """The calls that SLURM's controller has had of users' programs so far, by type."""
    calls = _by_type(_call("sdiag"))
    return Counter({name: n for name, n in calls.items() if not _NOT_A_CLIENT.match(name)})


def accounting_calls() -> Counter[str]:
    """The calls that SLURM's accounting daemon has had so far, by type: of users and daemons."""
    return _by_type(_call("sacctmgr", "show", "stats"))


def jobs_marked(mark: str) -> Counter[str]:
    """The jobs whose comment is `mark`: how many of each array, by the array's id."""
    lines = _call("squeue", "--noheader", "--array", "--format=%F %k").splitlines()
    return Counter(line.split()[0] for line in lines if line.split()[1:] == [mark])


def cancel(mark: str) -> None:
    """Cancels the jobs whose comment is `mark`, and waits until they are gone."""
    if jobs := jobs_marked(mark):
        _call("scancel", *jobs)
    end = time.monotonic() + _PATIENCE
    while jobs_marked(mark):
        if time.monotonic() > end:
            raise RuntimeError(f"the jobs {mark} are still there {_PATIENCE:.0f} s after scancel")
        time.sleep(0.1)


def _by_type(printed: str) -> Counter[str]:
    by_type = printed.partition("by message type")[2].partition("by user")[0]
    return Counter({name: int(n) for name, n in _RPC.findall(by_type)})


def _call(*command: str) -> str:
    if not CONF.exists():  # which SLURM's programs would wait a minute for
        raise NoSchedulerError(f"there is no {CONF} (make slurm-up)")
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment()},
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise NoSchedulerError(f"{command[0]}: {error.stderr.strip()} (make slurm-up)") from error
    except subprocess.TimeoutExpired as error:
        raise NoSchedulerError(f"{command[0]} does not answer (make slurm-up)") from error
    except OSError as error:
        raise NoSchedulerError(f"{command[0]}: {error.strerror} (make slurm-up)") from error
    return done.stdout
