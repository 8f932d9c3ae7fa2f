"""What holds wherever runs are sent: one suite for SLURM and for this machine's queue."""

from __future__ import annotations

import abc
import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from savethat.launchers.processes import INSIDE_A_RUN
from tests.program import Project, await_true


@dataclasses.dataclass
class Sender(abc.ABC):
    """A project, and the place its runs are sent to."""

    project: Project

    where: str
    options: tuple[str, ...]

    def send(self, *node: str, options: tuple[str, ...] = (), code: int = 0) -> str:
        """Submits a run; its key."""
        return self.project.key(*self.options, *options, *node, code=code)

    def finish(self, key: str) -> dict[str, Any]:
        """The row of a run that has ended."""
        return self.project.await_status(key, "completed", "failed", "cancelled", "lost")

    @abc.abstractmethod
    def hold(self, *node: str) -> str:
        """Submits a run that waits; its key."""

    @abc.abstractmethod
    def release(self, project: Project, key: str) -> None:
        """Lets it begin; `project` is where the project is by now."""


class OnSlurm(Sender):
    def hold(self, *node: str) -> str:
        return self.send(*node, options=("--sbatch", "begin=now+1hour", "--sbatch", "requeue=true"))

    def release(self, project: Project, key: str) -> None:
        job = project.ls()[key]["job_id"]
        command = ["scontrol", "update", f"JobId={job}", "StartTime=now"]
        subprocess.run(command, env=project.env, check=True)


class InQueue(Sender):
    def hold(self, *node: str) -> str:
        # What needs the whole machine waits for what has it.
        flag = self.project.root / "busy"
        self.send("Sleep", "--seconds", "300", "--flag", str(flag))
        await_true(flag.exists, lambda: "the run that keeps the queue busy")
        return self.send(*node)

    def release(self, project: Project, key: str) -> None:
        project.run("cancel", "--node", "Sleep")


@pytest.fixture(params=[pytest.param("slurm", marks=pytest.mark.slurm), "queue"])
def sender(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sender]:
    env = request.getfixturevalue("slurm") if request.param == "slurm" else {}
    toml = f"""
sync_every = "1s"
scratch = "{tmp_path}/scratch"
[slurm]
time = "10m"
mem = "100M"
"""
    root = tmp_path / "experiments"
    project = Project.make(root, home=tmp_path / "home", toml=toml, env=env)
    if request.param == "slurm":
        yield OnSlurm(project, "lab", ("--slurm",))
    else:
        yield InQueue(project, "queue", ("--detach",))
    project.run("cancel", "--queued", "--running")
    await_true(
        lambda: not project.ls("--queued", "--running"), lambda: f"the end of {project.ls()}"
    )


def test_a_run_leaves_all_it_should_and_is_shown(sender: Sender) -> None:
    key = sender.send("Add", "--a", "2", options=("--tag", "first"))
    row = sender.finish(key)
    assert (row["status"], row["result"], row["where"]) == ("completed", {"sum": 3.0}, sender.where)
    assert row["synced"] is True
    assert row["job_id"]
    assert row["attempt"] == 1
    assert row["tags"] == ["first"]
    folder = sender.project.data / key
    names = {"args.json", "output.log", "output.jsonl", "reproducible.json", "results.json"}
    assert {path.name for path in folder.iterdir()} >= names | {"log.csv"}
    assert row["files"] == len([path for path in folder.rglob("*") if path.is_file()])
    shown = json.loads(sender.project.run("show", "--json", key).stdout)
    assert shown.items() >= row.items()
    assert shown["path"] == str(folder)
    again = sender.project.key(*shlex.split(shown["command"])[2:])
    assert sender.project.ls()[again]["args"] == row["args"]
    assert "adding 2.0 and 1.0" in sender.project.run("logs", key).stdout
    jobs = sender.project.data / ".savethat" / "jobs" / key
    # What a run leaves outside its folder does not grow with the number of runs.
    assert not list(jobs.glob("*.log"))


