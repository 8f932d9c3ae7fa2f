"""Measures submissions: seconds, files, and calls to B2 and to SLURM's controller."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import scheduler
from benchmarks.submit_tools import CALL, Tool

# What takes longer than this many seconds is measured only so many times.
SLOW, SLOW_REPEAT = 60.0, 3
PATIENCE = 3600.0

# A developer's own settings, and those of a job that the benchmark may run in.
_FOREIGN = ("SAVETHAT_", "B2_", "XDG_", "GIT_", "PYTHON", "SLURM_", "SBATCH_", "SQUEUE_")


@dataclasses.dataclass(frozen=True)
class Measure:
    """One submission.

    Args:
        process: seconds of the whole process.
        call: seconds of the submitting call in it; None: it was not a Python call.
        files: how many files appeared in the tool's folders.
        remote: calls to B2, by name.
        rpcs: calls to SLURM's controller, by type.
    """

    process: float
    call: float | None
    files: int
    remote: Counter[str]
    rpcs: Counter[str]


# By size and tool.
Measures = Mapping[tuple[int, Tool], Sequence[Measure]]


class Bench:
    """Measures tools in a folder of its own.

    Args:
        work: the folder.
    """

    def __init__(self, work: Path) -> None:
        self._work = work
        self._numbers = itertools.count()

    def measure(self, tool: Tool, runs: int) -> Measure:
        """Submits runs with a tool in a new folder, and cancels them.

        Raises:
            RuntimeError: the command failed, or another number of jobs is there afterwards.
        """
        number = next(self._numbers)
        mark = f"bench-{os.getpid()}-{number}"
        folder = self._work / f"measure-{number}"
        home = self._work / f"home-{tool.group}"
        home.mkdir(exist_ok=True)
        tool.prepare(folder)
        files = {*_files(folder), *_files(home)}
        if tool.server is not None:
            tool.server.reset_stats()
        rpcs = scheduler.client_calls()
        try:
            process, printed = self._run(tool, tool.command(runs, mark), folder, home)
            rpcs = scheduler.client_calls() - rpcs
            calls = tool.server.stats()["calls"] if tool.server is not None else {}
            remote = Counter({name: call["count"] for name, call in calls.items()})
            new = {*_files(folder), *_files(home)} - files
            if (there := scheduler.jobs_marked(mark).total()) != runs:
                raise RuntimeError(f"{tool.name}: {there} jobs instead of {runs}\n{printed}")
        finally:
            scheduler.cancel(mark)
        shutil.rmtree(folder)
        return Measure(process, _call_seconds(printed), len(new), remote, rpcs)

    def _run(self, tool: Tool, command: list[str], folder: Path, home: Path) -> tuple[float, str]:
        """Seconds of a command, and its stdout."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        env = {
            **own,
            **scheduler.environment(),
            **tool.environment(),
            "HOME": str(home),
            "PYTHONPYCACHEPREFIX": str(self._work / "pycache"),
        }
        start = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
            raise RuntimeError(f"{tool.name} ended with exit code {done.returncode}:\n{said}")
        return seconds, done.stdout


def measure_all(bench: Bench, tools: Sequence[Tool], sizes: Sequence[int], repeat: int) -> Measures:
    """Measures every size with every tool, the tools taking turns."""
    for tool in tools:  # so that what Python compiles and the tools remember is there
        bench.measure(tool, min(sizes))
    measures: dict[tuple[int, Tool], list[Measure]] = {}
    for runs in sizes:
        for _ in range(repeat):
            for tool in tools:
                done = measures.setdefault((runs, tool), [])
                if len(done) >= SLOW_REPEAT and max(one.process for one in done) > SLOW:
                    continue
                done.append(bench.measure(tool, runs))
                print(f"{runs:>6,} {tool.name}: {done[-1].process:.2f} s", file=sys.stderr)
    return measures


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _call_seconds(printed: str) -> float | None:
    for line in printed.splitlines():
        if line.startswith(CALL):
            return float(line.removeprefix(CALL))
    return None
