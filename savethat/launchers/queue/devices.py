"""GPUs and cores of this machine, each one run's at a time: locks that all users of it share.

A lock is held by the processes of the run itself, which inherit it, and not by who starts them: it
is free when the last of them is gone, whatever was killed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from savethat.config import QueueConfig

# One place for all users of the machine: TMPDIR may be each one's own.
_LOCKS = Path("/tmp/savethat-devices")  # noqa: S108 # sticky, and opened without following links
# All users may open each other's. With the sticky bit systemd-tmpfiles never removes one, however
# old it is: the next to come would make another, and a device would be taken twice.
_LOCK_MODE = 0o1644
_FOLDER_MODE = 0o1777
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
        return tuple(dict.fromkeys(config.gpus))
    if "CUDA_VISIBLE_DEVICES" in environ:
        return _listed(environ["CUDA_VISIBLE_DEVICES"])
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


def _listed(visible: str) -> tuple[int, ...]:
    """What CUDA takes of a list: up to the first word that is no index, such as the -1 for none."""
    words = (word.strip() for word in visible.split(","))
    return tuple(dict.fromkeys(map(int, itertools.takewhile(str.isdecimal, words))))


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
        try:
            lock = _lock(f"{kind}-{index}.lock")
        except OSError:
            # Another run has it; or its file cannot be opened, and so it cannot be had either.
            continue
        stack.callback(os.close, lock)
        found[index] = lock
    return found if len(found) == count else None


def _lock(name: str) -> int:
    """Takes a lock and returns what holds it; raises OSError where it cannot be had."""
    lock = _open(name)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _open(name: str) -> int:
    path = _LOCKS / name
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    # Whoever comes first makes it; the others cannot write it, and need not for a lock. The umask
    # is set aside rather than the modes mended: a kill in between would shut all others out.
    umask = os.umask(0)
    try:
        with contextlib.suppress(FileExistsError):
            _LOCKS.mkdir(_FOLDER_MODE)
            _LOCKS.chmod(_FOLDER_MODE)  # some systems make no folder sticky
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, _LOCK_MODE)
    finally:
        os.umask(umask)