def test_wait_waits_and_tells_by_its_exit_code(sender: Sender) -> None:
    key = sender.send("Add", "--a", "2", options=("--wait",))
    assert sender.project.ls()[key]["status"] == "completed"
    failed = sender.send("End", "--how", "raise", options=("--wait",), code=1)
    row = sender.project.ls()[failed]
    assert (row["status"], row["reason"]) == ("failed", "ValueError: this went wrong")


@pytest.mark.parametrize(
    ("how", "reason"), [("exit", "exit code 3"), ("segfault", "killed by SIGSEGV")]
)
def test_an_ending_has_its_reason_and_its_files(sender: Sender, how: str, reason: str) -> None:
    row = sender.finish(sender.send("End", "--how", how))
    assert (row["status"], row["reason"]) == ("failed", reason)
    assert (sender.project.data / row["key"] / "before.txt").is_file()


def test_a_waiting_run_is_cancelled_before_it_begins(sender: Sender) -> None:
    key = sender.hold("Add", "--a", "1")
    assert sender.project.ls()[key]["status"] == "queued"
    assert sender.project.run("cancel", key).stdout.split() == [key]
    row = sender.project.await_status(key, "cancelled", "completed", "lost")
    assert row["status"] == "cancelled"
    assert row["reason"].startswith("cancelled by ")
    assert row["started_at"] is None
    assert "cancelled already" in sender.project.run("cancel", key).stderr
    assert not (sender.project.data / key).exists()
    sender.project.run("rm", "--force", key)
    assert key not in sender.project.ls()


def test_a_running_run_is_cancelled_and_keeps_its_files(sender: Sender) -> None:
    flag = sender.project.root / "flag"
    key = sender.send("Sleep", "--seconds", "300", "--flag", str(flag))
    await_true(flag.exists, lambda: "the node to begin")
    sender.project.await_status(key, "running")
    for command in ("rm", "retry"):
        options = ["--force"] if command == "rm" else []
        assert key in sender.project.run(command, key, *options, code=7).stderr
    sender.project.run("cancel", key)
    row = sender.finish(key)
    # SLURM says that it was cancelled; a signal from anywhere else could mean anything.
    assert row["status"] == "cancelled"
    assert row["reason"] in ("cancelled", "terminated (SIGTERM)")
    assert (sender.project.data / key / "cleaned.txt").is_file()


def test_the_log_of_a_running_run_is_seen_while_it_grows(sender: Sender) -> None:
    flag = sender.project.root / "flag"
    key = sender.send("Talk", "--until", str(flag))
    follower = sender.project.start("logs", "-f", key)
    assert follower.stdout is not None
    assert follower.stderr is not None
    seen = ""
    with follower.stdout, follower.stderr:
        while "line 5" not in seen:
            seen += follower.stdout.readline()
        assert "line 5" in sender.project.run("logs", key[-8:]).stdout
        # What squeue says is shared for a few seconds.
        sender.project.await_status(key, "running")
        flag.touch()
        rest, stderr = follower.stdout.read(), follower.stderr.read()
        assert follower.wait(60) == 0, stderr
    assert seen + rest == (sender.project.data / key / "output.log").read_text()
    assert "the last line" in rest
    assert stderr.strip().endswith("completed")
    last = sender.project.run("logs", "-n", "1", key).stdout
    assert last.endswith("completed\n")
    assert len(last.splitlines()) == 1


