"""Launching many runs on the real SLURM: arrays, limits, and launchers that are killed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from savethat.run.layout import parse_job_name
from tests.program import Project, await_true
from tests.test_acceptance import most_at_once

ROOT = Path(__file__).parent.parent
# A held array of more runs than one array takes here, so that a launch has several steps.
HELD = ("--sbatch", "hold=true")
MANY = 103


@pytest.fixture
def project(tmp_path: Path, slurm: Mapping[str, str]) -> Iterator[Project]:
    toml = f"""
sync_every = "60s"
scratch = "{tmp_path}/scratch"
[slurm]
time = "10m"
mem = "10M"
"""
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home", toml=toml, env=slurm)
    yield project
    project.run("cancel", "--queued", "--running")
    await_true(lambda: not live_jobs(project), lambda: f"the end of {live_jobs(project)}")


def live_jobs(project: Project) -> list[tuple[str, int]]:
    """The launch and position of each of the project's jobs that SLURM has, with repetitions."""
    launches = {path.stem for path in (project.data / ".savethat" / "launches").glob("*.json")}
    done = subprocess.run(
        ["squeue", "--me", "-h", "-r", "-o", "%i|%j"],
        env=project.env,
        text=True,
        capture_output=True,
        check=True,
    )
    found = []
    for line in done.stdout.splitlines():
        job_id, _, name = line.partition("|")
        task = parse_job_name(name, int(job_id.partition("_")[2] or 0))
        if task[0] in launches:
            found.append(task)
    return found


def arrays(project: Project) -> int:
    """How many job arrays SLURM has of the project."""
    return len(list((project.data / ".savethat" / "jobs").glob("*/*_submission.sh")))


def test_a_sweep_larger_than_an_array_completes_and_never_runs_too_many(project: Project) -> None:
    options = ("--slurm", "--wait", "--max-parallel", "5")
    done = subprocess.run(
        [sys.executable, "-m", "savethat", "sweep", *options, "Double", "--number", "0..249"],
        cwd=project.root,
        env=project.env,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "250 launched, in 3 SLURM jobs" in done.stderr
    rows = project.ls("--sweep", done.stdout.strip())
    assert Counter(row["status"] for row in rows.values()) == {"completed": 250}
    assert sorted(row["result"]["value"] for row in rows.values()) == [2 * n for n in range(250)]
    assert most_at_once(rows.values()) <= 5
    assert arrays(project) == 3
    assert len(list((project.data / ".savethat" / "launches").iterdir())) == 1
    (jobs,) = (project.data / ".savethat" / "jobs").iterdir()
    # Three scripts, the order and two locks, however many runs there were.
    assert len(list(jobs.iterdir())) == 6


@pytest.mark.parametrize("how", ["sync", "the same again"])
def test_what_a_submit_limit_refuses_waits_and_is_submitted_later(
    project: Project, how: str
) -> None:
    command = ("sweep", "--slurm", "-p", "few", "Double", "--number", "0..5")
    done = project.run(*command)
    assert "2 of 6 runs are not submitted yet" in done.stderr
    assert "QOSMaxSubmitJobPerUserLimit" in done.stderr
    sweep = done.stdout.strip()

    def ended(number: int) -> bool:
        return len(project.ls("--sweep", sweep, "--completed")) == number

    await_true(lambda: ended(4), lambda: f"four to complete: {project.ls()}")
    waiting = [row for row in project.ls().values() if row["status"] != "completed"]
    project.run("rm", "--failed", "--force")
    assert len(project.ls()) == 6
    if how == "sync":
        assert "submitted: 2 runs" in project.run("sync").stderr
    else:
        done = project.run(*command)
        assert "2 launched, in 1 SLURM job; skipped: 4 completed already" in done.stderr
        assert done.stdout.strip() == sweep
    await_true(lambda: ended(6), lambda: f"six to complete: {waiting}")
    assert "Nothing is waiting" in project.run("sync").stderr


def test_a_waiting_run_that_is_cancelled_is_not_submitted_later(project: Project) -> None:
    command = ("sweep", "--slurm", "-p", "few", "--sbatch", "hold=true", "Double")
    sweep = project.run(*command, "--number", "0..5").stdout.strip()
    assert len(project.run("cancel", "--sweep", sweep).stdout.split()) == 6
    await_true(
        lambda: len(project.ls("--status", "cancelled")) == 6, lambda: f"the end of {project.ls()}"
    )
    assert "Nothing is waiting" in project.run("sync").stderr
    assert live_jobs(project) == []


def killed(project: Project, step: int, *command: str) -> tuple[int, int]:
    """Runs the program up to a step; its exit code, and how many steps it made if it ended."""
    report = project.root / "steps"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.killing"),
            *(str(step), str(report), str(step % 2), "--", *command),
        ],
        cwd=project.root,
        env={**project.env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        start_new_session=True,
        check=False,
    )
    return done.returncode, int(report.read_text()) if report.exists() else 0


