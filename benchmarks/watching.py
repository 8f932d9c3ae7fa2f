"""What SLURM is asked while five terminals watch 1,000 live runs."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import scheduler
from benchmarks.bench import Bench
from benchmarks.rows import Case, Goal, Measure, Section, absent
from tests.b2_fixtures import b2_project
from tests.b2server.client import B2Server
from tests.program import Project, await_true
from tests.terminals import terminals

RUNS, RUNNING, TERMINALS = 1_000, 6, 5
# For how many seconds each is watched.
SECONDS, LOOP_SECONDS, SUBMITIT_SECONDS = 180.0, 16.0, 30.0
# One squeue in so many seconds, in all.
EVERY = 30.0

_OURS, _LOOP, _SUBMITIT = "savethat ls --watch", "squeue --me, every 2 s", "submitit's monitor_jobs"
_MARK = "bench-watching"
_SETTINGS = f"""
[slurm]
time = "20m"
mem = "10M"
partition = "cpu"
comment = "{_MARK}"
"""
_MONITOR = """import sys

from submitit import SlurmJob
from submitit.helpers import monitor_jobs

jobs = open("jobs.txt").read().split()
monitor_jobs([SlurmJob(folder="jobs", job_id=job_id) for job_id in jobs])
"""
_METHOD = (
    f"{RUNS:,} live runs of savethat, their marks on B2: {RUNS - RUNNING} held by SLURM and "
    f"{RUNNING} running, an array each. {TERMINALS} pseudo-terminals of one user run the same at "
    f"once, from nothing remembered: `savethat ls --watch` for {SECONDS:.0f} s. What the others do "
    f"does not change with time, so they run for less: `squeue --me` every 2 s for "
    f"{LOOP_SECONDS:.0f} s, and submitit's `monitor_jobs`, which asks every 30 s and takes no "
    f"shorter pause, for {SUBMITIT_SECONDS:.0f} s. A question is a squeue, or a sacct, of any of "
    "the terminals, counted by SLURM's own `sdiag` and `sacctmgr show stats`; the counts are "
    "those of the whole time, in all terminals. Each is measured once."
)
# What a terminal is cleared with.
_CLEAR = b"\x1b[2J"
_GOAL = f"at most one squeue per {EVERY:.0f} s in all"


def measure(bench: Bench) -> Section:
    """Measures politeness; where there is no SLURM, says so."""
    title = f"{RUNS:,} live runs in {TERMINALS} terminals"
    try:
        scheduler.require_arrays_of(RUNS)
    except scheduler.NoSchedulerError as error:
        goal = Goal(_GOAL, f"not measured: {error}", met=False)
        case = Case(title, "questions/min", absent(_OURS, error), goals=(goal,))
    else:
        case = _case(title, bench.folder("watching"))
    return Section("watching", "Watching", _METHOD, (case,))


def _case(title: str, folder: Path) -> Case:
    server = B2Server.start(folder / "b2")
    try:
        project = b2_project(folder, server, "watching", more=_SETTINGS)
        project.env.update(scheduler.environment())
        _launch(project)
        watch = [sys.executable, "-m", "savethat", "ls", "--watch"]
        ours = _watched(_OURS, watch, project, SECONDS, server)
        others = (
            _watched(
                _LOOP, ["sh", "-c", "while squeue --me; do sleep 2; done"], project, LOOP_SECONDS
            ),
            _watched(_SUBMITIT, [sys.executable, "-c", _MONITOR], project, SUBMITIT_SECONDS),
        )
    finally:
        scheduler.cancel(_MARK)
        server.stop()
    asked, most = ours.counts["squeue"], math.ceil(SECONDS / EVERY)
    goal = Goal(_GOAL, f"{asked:.0f} in {SECONDS:.0f} s", met=1 <= asked <= most)
    return Case(title, "questions/min", ours, others, (goal,))


def _launch(project: Project) -> None:
    """Submits the runs, and notes their jobs' ids in `jobs.txt`."""
    held = ("--sbatch", "hold=true", "Double", "--number", f"0..{RUNS - RUNNING - 1}")
    project.run("sweep", "--slurm", *held)
    project.run("sweep", "--slurm", "Sleep", "--seconds", f"601..{600 + RUNNING}")

    def running() -> int:
        return sum(row["status"] == "running" for row in project.ls().values())

    await_true(lambda: running() == RUNNING, lambda: "the runs to begin")
    arrays = scheduler.jobs_marked(_MARK)
    ids = [f"{array}_{index}" for array, size in arrays.items() for index in range(size)]
    if len(ids) != RUNS:
        raise RuntimeError(f"{len(ids)} jobs instead of {RUNS}")
    (project.root / "jobs.txt").write_text("\n".join(ids))


def _watched(
    tool: str,
    command: Sequence[str],
    project: Project,
    seconds: float,
    server: B2Server | None = None,
) -> Measure:
    """What was asked while the terminals showed a program for that long."""
    env = {**project.env, "XDG_CACHE_HOME": str(project.root / f"cache-{time.monotonic_ns()}")}
    if server is not None:
        server.reset_stats()
    before, accounts = scheduler.client_calls(), scheduler.accounting_calls()
    with terminals(TERMINALS, command, cwd=project.root, env=env) as shown:
        time.sleep(seconds)
        calls = scheduler.client_calls() - before
        sacct = (scheduler.accounting_calls() - accounts)[scheduler.SACCT]
        screens = sum(each.shown.count(_CLEAR) for each in shown)
    squeue = calls[scheduler.SQUEUE]
    counts: dict[str, float] = {
        "squeue": squeue,
        "sacct": sacct,
        "RPCs to slurmctld": calls.total(),
    }
    if server is not None:
        listed = server.stats()["calls"]["b2_list_file_names"]["count"]
        counts |= {"list calls to B2": listed, "screens": screens}
    return Measure(tool, (60 * (squeue + sacct) / seconds,), counts)
