"""Whether a process that was killed was out of memory, as far as that can be seen."""

from __future__ import annotations

import collections
import os
import re
import resource
import sys
import time
from pathlib import Path

_LOOKS, _PAUSE = 8, 0.5
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_ASKED = re.compile(r"(\d+)([KMGT]?)B?", re.IGNORECASE)


class KernelKills:
    """The kernel's count of processes that it killed for lack of memory, in any control group.

    That someone else's process was killed for the same reason, in the few seconds in which ours got
    a SIGKILL for another, is not to be expected.

    Args:
        vmstat: the kernel's counters. Source: `oom_kill` in /proc/vmstat, Linux 4.13 and later.
    """

    def __init__(self, vmstat: Path = Path("/proc/vmstat")) -> None:
        self._vmstat = vmstat
        self._seen = collections.deque([self._count()], maxlen=_LOOKS)
        self._next = 0.0

    def look(self) -> None:
        """Takes the count, and forgets the oldest; call it often, it does so twice a second."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _PAUSE
            self._seen.append(self._count())

    @property
    def lately(self) -> bool:
        """Whether there was one in the last few looks, or since."""
        return self._count() > self._seen[0]

    def _count(self) -> int:
        try:
            match = re.search(r"^oom_kill (\d+)$", self._vmstat.read_text(), re.MULTILINE)
        except OSError:
            return 0
        return int(match[1]) if match else 0


def resident(asked: str = "") -> str:
    """What the largest of this process's children had resident at most, where it was much.

    Args:
        asked: the memory a job asked for, as sbatch's `--mem` has it (`16G`; `4000` are MB).

    Returns:
        `14.9 GB resident of 16.0 GB asked`, or `of the machine's 16.0 GB` where nothing was asked;
        empty below half of that.
    """
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    most *= 1 if sys.platform == "darwin" else 1024
    match = _ASKED.fullmatch(asked.strip())
    limit = int(match[1]) * _UNITS[match[2].upper() or "M"] if match else 0
    there = limit or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if most * 2 < there:
        return ""
    of = f"{_gigabytes(there)} asked" if limit else f"the machine's {_gigabytes(there)}"
    return f"{_gigabytes(most)} resident of {of}"


def _gigabytes(size: int) -> str:
    return f"{size / 1024**3:.1f} GB"
