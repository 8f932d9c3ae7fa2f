"""What savethat adds to a run in the foreground, and the memory that its supervisor holds."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import memory
from benchmarks.bench import Bench, in_turns
from benchmarks.project import PACKAGE, make_project
from benchmarks.rows import Case, Goal, Measure, Section, at_most
from savethat.run.layout import PROVENANCE_FILE
from tests.b2_fixtures import b2_key, b2_settings
from tests.b2server.client import B2Server

LATENCIES = (0, 40)
SAVETHAT, BY_HAND = "savethat run", "python -c"
# Seconds on top of the work by hand.
EXIT, FIRST_LINE = 0.25, 0.15
WORK = '''"""Work that takes no time."""


def work(x):
    print("begins", flush=True)
    return x
'''
NODE = f'''"""A node that does nothing."""

import dataclasses

import savethat
from {PACKAGE}.work import work


@dataclasses.dataclass(frozen=True)
class NoopArgs:
    x: int  # a number


class Noop(savethat.Node[NoopArgs, int]):
    """Nothing."""

    def _run(self) -> int:
        return work(self.args.x)
'''
PROGRAM = f"""
import json, pickle, sys, time
from pathlib import Path
from {PACKAGE}.work import work

args = {{"x": int(sys.argv[1])}}
folder = Path("by_hand", f"run_{{time.time_ns()}}")
folder.mkdir(parents=True)
(folder / "args.json").write_text(json.dumps(args))
result = work(**args)
(folder / "results.pickle").write_bytes(pickle.dumps(result))
"""
_METHOD = (
    "A node that prints a line and returns its argument, in a project of the template, committed "
    "to git. *python -c* imports the same function, without savethat, calls it, and writes its "
    "argument and its result into a new folder. Both are whole processes whose stdout is a pipe: "
    "*to exit* is their end, *to the node's first line* when that line comes out of the pipe. On "
    "B2 each run is stored there before it ends. *Memory* is the most that /proc says of the "
    "process that started the node's (VmRSS), while the node waits for "
    f"{memory.HELD:.0f} seconds and prints, and what is new is carried out every second."
)


@dataclasses.dataclass(frozen=True)
class Ran:
    """One run: seconds to its first line and to its exit, and whether its provenance was there."""

    first_line: float
    exit: float
    provenance: bool = False


def measure(bench: Bench) -> Section:
    """Measures runs in the foreground, and supervisors."""
    server = B2Server.start(bench.folder("b2"))
    try:
        local, stored = _projects(bench, server)
        cases = [
            *_foreground(bench, server, local, stored),
            *memory.cases(bench, {"local": local, "B2": stored}, b2_key(server)),
        ]
    finally:
        server.stop()
    return Section("running", "Running", _METHOD, tuple(cases))


def ran(command: Sequence[str | Path], folder: Path, env: Mapping[str, str]) -> Ran:
    """Runs a program that prints at least one line.

    Raises:
        RuntimeError: it failed, or printed nothing.
    """
    began = time.perf_counter()
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        first_line = time.perf_counter() - began
        process.stdout.read()
        process.wait()
        seconds = time.perf_counter() - began
    if process.returncode or not line:
        raise RuntimeError(f"{command[0]} ended with {process.returncode} after {line!r}")
    return Ran(first_line, seconds)


def _projects(bench: Bench, server: B2Server) -> tuple[Path, Path]:
    """A project whose runs stay in it, and one whose runs are stored on B2."""
    local, stored = bench.work / "local", bench.work / "stored"
    modules = {
        f"{PACKAGE}/work.py": WORK,
        f"{PACKAGE}/noop.py": NODE,
        f"{PACKAGE}/held.py": memory.NODE,
    }
    make_project(bench.savethat / "python", local, modules)
    shutil.copytree(local, stored)
    (stored / "savethat.local.toml").write_text(b2_settings(server, "runs"))
    return local, stored


def _foreground(bench: Bench, server: B2Server, local: Path, stored: Path) -> list[Case]:
    words: list[str | Path] = [bench.savethat / "savethat", "run", "Noop", "--x", "1"]
    program: list[str | Path] = [bench.savethat / "python", "-c", PROGRAM, "1"]

    def savethat(folder: Path, latency: int) -> Ran:
        server.config(latency_ms=latency)
        before = _provenance(folder)
        found = ran(words, folder, b2_key(server))
        return dataclasses.replace(found, provenance=_provenance(folder) == before + 1)

    tools: dict[str, Callable[[], Ran]] = {
        BY_HAND: lambda: ran(program, local, {}),
        "": functools.partial(savethat, local, 0),
    }
    for latency in LATENCIES:
        tools[f", B2 at {latency} ms"] = functools.partial(savethat, stored, latency)
    found = in_turns(tools, bench.repeat)
    server.config(latency_ms=0)
    by_hand = found.pop(BY_HAND)
    return [case for place, runs in found.items() for case in compared(place, runs, by_hand)]


def compared(place: str, runs: Sequence[Ran], by_hand: Sequence[Ran]) -> Iterator[Case]:
    """Two cases: to the exit, and to the first line; with goals where there is no `place`."""
    ours = Measure(SAVETHAT, tuple(run.exit for run in runs))
    other = Measure(BY_HAND, tuple(run.exit for run in by_hand))
    there = sum(run.provenance for run in runs)
    kept = f"{PROVENANCE_FILE} is in every run's folder then"
    goals = (
        _on_top(ours, other, EXIT),
        Goal(kept, f"in {there} of {len(runs)}", there == len(runs)),
    )
    yield Case(f"a no-op{place}, to exit", "s", ours, (other,), () if place else goals)
    ours = Measure(SAVETHAT, tuple(run.first_line for run in runs))
    other = Measure(BY_HAND, tuple(run.first_line for run in by_hand))
    goal = _on_top(ours, other, FIRST_LINE)
    yield Case(
        f"a no-op{place}, to the node's first line", "s", ours, (other,), () if place else (goal,)
    )


def _on_top(ours: Measure, other: Measure, limit: float) -> Goal:
    text = f"at most {limit * 1000:.0f} ms on top of {other.tool}"
    return at_most(text, (ours.median - other.median) * 1000, limit * 1000, "ms")


def _provenance(folder: Path) -> int:
    return len(list(folder.glob(f"data_storage/*/{PROVENANCE_FILE}")))
