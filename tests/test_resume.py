"""Runs that are ended from outside and go on: docs/how-to/resume.md, as it stands there."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.b2_fixtures import b2_key
from tests.b2server.client import B2Server
from tests.program import Project, await_true
from tests.test_queue import Server, leave_nothing, log, make

DOC = Path(__file__).parent.parent / "docs" / "how-to" / "resume.md"
STEPS = 60_000
TRAIN = ("Train", "--steps", str(STEPS))
KILLS = 5


def add_example(project: Project) -> None:
    """Adds the guide's node to a project."""
    blocks = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)
    assert len(blocks) == 1
    (project.root / "experiments" / "training.py").write_text(blocks[0])


def result(project: Project, key: str) -> list[str]:
    """What a run came to, bit for bit."""
    value = json.loads((project.data / key / "results.json").read_text())
    return [float(number).hex() for number in (value["loss"], *value["weights"])]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the example comes to when nothing ends it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    project = Project.make(folder / "experiments", home=folder / "home")
    add_example(project)
    return result(project, project.key(*TRAIN))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = make(tmp_path)
    add_example(server)
    yield server
    leave_nothing(server)


def moments(seed: int, number: int) -> list[int]:
    """Steps at which a run is ended, with enough of them left to see the last of these."""
    return sorted(random.Random(seed).sample(range(STEPS // 2), number))


def step(checkpoint: Path) -> int:
    """The step of a checkpoint; -1 where there is none yet."""
    try:
        with np.load(checkpoint) as saved:
            return int(saved["step"])
    except FileNotFoundError:
        return -1


def await_worker(server: Server, restarts: int) -> int:
    """Waits for the worker of a run that was started again so often; its process id."""
    sql = f"SELECT pid FROM runs WHERE state = 'running' AND restarts = {restarts}"
    await_true(lambda: bool(server.select(sql)), lambda: f"attempt {restarts + 1}")
    return int(server.select(sql)[0][0])


def await_step(checkpoint: Path, least: int) -> None:
    await_true(lambda: step(checkpoint) >= least, lambda: f"step {least}, not {step(checkpoint)}")


def begun_at(text: str) -> list[int]:
    """The steps at which the attempts of a run began, by its log."""
    return [int(found) for found in re.findall(r"attempt \d+ begins at step (\d+)", text)]


def test_a_run_of_the_queue_is_killed_five_times_and_comes_to_the_same(
    server: Server, undisturbed: list[str]
) -> None:
    key = server.key("--detach", "--requeue", str(KILLS), *TRAIN)
    # The first one before the node has begun, which leaves nothing to go on from.
    for restarts, moment in enumerate([-1, *moments(5, KILLS - 1)]):
        worker = await_worker(server, restarts)
        await_step(server.data / key / "checkpoint.npz", moment)
        os.kill(worker, signal.SIGKILL)
    row = server.await_status(key, "completed", "failed", "lost", "cancelled")
    assert (row["status"], row["attempt"]) == ("completed", KILLS + 1)
    assert result(server, key) == undisturbed
    begun = begun_at(log(server, key))
    assert begun == sorted(begun)
    assert begun[-1] >= moments(5, KILLS - 1)[-1]
    # One name in the index, as of any finished run.
    marks = [path.name for path in (server.data / ".savethat" / "index").rglob(f"{key}*")]
    assert marks == [f"{key}.{KILLS + 1}.completed"]


def test_a_run_that_is_killed_again_and_again_is_given_up(server: Server) -> None:
    key = server.key("--detach", "--requeue", "1", "Talk", "--until", "never")
    for restarts in range(2):
        os.kill(await_worker(server, restarts), signal.SIGKILL)
    row = server.await_status(key, "completed", "failed", "lost", "cancelled")
    assert row["status"] == "lost"
    assert row["reason"].startswith("its worker was killed by SIGKILL")


def test_a_run_that_is_cancelled_while_it_waits_for_its_next_attempt_does_not_go_on(
    server: Server,
) -> None:
    key = server.key("--detach", "--requeue", "9", "Talk", "--until", "never")
    await_worker(server, 0)
    server.kill_all()
    assert server.run("cancel", key).stdout.split() == [key]
    row = server.await_status(key, "completed", "failed", "lost", "cancelled")
    assert row["status"] == "cancelled"
    assert server.states() == {"over": 1}


def test_after_a_reboot_what_may_be_requeued_goes_on(server: Server) -> None:
    flag = server.root / "flag"
    options = ("--detach", "--requeue", "1", "--max-parallel", "1")
    key = server.key(*options, "Talk", "--until", str(flag))
    server.await_status(key, "running")
    server.kill_all()
    # The command that looks brings it back, and tells what it is.
    row = server.ls()[key]
    assert row["status"] in ("queued", "running")
    if row["status"] == "queued":
        assert row["reason"] == "requeued (attempt 2 queued)"
    flag.touch()
    row = server.await_status(key, "completed", "failed", "lost", "cancelled")
    assert (row["status"], row["attempt"]) == ("completed", 2)
    assert log(server, key).count("attempt 2 of") == 1


def test_what_ended_before_its_worker_was_killed_is_not_run_again(server: Server) -> None:
    """The worker dies between its run's last mark and its own end."""
    site = server.root.parent / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        """
import os, signal, sys
ended = False

def hook(event, arguments):
    global ended
    if ended and event != "os.kill":
        os.kill(os.getpid(), signal.SIGKILL)
    ended = ended or event == "os.rename" and str(arguments[1]).endswith(".completed")

if "savethat.launchers.queue.runner" in sys.orig_argv:  # its workers are forks
    sys.addaudithook(hook)
"""
    )
    deadly = Server(server.root, {**server.env, "PYTHONPATH": str(site)})
    key = deadly.key("--detach", "--requeue", "3", "Try", "--fails", "0")
    server.await_states(over=1)
    row = server.ls()[key]
    assert (row["status"], row["attempt"]) == ("completed", 1)
    assert server.select("SELECT restarts, ending FROM runs") == [(1, "completed")]
    assert log(server, key).count("trying for the") == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("run", "--requeue", "1", "Add", "--a", "1"), "--requeue is for jobs"),
        (("run", "--detach", "--requeue", "-1", "Add", "--a", "1"), "x>=0"),
        (("run", "--detach", "Add", "--a", "1", "--requeue", "1"), "is an option of savethat's"),
    ],
)
def test_requeues_that_cannot_be_are_refused(
    server: Server, command: tuple[str, ...], words: str
) -> None:
    done = server.run(*command, code=2)
    assert words in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("options", "node", "times"),
    [
        ((), ("TryOn",), 3),
        ((), ("Try",), 0),
        (("--requeue", "0"), ("TryOn",), 0),
        (("--requeue", "7"), ("Try",), 7),
        (("--sbatch", "requeue=true"), ("Try",), 3),
        (("--sbatch", "requeue=true", "--requeue", "0"), ("TryOn",), 0),
        (("--sbatch", "no-requeue"), ("TryOn",), 0),
    ],
)
def test_a_job_is_requeued_as_its_launch_says(
    server: Server, options: tuple[str, ...], node: tuple[str, ...], times: int
) -> None:
    script = server.run("run", "--slurm", "--dry-run", *options, *node).stdout
    assert ("#SBATCH --requeue" in script) is (times > 0)
    assert ("#SBATCH --no-requeue" in script) is (times == 0)


