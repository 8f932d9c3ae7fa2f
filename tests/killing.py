"""Runs the program and kills it at its n-th step: whatever it does outside itself is a step.

    python -m tests.killing STEP REPORT GROUP -- COMMAND...

Steps are Python's audit events for opening files to write, renaming, removing, making folders,
starting processes and using sockets. At step STEP (0: never) the process, or with GROUP 1 its whole
process group, is killed with SIGKILL. The number of steps made so far is kept in REPORT.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

_STEPS = frozenset(
    {
        "os.rename",
        "os.remove",
        "os.mkdir",
        "os.rmdir",
        "os.utime",
        "shutil.rmtree",
        "subprocess.Popen",
        "socket.connect",
        "socket.sendall",
        "fcntl.flock",
        "sqlite3.connect",
    }
)


def main() -> None:
    """Installs the hook, then is the program."""
    step, report, group = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "1"
    made = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal made
        writes = event == "open" and _writes(arguments)
        if not writes and event not in _STEPS:
            return
        made += 1
        if made == step:
            if group:
                os.killpg(os.getpgrp(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    from savethat.cli.main import main as program

    sys.addaudithook(hook)
    try:
        program(sys.argv[5:])
    finally:
        count = made
        report.write_text(str(count))


def _writes(arguments: tuple[Any, ...]) -> bool:
    _path, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR))


if __name__ == "__main__":
    main()
