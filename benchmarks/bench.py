"""What every benchmark of `make bench` is given: places, peers, and how to time a program."""

from __future__ import annotations

import dataclasses
import os
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")


@dataclasses.dataclass(frozen=True)
class Bench:
    """One call of `make bench`.

    Args:
        work: a folder of its own, empty at first.
        savethat: the environment's `bin`, where `savethat` and `python` are.
        peers: the folder of the peers' environments, one each: `peers / "dvc" / "bin" / "dvc"`.
        repeat: how often each thing is measured; the median counts.
    """

    work: Path
    savethat: Path
    peers: Path
    repeat: int = 5

    def folder(self, name: str) -> Path:
        """A new folder for a benchmark."""
        folder = self.work / name
        folder.mkdir(parents=True)
        return folder


@dataclasses.dataclass(frozen=True)
class Timed:
    """How a program ran: seconds, seconds of CPU of it and its children, its output."""

    seconds: float
    cpu: float
    stdout: str


def timed(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Timed:
    """Runs a program to its end, without what this process's Python was told by the environment.

    Args:
        command: the program and its arguments.
        cwd: where.
        env: added to this process's environment.

    Raises:
        RuntimeError: it failed; its own words.
    """
    # Without bytecode, or without buffers, a Python program is not what its users have.
    ours = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**ours, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Timed(seconds, cpu, done.stdout)


def in_turns(
    tools: Mapping[str, Callable[[], Found]], repeat: int, *, warm_up: bool = True
) -> dict[str, tuple[Found, ...]]:
    """Measures tools in turns, so that what disturbs the machine disturbs all alike.

    Args:
        tools: by name; each call is one measure.
        repeat: measures of each.
        warm_up: whether one more goes ahead, and does not count.
    """
    found: dict[str, list[Found]] = {name: [] for name in tools}
    for turn in range(repeat + warm_up):
        for name, measure in tools.items():
            value = measure()
            if turn or not warm_up:
                found[name].append(value)
    return {name: tuple(values) for name, values in found.items()}
