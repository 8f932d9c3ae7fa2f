"""The processes of a run, whatever session they are in: known by a variable, and ended by it.

Data loaders and the like put themselves into sessions of their own, or outlive their parents. What
is started to outlive the run does not get the variable.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

# Set in the environment of a run's processes, and so of all that they start: its key and attempt.
INSIDE_A_RUN = "_SAVETHAT_RUN"

# Seconds in which the kernel takes away a process that was killed; one that hangs in the kernel
# (a file server that does not answer) is left to it.
_PATIENCE = 5.0


def marker(key: str, attempt: int) -> dict[str, str]:
    """The variable by which the processes of an attempt are known."""
    return {INSIDE_A_RUN: f"{key}.{attempt}"}


def start_detached(command: Sequence[str], *, cwd: Path, output: IO[bytes] | int) -> None:
    """Starts a process that outlives this one, its terminal, and the run it may be part of.

    Args:
        command: the program and its arguments.
        cwd: where it starts.
        output: what takes its stdout and stderr, as `subprocess` has it.

    Raises:
        OSError, subprocess.SubprocessError: no process can be started.
    """
    # Through a shell that ends at once: what is nobody's child leaves no zombie.
    subprocess.run(
        ["/bin/sh", "-c", '"$@" &', "sh", *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name != INSIDE_A_RUN},
        start_new_session=True,
        check=True,
    )


def prepare_to_end() -> None:
    """Imports what `end_processes` takes, so that it takes no longer than it must."""
    import psutil  # noqa: F401


def end_processes(key: str) -> int:
    """Kills what runs on this machine, of this user, for any attempt of a run; how many those were.

    This process, and those it descends from, are not meant: it may be part of another run itself.
    """
    import psutil

    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    killed = []
    for process in psutil.process_iter():
        try:
            if process.pid in own or not _belongs(process, key):
                continue
            process.kill()
            killed.append(process)
        except (psutil.Error, OSError):
            continue
    psutil.wait_procs(killed, timeout=_PATIENCE)
    return len(killed)


def _belongs(process: psutil.Process, key: str) -> bool:
    if process.uids().real != os.getuid():
        return False
    run, _, _attempt = process.environ().get(INSIDE_A_RUN, "").rpartition(".")
    # A job that the run has submitted carries its variable, but is SLURM's.
    job = process.environ().get("SLURM_JOB_ID")
    return run == key and job == os.environ.get("SLURM_JOB_ID")
