"""Many short runs on one machine: how many a second, and what each costs of the processors."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import peers
from benchmarks.bench import Bench, in_turns, timed
from benchmarks.project import PACKAGE, make_project
from benchmarks.reaper import reaped
from benchmarks.rows import Case, Goal, Measure, Section, absent, at_most
from benchmarks.running import NODE, PROGRAM, WORK

# savethat's sweep, once; and that of every tool, in turns.
MANY, SOME = 1_000, 60
TURNS = 3
SAVETHAT, SUBMITIT = "savethat sweep", "submitit LocalExecutor"
BASH, PARALLEL = "bash loop of python -c", "GNU parallel of python -c"
# Where a run leaves its result.
_RESULTS = ("data_storage/*/results.pickle", "by_hand/*/results.pickle", "jobs/*_result.pkl")
# Milliseconds of CPU that savethat may add to a run.
_LIMIT = 150.0
# Programs of two arguments: how many runs, and how many at a time.
_BASH = """
for ((x = 0; x < $1; x++)); do
  ((x < $2)) || wait -n
  "$PYTHON" -c "$PROGRAM" $x &
done
wait
"""
_PARALLEL = """seq 0 $(($1 - 1)) | parallel --will-cite -j "$2" '"$PYTHON" -c "$PROGRAM" {}'"""
_SUBMITIT = f"""
import sys, time
import submitit
from {PACKAGE}.work import work

runs, at_once = int(sys.argv[1]), int(sys.argv[2])
executor = submitit.LocalExecutor(folder="jobs")
jobs, live = [], []
for x in range(runs):
    while len(live) == at_once:
        time.sleep(0.005)
        live = [job for job in live if not job.done()]
    jobs.append(executor.submit(work, x))
    live.append(jobs[-1])
assert [job.result() for job in jobs] == list(range(runs))
"""
_METHOD = (
    f"The node and the work by hand are those of *Running*. {{at_once}} runs at a time, one a "
    f"processor, in a new folder for each measure. savethat sweeps {MANY:,} runs once, as that "
    f"takes minutes; in turns with the others it sweeps {SOME}, {TURNS} times at most. "
    "*LocalExecutor* starts whatever it is given at once, so its program gives it the next run "
    "when one is done. *A second*: until the command ends, with all results in files. *CPU*: of "
    "the command and of all processes that came of it, also those that it leaves behind."
)


@dataclasses.dataclass(frozen=True)
class Swept:
    """What many runs came to: runs a second, and milliseconds of CPU a run."""

    rate: float
    cpu: float


def measure(bench: Bench) -> Section:
    """Measures sweeps."""
    project = bench.work / "project"
    modules = {f"{PACKAGE}/work.py": WORK, f"{PACKAGE}/noop.py": NODE}
    make_project(bench.savethat / "python", project, modules)
    at_once = str(len(os.sched_getaffinity(0)))
    python = str(bench.savethat / "python")
    sweep = [str(bench.savethat / "savethat"), "sweep", "--max-parallel", at_once, "Noop", "--x"]
    some = (str(SOME), at_once)
    tools: dict[str, Sequence[str]] = {
        SAVETHAT: [*sweep, f"0..{SOME - 1}"],
        BASH: ["bash", "-c", _BASH, "bash", *some],
        SUBMITIT: [python, "-c", _SUBMITIT, *some],
    }
    missing = []
    try:
        peers.parallel()
        tools[PARALLEL] = ["bash", "-c", _PARALLEL, "bash", *some]
    except RuntimeError as error:
        missing.append(absent(PARALLEL, error))
    swept = functools.partial(_swept, project, python)
    found = in_turns(
        {tool: functools.partial(swept, command, SOME) for tool, command in tools.items()},
        min(bench.repeat, TURNS),
    )
    many = swept([*sweep, f"0..{MANY - 1}"], MANY)
    cases = compared(many, found, missing)
    return Section("sweeping", "Sweeping", _METHOD.format(at_once=at_once), cases)


def compared(
    many: Swept, found: Mapping[str, Sequence[Swept]], missing: Sequence[Measure]
) -> tuple[Case, Case]:
    """The two cases, with their goals.

    Args:
        many: savethat's many runs.
        found: each tool's fewer ones, a sweep a turn.
        missing: tools that are not here.
    """
    names = {tool: f"{tool}, {SOME} runs" for tool in found}
    rates = {tool: Measure(names[tool], tuple(one.rate for one in found[tool])) for tool in found}
    costs = {tool: Measure(names[tool], tuple(one.cpu for one in found[tool])) for tool in found}
    ours = f"{SAVETHAT}, {MANY:,} runs"
    times = many.rate / rates[SUBMITIT].median
    ahead = Goal("ahead of submitit", f"{times:.2f} x its runs a second", times > 1)
    text = f"under {_LIMIT:.0f} ms on top of python -c"
    overhead = at_most(text, many.cpu - costs[BASH].median, _LIMIT, "ms")
    return (
        Case(
            "no-op runs a second",
            "runs/s",
            Measure(ours, (many.rate,)),
            (*rates.values(), *missing),
            (ahead,),
        ),
        Case(
            "CPU of a no-op run",
            "ms",
            Measure(ours, (many.cpu,)),
            (*costs.values(), *missing),
            (overhead,),
        ),
    )


def cost(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> Mapping[str, float]:
    """What a command took: `seconds` until it ended, and the `cpu` of all that came of it.

    Raises:
        RuntimeError: it failed.
    """
    found: Mapping[str, float] = json.loads(timed(reaped(command), cwd=folder, env=env).stdout)
    return found


def _swept(project: Path, python: str, command: Sequence[str], runs: int) -> Swept:
    """Makes so many runs in a copy of the project, as a user who has no queue yet."""
    folder = project.with_name(f"copy-{time.monotonic_ns()}")
    shutil.copytree(project, folder)
    home = folder.with_suffix(".home")
    home.mkdir()
    own = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
    found = cost(command, folder, {**own, "PYTHON": python, "PROGRAM": PROGRAM})
    kept = len([path for pattern in _RESULTS for path in folder.glob(pattern)])
    if kept != runs:
        raise RuntimeError(f"{command[0]} left {kept} results of {runs} runs")
    shutil.rmtree(folder)
    return Swept(runs / found["seconds"], 1000 * found["cpu"] / runs)
