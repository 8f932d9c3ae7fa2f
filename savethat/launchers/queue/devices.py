"""GPUs and cores of this machine, each one run's at a time: locks that all users of it share.

A lock is held by the processes of the run itself, which inherit it, and not by who starts them: it
is free when the last of them is gone, whatever was killed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from savethat.config import QueueConfig

# One place for all users of the machine: TMPDIR may be each one's own.
_LOCKS = Path("/tmp/savethat-devices")  # noqa: S108 # sticky, and opened without following links
_ASK_TIMEOUT = 10.0


@dataclasses.dataclass(frozen=True)
class Held:
    """Devices that were taken, by index, and the locks: file descriptors to be inherited."""

    gpus: tuple[int, ...] = ()
    cores: tuple[int, ...] = ()
    locks: tuple[int, ...] = ()

    def close(self) -> None:
        """Gives up this process's hold on them; a run that inherited it has it still."""
        for lock in self.locks:
            os.close(lock)


def gpus_of(config: QueueConfig, environ: Mapping[str, str] = os.environ) -> tuple[int, ...]:
    """The GPUs that the queue may hand out.

    Those of `[queue] gpus`, else of CUDA_VISIBLE_DEVICES, else all that nvidia-smi lists.
    """
    if config.gpus is not None:
        return config.gpus
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and re.fullmatch(r"\s*(\d+(\s*,\s*\d+)*)?\s*", visible):
        return tuple(int(word) for word in visible.replace(",", " ").split())
    if shutil.which("nvidia-smi") is None:
        return ()
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            query, capture_output=True, text=True, timeout=_ASK_TIMEOUT, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()  # its driver does not answer: then no run can have a GPU either
    return tuple(int(line) for line in done.stdout.split() if line.isdecimal())


def cores() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def take(*, gpus: int, of_gpus: Sequence[int], cpus: int, of_cores: Sequence[int]) -> Held | None:
    """Takes so many GPUs and cores, each free; None, and nothing taken, where there are too few."""
    with contextlib.ExitStack() as stack:
        found_gpus = _take(stack, "gpu", gpus, of_gpus)
        found_cores = _take(stack, "core", cpus, of_cores) if found_gpus is not None else None
        if found_gpus is None or found_cores is None:
            return None
        stack.pop_all()
    locks = (*found_gpus.values(), *found_cores.values())
    return Held(tuple(found_gpus), tuple(found_cores), locks)


def _take(
    stack: contextlib.ExitStack, kind: str, count: int, of: Iterable[int]
) -> dict[int, int] | None:
    found: dict[int, int] = {}
    for index in of:
        if len(found) == count:
            break
        lock = _open(f"{kind}-{index}.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        stack.callback(os.close, lock)
        found[index] = lock
    return found if len(found) == count else None


def _open(name: str) -> int:
    with contextlib.suppress(FileExistsError):
        _LOCKS.mkdir()
        _LOCKS.chmod(0o1777)
    path = _LOCKS / name
    try:
        # Whoever comes first makes it; the others cannot write it, and need not for a lock.
        lock = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    except FileExistsError:
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    return lock
