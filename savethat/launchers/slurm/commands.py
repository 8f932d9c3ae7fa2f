"""SLURM's programs, called with a time limit; their failures in SLURM's own words."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from savethat.config import KEY_VARIABLES
from savethat.errors import SchedulerError
from savethat.launchers.foreground import machine_id
from savethat.launchers.slurm import shared

# Asking takes milliseconds where SLURM is well; a user should not wait longer than this.
ASK_TIMEOUT = 10.0

_DEFAULT_CONF = Path("/etc/slurm/slurm.conf")
# A cluster's name hardly ever changes; without a slurm.conf to look at, it is asked for daily.
_NAME_MAX_AGE = 86_400.0
# A user's own defaults for these programs would hide some of their jobs, or ask them something.
_DEFAULTS = ("SQUEUE_", "SACCT_", "SCANCEL_")
# `sbatch: error: ` in front of SLURM's words.
_PREFIX = re.compile(r"^\w+: (?:error: |fatal: )*")


def installed(program: str = "squeue") -> bool:
    """Whether this machine has SLURM's programs."""
    return shutil.which(program) is not None


def call(command: Sequence[str], *, timeout: float = ASK_TIMEOUT) -> str:
    """What a program of SLURM prints.

    Raises:
        SchedulerError: it is not on this machine, failed, or took longer than `timeout` seconds.
    """
    # The bucket's key is none of their business.
    hidden = (*_DEFAULTS, *KEY_VARIABLES)
    environ = {name: text for name, text in os.environ.items() if not name.startswith(hidden)}
    # Times as seconds since the epoch, and ranges of array tasks not cut after 64 characters.
    environ |= {"SLURM_TIME_FORMAT": "%s", "SLURM_BITSTR_LEN": "0", "LC_ALL": "C"}
    program = command[0]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            env=environ,
            check=False,
        )
    except FileNotFoundError:
        raise no_program(program) from None
    except subprocess.TimeoutExpired:
        raise SchedulerError(
            f"{program} did not answer within {timeout:.0f} s", "see whether sinfo answers"
        ) from None
    except OSError as error:
        raise SchedulerError(f"{program} cannot be started: {error.strerror}") from error
    if done.returncode:
        words = own_words(done.stderr.decode(errors="replace"))
        raise SchedulerError(
            f"{program}: {words or f'exit code {done.returncode}'}", "see whether sinfo answers"
        )
    return done.stdout.decode(errors="replace")


def require_sbatch() -> None:
    """Sees to it that jobs can be submitted from this machine.

    Raises:
        SchedulerError: there is no sbatch.
    """
    if not installed("sbatch"):
        raise no_program("sbatch")


def no_program(program: str) -> SchedulerError:
    """The error for a machine without SLURM."""
    return SchedulerError(
        f"no {program} on this machine",
        "log in to a cluster with SLURM, or leave out --slurm to run here",
    )


def own_words(text: str) -> str:
    """SLURM's error message on one line, without the program's name; its last three lines."""
    lines = (_PREFIX.sub("", line.strip()) for line in text.splitlines())
    return "; ".join([line for line in dict.fromkeys(lines) if line][-3:])


def cluster_name(*, default: str | None = None, max_age: float = 0.0) -> str:
    """The name of the cluster this machine belongs to, as SLURM has it.

    Args:
        default: the name where this machine has no SLURM; None: that is an error.
        max_age: for how many seconds it is good that SLURM did not answer another process.

    Raises:
        SchedulerError: this machine has no SLURM, or it did not answer.
    """
    if name := os.environ.get("SLURM_CLUSTER_NAME"):
        return name
    if not installed("scontrol"):
        if default is not None:
            return default
        raise no_program("scontrol")
    conf = Path(os.environ.get("SLURM_CONF") or _DEFAULT_CONF)
    try:
        changed = conf.stat().st_mtime_ns
    except OSError:
        changed = 0
    key = hashlib.sha256(f"{machine_id()}\n{conf}\n{changed}".encode()).hexdigest()[:16]
    file = f"cluster-{key}.json"
    began = time.time()
    if kept := _kept_name(file):
        return kept
    with shared.lock(file):
        # Others may have asked while this process waited for its turn.
        if kept := _kept_name(file):
            return kept
        shared.raise_failure(file, began=began, max_age=max_age)
        try:
            name = setting("ClusterName")
        except SchedulerError as error:
            shared.note_failure(file, error)
            raise
        shared.write(file, name)
        return name


def _kept_name(file: str) -> str:
    kept = shared.read(file, max_age=_NAME_MAX_AGE)
    return kept if isinstance(kept, str) else ""


def max_array_size() -> int:
    """The most runs in one job array: SLURM's MaxArraySize, asked for now; at least 1.

    Raises:
        SchedulerError: this machine has no SLURM, or it did not answer.
    """
    size = setting("MaxArraySize")
    if not size.isdecimal():
        raise SchedulerError(f"scontrol show config: MaxArraySize is {size}")
    return max(1, int(size))


def setting(name: str, *, timeout: float = ASK_TIMEOUT) -> str:
    """The first word of a setting in SLURM's configuration, asked for now.

    Raises:
        SchedulerError: this machine has no SLURM, or it did not answer, or knows no such setting.
    """
    text = call(["scontrol", "show", "config"], timeout=timeout)
    match = re.search(rf"^{name}\s*=\s*(\S+)", text, re.MULTILINE)
    if match is None:
        raise SchedulerError(f"scontrol show config names no {name}")
    return match[1]
