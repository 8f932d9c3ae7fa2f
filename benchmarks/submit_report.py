"""What was measured of submissions, in Markdown."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

import psutil

from benchmarks import peers, scheduler
from benchmarks.submit_measure import SLOW, SLOW_REPEAT, Measure, Measures
from benchmarks.submit_tools import Hydra, Savethat, Submitit, Tool

# The project's goal: savethat <= factor * submitit + seconds, in at most so many files.
GOAL_FACTOR, GOAL_SECONDS, GOAL_FILES = 2, 0.3, 10


def report(python: Path, measures: Measures, repeat: int) -> str:
    """The whole report.

    Args:
        python: the peers' interpreter.
        measures: what it is about.
        repeat: how often was measured what is not slow.
    """
    tools = [tool for _, tool in measures]
    parts = [*heading(python, tools, repeat), "", *table(measures)]
    if {Savethat, Submitit} <= set(map(type, tools)):
        parts += [
            "",
            f"The goal: at most {GOAL_FACTOR} times submitit's time plus {GOAL_SECONDS} s, process "
            f"to process and call to call, and at most {GOAL_FILES} files.",
            "",
            *goal(measures),
        ]
    return "\n".join(parts)


def table(measures: Measures) -> Iterator[str]:
    """The rows of the table, in Markdown."""
    yield "| runs | | process, s | call, s | files | B2 calls | scheduler calls |"
    yield "|---:|---|---:|---:|---:|---|---|"
    for (runs, tool), done in measures.items():
        cells = [
            f"{runs:,}",
            tool.name,
            _spread([one.process for one in done]),
            _spread(calls) if (calls := _calls(done)) else "",
            f"{max(one.files for one in done):,}",
            _most([one.remote for one in done]),
            _most([one.rpcs for one in done]),
        ]
        yield f"| {' | '.join(cells)} |"


def goal(measures: Measures) -> Iterator[str]:
    """Where savethat stands to submitit, in Markdown."""
    yield "| runs | | savethat, s | at most, s | files | |"
    yield "|---:|---|---:|---:|---:|---|"
    submitit = {runs: done for (runs, tool), done in measures.items() if isinstance(tool, Submitit)}
    for (runs, tool), done in measures.items():
        if runs not in submitit or not isinstance(tool, Savethat):
            continue
        timed: Callable[[Sequence[Measure]], list[float]] = _calls if _calls(done) else _processes
        took = statistics.median(timed(done))
        limit = GOAL_FACTOR * statistics.median(timed(submitit[runs])) + GOAL_SECONDS
        files = max(one.files for one in done)
        holds = "holds" if took <= limit and files <= GOAL_FILES else "**missed**"
        yield f"| {runs:,} | {tool.name} | {took:.2f} | {limit:.2f} | {files:,} | {holds} |"


def heading(python: Path, tools: Sequence[Tool], repeat: int) -> Iterator[str]:
    """What was measured, how, and on what, in Markdown."""
    versions = {"savethat": importlib.metadata.version("savethat"), **peers.versions(python)}
    yield "# Submitting runs to SLURM"
    yield ""
    yield (
        f"Held jobs, submitted in one go and cancelled afterwards. Median (least-most) of {repeat} "
        f"measures, of {SLOW_REPEAT} where one takes over {SLOW:.0f} s; each in a new folder, the "
        "tools taking turns, after one that is not counted. *process*: from the start of Python to "
        "its end; *call*: the submitting Python call alone, all imports done. *files*: that "
        "appeared. Files and calls are the most that a measure had."
    )
    yield ""
    if any(isinstance(tool, Hydra) for tool in tools):
        yield (
            "Hydra would go on to wait for the jobs, which cannot be switched off: its process is "
            "ended there, when all jobs are in the queue."
        )
        yield ""
    yield f"- {machine()}"
    yield f"- {scheduler.version()}, all on this machine; B2: the tests' own server, 0 ms away"
    yield f"- {', '.join(f'{name} {value}' for name, value in versions.items())}"


def machine() -> str:
    """When and on what was measured."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{datetime.now(timezone.utc):%Y-%m-%d}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} CPUs, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f} at the end"
    )


def _processes(done: Sequence[Measure]) -> list[float]:
    return [one.process for one in done]


def _calls(done: Sequence[Measure]) -> list[float]:
    return [one.call for one in done if one.call is not None]


def _spread(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})"


def _most(counts: Sequence[Counter[str]]) -> str:
    most = max(counts, key=Counter.total)
    if not most:
        return "0"
    short = {name: name.removeprefix("REQUEST_").removeprefix("b2_").lower() for name in most}
    kinds = (f"{short[name]} {n}" for name, n in most.most_common())
    return f"{most.total()}: {', '.join(kinds)}"