def test_a_failed_run_goes_on_from_its_files_only_if_that_is_asked(server: Server) -> None:
    found = {}
    for options in ((), ("--resume",)):
        key = server.key("Try", "--fails", "1", code=1)
        assert server.run("retry", *options, key).stdout.split() == [key]
        row = server.await_status(key, "completed", "failed", "lost")
        assert (row["status"], row["attempt"]) == ("completed", 2)
        found[options] = row["result"]["value"]
    assert found == {(): 1, ("--resume",): 2}


def test_a_run_whose_files_are_elsewhere_is_not_resumed(server: Server) -> None:
    key = server.key("Try", "--fails", "1", code=1)
    mark = server.data / ".savethat" / "index" / "Try" / f"{key}.1.failed"
    said = json.loads(mark.read_text())
    names = [f"attempt-{number}.txt" for number in range(1, 9)]
    mark.write_text(json.dumps({**said, "left": names, "kept": "n7:/scratch/anna"}))
    done = server.run("retry", "--resume", key, code=7)
    assert "(attempt-2.txt, attempt-3.txt, attempt-4.txt, …) but in n7:/scratch/anna" in done.stderr
    mark.write_text(json.dumps(said))
    shutil.rmtree(server.data / key)
    assert "if it wrote anything, that is" in server.run("retry", "--resume", key, code=7).stderr
    waiting = server.key("--detach", "--max-parallel", "1", "Sleep", "--seconds", "300")
    never = server.key("--detach", "Try")
    server.run("cancel", never)
    assert "has never begun" in server.run("retry", "--resume", never, code=7).stderr
    # Nothing was started, and without it all can be.
    assert {row["attempt"] for row in server.ls().values()} == {1}
    server.run("cancel", waiting)
    assert server.run("retry", key).stdout.split() == [key]


@pytest.fixture
def bucket(b2_server: B2Server, b2_prefix: str) -> Mapping[str, str]:
    """The settings of a project on B2, and its credentials, as environment variables."""
    return {
        "SAVETHAT_B2_BUCKET": b2_server.bucket,
        "SAVETHAT_B2_PREFIX": b2_prefix,
        "SAVETHAT_B2_REALM": b2_server.url,
        **b2_key(b2_server),
    }


def test_a_run_goes_on_on_another_machine(
    server: Server, bucket: Mapping[str, str], tmp_path: Path
) -> None:
    server.env |= bucket
    key = server.key("Try", "--fails", "1", code=1)
    root = tmp_path / "elsewhere" / "experiments"
    shutil.copytree(server.root, root, ignore=shutil.ignore_patterns("data_storage"))
    (tmp_path / "elsewhere" / "home").mkdir()
    other = Server(root, {**server.env, "HOME": str(tmp_path / "elsewhere" / "home")})
    try:
        assert other.run("retry", "--resume", key).stdout.split() == [key]
        row = other.await_status(key, "completed", "failed", "lost")
    finally:
        leave_nothing(other)
    assert (row["status"], row["attempt"], row["result"]) == ("completed", 2, {"value": 2})
    # What the first machine sees, and gets, is what the other one has left.
    assert server.ls()[key] == row
    folder = Path(server.run("download", key).stdout.strip())
    for number in (1, 2):
        assert f"trying for the {number}. time" in (folder / "output.log").read_text()