@pytest.mark.parametrize(("node", "found"), [("Try", 1), ("TryOn", 3)])
def test_retry_is_the_next_attempt_under_the_same_key(
    sender: Sender, node: str, found: int
) -> None:
    key = sender.send(node, "--fails", "2")
    for attempt in (1, 2):
        row = sender.finish(key)
        assert row["status"] == "failed"
        assert (row["attempt"], row["reason"]) == (
            attempt,
            f"RuntimeError: attempt {attempt} fails",
        )
        assert sender.project.run("retry", key).stdout.split() == [key]
        await_attempt(sender.project, key, attempt + 1)
    row = sender.finish(key)
    assert (row["status"], row["attempt"]) == ("completed", 3)
    # A node that resumes finds its files; for any other the folder is empty.
    assert row["result"] == {"value": found}
    log = (sender.project.data / key / "output.log").read_text()
    for attempt in (1, 2, 3):
        assert f"trying for the {attempt}. time" in log
    assert sender.project.ls().keys() == {key}
    sender.project.run("retry", key, code=7)
    sender.project.run("rm", "--force", key)
    assert sender.project.ls() == {}
    for room in ("launches", "jobs", "index"):
        assert not list((sender.project.data / ".savethat").glob(f"{room}/*"))


def await_attempt(project: Project, key: str, attempt: int) -> None:
    await_true(
        lambda: bool(project.ls()[key]["attempt"] >= attempt),
        lambda: f"attempt {attempt} of {project.ls()[key]}",
    )


def test_a_worker_that_is_killed_leaves_a_lost_run(sender: Sender) -> None:
    flag = sender.project.root / "flag"
    key = sender.send("Sleep", "--seconds", "300", "--flag", str(flag))
    await_true(flag.exists, lambda: "the node to begin")
    kill_worker(key)
    row = sender.finish(key)
    assert row["status"] == "lost"
    assert "killed" in row["reason"]
    sender.project.run("retry", key)
    await_true(lambda: sender.project.ls()[key]["status"] == "running", lambda: "attempt 2")


def kill_worker(key: str) -> None:
    """Kills the worker of a run: the parent of its node's process."""
    (child,) = [
        process
        for process in psutil.process_iter()
        if "savethat.worker.child" in cmdline(process) and key in run_of(process)
    ]
    os.kill(child.ppid(), signal.SIGKILL)


def run_of(process: psutil.Process) -> str:
    try:
        return str(process.environ().get(INSIDE_A_RUN, ""))
    except psutil.Error:
        return ""


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_sweep_runs_what_is_missing_or_failed_and_never_too_many(sender: Sender) -> None:
    project = sender.project
    project.key("Add", "--a", "3", "--b", "1")
    to = [option for option in sender.options if option == "--slurm"]
    command = ["sweep", *to, "--max-parallel", "2", "Add", "--a", "1..3", "--b", "1,2"]
    wait = ["--wait"] if to else []
    done = project.run(*command[:1], *wait, *command[1:])
    sweep = done.stdout.strip()
    assert "5 launched" in done.stderr
    assert "1 completed already" in done.stderr
    rows = project.ls("--sweep", sweep)
    points = sorted((row["args"]["a"], row["args"]["b"]) for row in rows.values())
    assert points == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 2)]
    assert {row["status"] for row in rows.values()} == {"completed"}
    assert most_at_once(rows.values()) <= 2
    assert project.ls(next(iter(rows))[:-1]).keys() == rows.keys()
    again = project.run(*command[:1], *wait, *command[1:])
    assert "0 launched" in again.stderr
    assert again.stdout.strip() == sweep
    assert project.ls("--sweep", sweep).keys() == rows.keys()
    gone = next(iter(rows))
    project.run("rm", "--force", gone)
    assert len(project.ls("--sweep", sweep)) == 4
    again = project.run(*command[:1], *wait, *command[1:])
    assert "1 launched" in again.stderr
    assert len(project.ls("--sweep", sweep)) == 5


def most_at_once(rows: Any) -> int:
    """How many of these runs ran at the same moment."""
    events = [(row["started_at"], 1) for row in rows] + [(row["finished_at"], -1) for row in rows]
    running = most = 0
    for _, step in sorted(events):
        running += step
        most = max(most, running)
    return most