def points(tasks: list[tuple[str, int]]) -> int:
    """How many jobs there are, each once."""
    assert len(set(tasks)) == len(tasks), [task for task in tasks if tasks.count(task) > 1]
    return len(tasks)


def kill_points(project: Project, *command: str, number: int) -> list[int]:
    """So many steps of a command, evenly spread over all that it makes."""
    # The first time it makes folders, too.
    for span in ("900..901", "902..903"):
        code, steps = killed(project, 0, *command, span)
        assert code == 0
    assert steps >= number
    return [1 + (steps - 1) * index // (number - 1) for index in range(number)]


@pytest.mark.parametrize("part", range(3))
def test_a_launcher_killed_at_any_step_leaves_no_run_twice_and_none_missing(
    project: Project, part: int
) -> None:
    command = ("sweep", "--slurm", *HELD, "--max-parallel", "2", "Double", "--number")
    number = int(os.environ.get("SAVETHAT_KILL_POINTS", "33"))
    chosen = kill_points(project, *command, number=number)[part::3]
    project.run("cancel", "--queued")
    outcomes: Counter[str] = Counter()
    for index, step in enumerate(chosen):
        span = f"{1000 * (index + 1)}..{1000 * (index + 1) + MANY - 1}"
        code, _ = killed(project, step, *command, span)
        before = points(live_jobs(project))
        outcomes[f"{before} of {MANY} jobs" if code else "not killed"] += 1
        done = project.run(*command, span)
        sweep = done.stdout.strip()
        assert points(live_jobs(project)) == MANY, f"step {step}: {done.stderr}"
        rows = project.ls("--sweep", sweep)
        assert len({row["args"]["number"] for row in rows.values()}) == len(rows) == MANY
        again = project.run(*command, span)
        assert re.search(r" 0 launched; skipped: 103 queued already", again.stderr), again.stderr
        assert len(project.run("cancel", "--sweep", sweep).stdout.split()) == MANY
        await_true(lambda: not live_jobs(project), lambda: f"the end of {live_jobs(project)}")
    print(f"killed at the steps {chosen}, there were {dict(outcomes)}")
    # A step more or less: caches come and go.
    assert outcomes["not killed"] <= 1


# What stands for a program on PATH: it says that it began, waits, and is the program.
SLOW = """#!/bin/sh
touch "$BEGAN"
sleep 1.5
PATH=$(echo "$PATH" | sed 's/^[^:]*://')
exec {program} "$@"
"""


@pytest.mark.parametrize("program", ["sbatch", "flock"])
def test_an_sbatch_that_outlives_its_launcher_submits_nothing_twice(
    project: Project, tmp_path: Path, program: str
) -> None:
    slow = tmp_path / "slow" / program
    slow.parent.mkdir()
    slow.write_text(SLOW.format(program=program))
    slow.chmod(0o755)
    began = tmp_path / "began"
    env = {**project.env, "PATH": f"{slow.parent}:{project.env['PATH']}", "BEGAN": str(began)}
    command = ("sweep", "--slurm", *HELD, "Double", "--number", "0..3")
    launcher = Project(project.root, env).start(*command)
    await_true(began.exists, lambda: f"{program} to begin")
    launcher.kill()
    launcher.communicate()
    # At once: sbatch is still under way, or has not even got its lock.
    done = project.run(*command)
    assert points(live_jobs(project)) == 4, done.stderr
    await_true(lambda: not under_way(project), lambda: "the end of the slow one")
    assert points(live_jobs(project)) == 4
    assert len(project.ls()) == 4


def under_way(project: Project) -> bool:
    """Whether something that was started for a launch of the project is not over."""
    done = subprocess.run(
        ["pgrep", "-f", str(project.data / ".savethat" / "jobs")], capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.mark.parametrize(
    ("options", "number"),
    [pytest.param(("--slurm",), 8, marks=pytest.mark.slurm), (("--detach",), 16)],
)
def test_points_of_killed_launches_complete_exactly_once(
    request: pytest.FixtureRequest, tmp_path: Path, options: tuple[str, ...], number: int
) -> None:
    if "--slurm" in options:
        project: Project = request.getfixturevalue("project")
    else:
        project = Project.make(tmp_path / "experiments", home=tmp_path / "home")
    command = ("sweep", *options, "--max-parallel", "4", "Double", "--number")
    sweeps = []
    for index, step in enumerate(kill_points(project, *command, number=number)):
        span = f"{10 * index}..{10 * index + 1}"
        killed(project, step, *command, span)
        sweeps.append(project.run(*command, span).stdout.strip())
    await_true(
        lambda: not project.ls("--queued", "--running"), lambda: f"the end of {project.ls()}"
    )
    for sweep in sweeps:
        rows = project.ls("--sweep", sweep).values()
        assert [row["status"] for row in rows] == ["completed"] * 2
        assert [row["attempt"] for row in rows] == [1, 1]
        for row in rows:
            log = (project.data / row["key"] / "output.log").read_text()
            assert log.count("attempt 1 of") == 1
