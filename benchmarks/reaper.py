"""Runs a command and waits for it and for all it leaves behind: what they cost, as JSON.

    python benchmarks/reaper.py COMMAND ...

Linux gives a process whose parent has ended to the nearest ancestor that asks for such: their CPU
is counted here too, whatever sessions they are in.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import sys
import time
from collections.abc import Sequence

# Source: linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36


def main(command: Sequence[str]) -> int:
    """Prints the seconds until the command ended, and the CPU seconds of all; its exit code."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    began = time.perf_counter()
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    own = os.posix_spawnp(command[0], list(command), os.environ, file_actions=silent)
    seconds, code = 0.0, 0
    while True:
        try:
            process, status = os.wait()
        except ChildProcessError:
            break
        if process == own:
            seconds, code = time.perf_counter() - began, os.waitstatus_to_exitcode(status)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"seconds": seconds, "cpu": used.ru_utime + used.ru_stime}))
    return code if code >= 0 else 1


def reaped(command: Sequence[str]) -> list[str]:
    """The command that runs another one like this."""
    return [sys.executable, __file__, *command]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