def test_a_job_that_is_preempted_and_requeued_comes_to_the_same_from_what_was_stored(
    slurm: Mapping[str, str], bucket: Mapping[str, str], tmp_path: Path, undisturbed: list[str]
) -> None:
    toml = f"""
sync_every = "1s"
scratch = "{tmp_path}/scratch"
[slurm]
time = "10m"
mem = "100M"
"""
    env = {**slurm, **bucket}
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home", toml=toml, env=env)
    add_example(project)
    scratch = tmp_path / "scratch"
    # Two CPUs are a whole node of the tests' cluster: who needs one has to preempt it.
    key = project.key("--slurm", "-p", "low", "--cpus", "2", "--requeue", "9", *TRAIN)
    try:
        ends = {"preempted": preempt, "requeued": requeue}
        for attempt, moment, end in zip((1, 2), moments(7, 2), ends, strict=True):
            (checkpoint,) = await_paths(scratch, f"*/{key}.{attempt}/checkpoint.npz")
            await_step(checkpoint, moment)
            halt_node(project)
            ends[end](project, key)
            row = project.await_status(key, "queued", "completed", "failed", "cancelled", "lost")
            assert row["status"] == "queued"
            assert row["reason"] == f"{end} (attempt {attempt + 1} queued)"
            # The next node has nothing of this one's.
            shutil.rmtree(scratch)
            scontrol(project, "update", f"JobId={row['job_id']}", "StartTime=now+3")
        row = project.await_status(key, "completed", "failed", "cancelled", "lost")
    finally:
        project.run("cancel", "--queued", "--running")
    assert (row["status"], row["attempt"]) == ("completed", 3)
    project.run("download", key)
    assert result(project, key) == undisturbed
    begun = begun_at((project.data / key / "output.log").read_text())
    assert all(begin >= moment for begin, moment in zip(begun[1:], moments(7, 2), strict=True))


def await_paths(folder: Path, pattern: str) -> list[Path]:
    await_true(lambda: any(folder.glob(pattern)), lambda: f"{pattern} in {folder}")
    return list(folder.glob(pattern))


def halt_node(project: Project) -> None:
    """Has the node wait for what comes: SLURM continues what it ends."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            mine = process.environ().get("HOME") == project.env["HOME"]
            if mine and "savethat.worker.child" in process.cmdline():
                process.suspend()


def preempt(project: Project, key: str) -> None:
    """Takes a run's node for a moment."""
    node = project.ls()[key]["host"]
    job = ["sbatch", "-p", "cpu", "-w", node, "-c", "2", "--mem=10M", "-o", "/dev/null"]
    subprocess.run([*job, "--wrap", "true"], env=project.env, check=True, capture_output=True)


def requeue(project: Project, key: str) -> None:
    """Does what an administrator does who needs a run's node."""
    scontrol(project, "requeue", project.ls()[key]["job_id"])


def scontrol(project: Project, *words: str) -> None:
    subprocess.run(["scontrol", *words], env=project.env, check=True)


_LAUNCH = """
import savethat
from experiments.nodes import Try, TryArgs, TryOn
runs = [
    savethat.submit(TryOn(TryArgs(0))),
    savethat.submit(Try(TryArgs(0)), requeue=7),
    *savethat.sweep(TryOn, grid={"fails": [1]}, requeue=0),
]
try:
    savethat.submit(Try(TryArgs(0)), requeue=-1)
except savethat.SavethatError as error:
    assert "less than never" in str(error)
print(*(run.wait().key for run in runs))
"""


def test_a_launch_keeps_how_often_its_runs_are_started_again(server: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LAUNCH],
        cwd=server.root,
        env=server.env,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    keys = done.stdout.split()
    assert [requeue_of(server, key) for key in keys] == [3, 7, 0]
    # The same again asks for what is given now, and `retry` for what was asked for then.
    sweep = ("sweep", "--detach", "--requeue", "2", "TryOn", "--fails", "1")
    assert "1 started again" in server.run(*sweep).stderr
    assert requeue_of(server, f"{keys[2]}.2") == 2
    failed = server.key("--detach", "--wait", "--requeue", "5", "Try", "--fails", "9", code=1)
    for attempt, options, times in ((2, (), 5), (3, ("--requeue", "1"), 1)):
        server.await_status(failed, "failed")
        server.run("retry", *options, failed)
        assert requeue_of(server, f"{failed}.{attempt}") == times


def requeue_of(project: Project, launch: str) -> int:
    record = project.data / ".savethat" / "launches" / f"{launch}.json"
    return int(json.loads(record.read_text())["requeue"])
