"""The child process of a run, started: in the foreground before it is known what it is to do."""

from __future__ import annotations

import dataclasses
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from savethat.config import KEY_VARIABLES, PROJECT_DIR
from savethat.launchers.processes import marker
from savethat.worker.signals import WARNINGS


@dataclasses.dataclass(frozen=True)
class Child:
    """A child that waits for its errand; it goes when the pipe is closed that it comes through.

    Args:
        process: with pipes for its stdout and stderr.
        lifeline: the end of a pipe that takes its errand.
        events: the end of a pipe that brings what it says of itself.
    """

    process: subprocess.Popen[bytes]
    lifeline: int
    events: int


def start_child(
    key: str, attempt: int, root: Path, *, python: str = "", held: Sequence[int] = ()
) -> Child:
    """Starts the child of an attempt, in a session of its own.

    Args:
        key: the run's.
        attempt: from 1.
        root: the project's folder.
        python: its interpreter; empty for this process's own.
        held: file descriptors of locks that it is to hold, too.

    Raises:
        OSError: no process can be started.
    """
    # Both hold the bucket's key in memory, and a core dump is something people pass on.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    errand_read, errand_write = os.pipe()
    events_read, events_write = os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WARNINGS)
    try:
        process = subprocess.Popen(
            [
                *(python or sys.executable, "-m", __package__ + ".child"),
                *(str(errand_read), str(events_write)),
            ],
            # A terminal's stdin belongs to the session the child has left.
            stdin=subprocess.DEVNULL if _is_terminal(0) else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(errand_read, events_write, *held),
            env={**open_environment(), **marker(key, attempt), PROJECT_DIR: str(root)},
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(errand_read)
        os.close(events_write)
    return Child(process, errand_write, events_read)


def open_environment() -> dict[str, str]:
    """This process's environment without its secrets, for the processes it starts.

    The child's storage gets them through the pipe.
    """
    environment = {name: value for name, value in os.environ.items() if name not in KEY_VARIABLES}
    # What a node prints is seen when it prints it.
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return True  # closed: there is nothing to pass on either