def test_the_same_sweep_again_starts_what_failed(sender: Sender) -> None:
    project = sender.project
    to = ["--slurm", "--wait"] if "--slurm" in sender.options else []
    command = ["sweep", *to, "--max-parallel", "3", "Try", "--fails", "0..2"]
    sweep = project.run(*command, code=1).stdout.strip()
    assert count(project, sweep) == {"completed": 1, "failed": 2}
    done = project.run(*command, code=1)
    assert "2 started again" in done.stderr
    assert count(project, sweep) == {"completed": 2, "failed": 1}
    keys = project.ls("--sweep", sweep).keys()
    assert len(keys) == 3
    retried = project.run("retry", "--failed", "--sweep", sweep).stdout.split()
    assert len(retried) == 1
    sender.finish(retried[0])
    assert count(project, sweep) == {"completed": 3}
    assert project.ls("--sweep", sweep).keys() == keys


def count(project: Project, sweep: str) -> dict[str, int]:
    states = [row["status"] for row in project.ls("--sweep", sweep).values()]
    return {state: states.count(state) for state in sorted(set(states))}


def test_a_sweep_is_cancelled_whole(sender: Sender) -> None:
    project = sender.project
    to = sender.options
    command = ["sweep", *to, "--max-parallel", "2", "Sleep", "--seconds", "200,201,202,203"]
    sweep = project.run(*command).stdout.strip()
    await_true(
        lambda: count(project, sweep) == {"queued": 2, "running": 2},
        lambda: f"two of four to run: {count(project, sweep)}",
    )
    assert len(project.run("cancel", "--sweep", sweep).stdout.split()) == 4
    await_true(
        lambda: count(project, sweep) == {"cancelled": 4},
        lambda: f"all to be cancelled: {project.ls('--sweep', sweep)}",
    )


def test_a_sweep_from_python_can_be_waited_for(sender: Sender) -> None:
    slurm = "{}" if "--slurm" in sender.options else "None"
    code = f"""
import savethat
from experiments.nodes import Add, AddArgs
runs = savethat.sweep(Add, grid={{"a": [1, 2], "b": 5}}, slurm={slurm}, max_parallel=2).wait()
print(runs.id, [run.result()["sum"] for run in runs])
again = savethat.sweep(Add, [AddArgs(2, 5), AddArgs(1, 5)], slurm={slurm}).wait()
print(again.id, sorted(run.key for run in runs) == sorted(run.key for run in again))
run = savethat.submit(Add(AddArgs(7)), slurm={slurm}).wait()
print(run.result(Add))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=sender.project.root,
        env=sender.project.env,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    sweep, _, sums = first.partition(" ")
    assert sums == "[6.0, 7.0]"
    assert second == f"{sweep} True"
    assert third == "{'sum': 8.0}"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--a", "1,two"], "--a"),
        (["--a", "1..2", "--c", "3"], "--c"),
        (["--b", "1,2"], "missing --a"),
        (["--a", "1,2", "--b", ","], "--b"),
    ],
)
def test_a_mistake_in_any_point_is_found_before_anything_is_submitted(
    sender: Sender, args: list[str], words: str
) -> None:
    done = sender.project.run("sweep", *sender.options, "Add", *args, code=2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert sender.project.ls() == {}
    assert not sender.project.data.exists()


def test_a_dry_run_of_a_sweep_shows_its_points_and_leaves_nothing(sender: Sender) -> None:
    done = sender.project.run("sweep", *sender.options, "-n", "Add", "--a", "1..3")
    assert [line.partition("experiments.nodes.")[2] for line in done.stdout.splitlines()[:3]] == [
        f'Add {{"a": {a}.0, "b": 1.0}}' for a in (1, 2, 3)
    ]
    assert ("#SBATCH --array=0-2" in done.stdout) == ("--slurm" in sender.options)
    assert "3 points would be launched" in done.stderr
    assert sender.project.ls() == {}
    assert not sender.project.data.exists()
