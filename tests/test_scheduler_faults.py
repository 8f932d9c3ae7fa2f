"""The scheduler's bad days: it is down, slow, forgetful or not understood, or its clock is off.

The SLURM is real, and other tests use it. What is down is the way to it: each user here has a
slurm.conf of their own, which leads to a port where nobody listens, or nobody answers.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from savethat.run.status import SUBMIT_GRACE
from tests.program import Project, await_true

pytestmark = pytest.mark.slurm

HOURS = 7200
HEADER = "JOBID|STATE|EXEC_HOST|REASON|NAME"


@pytest.fixture
def project(tmp_path: Path, slurm: Mapping[str, str]) -> Iterator[Project]:
    toml = f"""
scratch = "{tmp_path}/scratch"
[slurm]
time = "10m"
mem = "10M"
"""
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home", toml=toml, env=slurm)
    yield project
    # Under whatever name: they start in the project's folder.
    for job_id, folder in (line.split("|") for line in squeue(project, "-o", "%i|%Z")):
        if folder == str(project.root):
            subprocess.run(["scancel", job_id], env=project.env, check=True)


def squeue(project: Project, *options: str) -> list[str]:
    """The lines about the user's jobs."""
    command = ["squeue", "--me", "-h", *options]
    done = subprocess.run(command, env=project.env, text=True, capture_output=True, check=True)
    return done.stdout.splitlines()


def jobs_named(project: Project, name: str) -> list[str]:
    return squeue(project, "--name", name, "-o", "%i")


def with_conf(project: Project, folder: Path, **settings: object) -> Project:
    """The project of a user whose SLURM is configured otherwise."""
    folder.mkdir()
    lab = Path(project.env["SLURM_CONF"])
    text = lab.read_text()
    for name, value in settings.items():
        text = re.sub(rf"(?m)^{name}=.*\n", "", text) + f"{name}={value}\n"
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text(lab.with_name("gres.conf").read_text())
    configured = dataclasses.replace(
        project, env={**project.env, "SLURM_CONF": str(folder / "slurm.conf")}
    )
    return by_itself(configured, folder)


def by_itself(project: Project, folder: Path) -> Project:
    """The project of a user with whose processes others share no answers, and no failures."""
    cache = {"XDG_CACHE_HOME": str(folder / "cache")}
    return dataclasses.replace(project, env={**project.env, **cache})


def with_squeue(project: Project, folder: Path, script: str) -> Project:
    """The project of a user whose squeue is this shell script; `$squeue` is SLURM's own."""
    folder.mkdir()
    program = folder / "squeue"
    own = subprocess.run(["which", "squeue"], text=True, capture_output=True, check=True).stdout
    program.write_text(f"#!/bin/sh\nsqueue={own.strip()}\n{script}\n")
    program.chmod(0o755)
    return dataclasses.replace(
        project, env={**project.env, "PATH": f"{folder}:{project.env['PATH']}"}
    )


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield server.getsockname()[1]


def marks(project: Project, key: str) -> list[Path]:
    return list((project.data / ".savethat" / "index").glob(f"*/{key}.*"))


def set_age(path: Path, seconds: float) -> None:
    """Makes a record or mark as old, by the clock of its storage."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def a_running_run(project: Project) -> str:
    flag = project.root / "flag"
    key = project.key("--slurm", "Sleep", "--seconds", "300", "--flag", str(flag))
    await_true(flag.exists, lambda: "the node to begin")
    return key


def a_run_without_a_job(project: Project, *node: str, ahead: float = -300) -> str:
    """A launch of five minutes ago that was recorded, and of whose job nobody knows.

    It is a real one, under another name. With `ahead`, by a clock that is off.
    """
    key = project.key("--slurm", "--sbatch", "hold=true", *(node or ("Add", "--a", "1")))
    when = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(time.time() + ahead))
    other = f"{key.split('_')[0]}_{when}_{key[-8:][::-1]}"
    launches = project.data / ".savethat" / "launches"
    record = (launches / f"{key}.json").read_text()
    (launches / f"{other}.json").write_text(record.replace(key, other))
    (launches / f"{key}.json").unlink()
    return other


def started(project: Project, key: str, like: str, job_id: str = "") -> None:
    """Leaves the mark that a worker of the run would have left, as `like` has it."""
    (mark,) = marks(project, like)
    content = json.loads(mark.read_text().replace(like, key))
    content["place"]["job_id"] = job_id or content["place"]["job_id"]
    place = mark.with_name(mark.name.replace(like, key))
    place.write_text(json.dumps(content))


def test_a_controller_that_does_not_answer_is_waited_for_once_and_told(
    project: Project, tmp_path: Path, silent_port: int
) -> None:
    fresh = a_running_run(project)
    old = a_run_without_a_job(project, "Sleep", "--seconds", "1")
    started(project, old, fresh)
    (mark,) = marks(project, old)
    set_age(mark, 3600)
    down = with_conf(project, tmp_path / "down", SlurmctldPort=closed_port())
    silent = {"SlurmctldPort": silent_port, "MessageTimeout": 100}
    slow = with_conf(project, tmp_path / "slow", **silent)
    # One whose programs give up by themselves, and sooner.
    brief = with_conf(project, tmp_path / "brief", **{**silent, "MessageTimeout": 2})
    with ThreadPoolExecutor() as pool:
        listings = [pool.submit(each.run, "ls", "--json") for each in (down, slow)]
        refused = [
            pool.submit(brief.run, *command, code=6)
            for command in (("cancel", fresh), ("sweep", "--slurm", "Double", "--number", "1,2"))
        ]
    for listing in listings:
        rows = {row["key"]: row for row in map(json.loads, listing.result().stdout.splitlines())}
        assert rows[fresh]["status"] == "running"
        assert rows[old]["status"] == "unknown"
        words = r"running on n\d when last seen [\d-]+ \d\d:\d\d UTC; SLURM could not be asked: "
        assert re.match(words, rows[old]["reason"])
        assert "SLURM could not be asked" in listing.result().stderr
    assert "did not answer within 10 s" in listings[1].result().stderr
    for done in refused:
        assert "Traceback" not in done.result().stderr
        assert "Socket timed out" in done.result().stderr
    # Nothing was submitted, nothing ended, and doubt makes nothing removable.
    rows = project.ls()
    assert rows.keys() == {fresh, old}
    assert rows[fresh]["status"] == "running"


def test_without_an_answer_of_the_accounting_nothing_counts_as_never_submitted(
    project: Project, tmp_path: Path
) -> None:
    command = ("sweep", "--slurm", "--sbatch", "hold=true", "Double", "--number", "7")
    project.run(*command)
    (key,) = project.ls()
    gone = a_run_without_a_job(project, "Double", "--number", "8")
    began = a_run_without_a_job(project, "Sleep", "--seconds", "1")
    started(project, began, a_running_run(project))
    project.run("cancel", key)
    for path in (project.data / ".savethat" / "launches").iterdir():
        set_age(path, SUBMIT_GRACE + 1)

    down = with_conf(project, tmp_path / "down", AccountingStoragePort=closed_port())
    rows = down.ls()
    assert rows[gone]["status"] == "unknown"
    assert "SLURM's accounting could not be asked: Problem talking" in rows[gone]["reason"]
    assert rows[began]["status"] == "lost"
    assert "no trace of the job; SLURM's accounting" in rows[began]["reason"]
    assert "0 launched" in down.run(*command[:-1], "8").stderr
    assert gone in down.run("cancel", gone, code=6).stderr
    # A launch that seems to be under way, but of which only the accounting could tell.
    set_age(project.data / ".savethat" / "launches" / f"{gone}.json", 0)
    assert down.ls()[gone]["reason"] == "being submitted"
    assert "accounting could not be asked" in down.run(*command[:-1], "8").stderr
    assert jobs_named(project, gone) == []

    set_age(project.data / ".savethat" / "launches" / f"{gone}.json", SUBMIT_GRACE + 1)
    none = "accounting_storage/none"
    off = with_conf(project, tmp_path / "off", AccountingStorageType=none)
    for asked in (off, project):
        row = asked.ls()[gone]
        assert (row["status"], row["reason"]) == ("lost", "never submitted")
        assert asked.ls()[began]["reason"] == "no trace of the job"


def test_a_job_the_controller_has_forgotten_is_what_the_accounting_says(
    project: Project, tmp_path: Path
) -> None:
    key = a_running_run(project)
    forgetful = with_squeue(project, tmp_path / "bin", f"echo '{HEADER}'")
    set_age(project.data / ".savethat" / "launches" / f"{key}.json", SUBMIT_GRACE + 1)
    # The run was launched a moment ago, and squeue may have been asked before.
    assert forgetful.ls()[key]["status"] == "running"
    (mark,) = marks(project, key)
    worker = json.loads(mark.read_text())["place"]["pid"]
    os.kill(worker, 9)
    row = project.await_status(key, "lost")
    forgotten = forgetful.ls()[key]
    assert forgotten["status"] == "lost"
    assert "killed by SIGKILL" in forgotten["reason"], row


@pytest.mark.parametrize(
    "script",
    [
        "echo 'The batch system is being maintained.'",
        "true",
        f"echo '{HEADER}'; printf '123|RUNN'",
        "$squeue \"$@\" | sed 's/|RUNNING.*//'",
    ],
    ids=["an excuse", "nothing", "cut short", "half lines"],
)
def test_an_answer_that_is_not_squeues_is_no_answer(
    project: Project, tmp_path: Path, script: str
) -> None:
    key = a_running_run(project)
    (mark,) = marks(project, key)
    set_age(mark, 3600)
    garbled = with_squeue(project, tmp_path / "bin", script)
    done = garbled.run("ls", "--json")
    (row,) = map(json.loads, done.stdout.splitlines())
    assert row["status"] == "unknown"
    assert "squeue printed" in row["reason"]
    assert key in garbled.run("rm", "--force", key, code=7).stderr
    assert "skipped" in garbled.run("rm", "--force", "Sleep").stderr
    assert "squeue printed" in garbled.run("cancel", key, code=6).stderr
    states = with_squeue(project, tmp_path / "later", "$squeue \"$@\" | sed 's/RUNNING/WARPING/'")
    row = by_itself(states, tmp_path / "later").ls()[key]
    assert (row["status"], "WARPING" in row["reason"]) == ("unknown", True)


def test_a_job_under_another_name_is_neither_believed_nor_cancelled(project: Project) -> None:
    key = a_running_run(project)
    job_id = project.await_status(key, "running")["job_id"]
    rename = ["scontrol", "update", f"JobId={job_id}", "JobName=mine"]
    subprocess.run(rename, env=project.env, check=True)
    # Its heartbeat alone would tell now that it runs.
    (mark,) = marks(project, key)
    set_age(mark, 3600)
    row = project.await_status(key, "unknown")
    assert f"SLURM has a job {job_id} under the name mine" in row["reason"]
    assert job_id in project.run("cancel", key, code=6).stderr

    # A job of another run has an id that this run's job had before the controller began anew.
    rename[-1] = f"JobName={key}"
    subprocess.run(rename, env=project.env, check=True)
    other = a_run_without_a_job(project, "Sleep", "--seconds", "1")
    started(project, other, key, job_id)
    project.await_status(key, "running")
    row = project.ls()[other]
    assert (row["status"], row["reason"]) == ("lost", "no trace of the job")
    assert "lost already" in project.run("cancel", other).stderr
    assert jobs_named(project, key) == [job_id]


@pytest.mark.parametrize("ahead", [-HOURS, HOURS], ids=["behind", "ahead"])
def test_a_clock_hours_off_where_a_run_was_launched_changes_no_state(
    project: Project, tmp_path: Path, ahead: int
) -> None:
    launcher = with_clock(project, tmp_path / "clock", ahead)
    key = launcher.key("--slurm", "--wait", "Add", "--a", "1")
    row = project.ls()[key]
    assert row["status"] == "completed"
    off_by = time.time() - time.mktime(time.strptime(row["submitted_at"][:19], "%Y-%m-%dT%H:%M:%S"))
    assert abs(off_by + ahead + time.timezone) < 600

    gone = a_run_without_a_job(project, ahead=ahead - 300)
    record = project.data / ".savethat" / "launches" / f"{gone}.json"
    for asked in (project, launcher):
        set_age(record, SUBMIT_GRACE / 2)
        assert asked.ls()[gone]["reason"] == "being submitted"
        set_age(record, SUBMIT_GRACE + 1)
        assert asked.ls()[gone]["reason"] == "never submitted"

    # What the other machine learned from SLURM, or could not learn, does not hold for hours.
    held = project.key("--slurm", "--sbatch", "hold=true", "Add", "--a", "1")
    broken = with_squeue(launcher, tmp_path / "bin", "exit 1")
    assert "could not be asked" in broken.run("ls").stderr
    assert project.ls()[held]["status"] == "queued"
    subprocess.run(["scancel", "--me", "--name", held], env=project.env, check=True)
    await_true(lambda: project.ls()[held]["status"] == "cancelled", lambda: "its end to be seen")
    assert launcher.ls()[held]["status"] == "cancelled"


def with_clock(project: Project, folder: Path, ahead: float) -> Project:
    """The project on a machine whose clock is that far ahead; its storage and jobs have ours."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        f"""
import datetime, sys, time
if sys.orig_argv[1:3] == ["-m", "savethat"]:
    now = time.time
    time.time = lambda: now() + {ahead}

    class datetime_(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) + datetime.timedelta(seconds={ahead})

    datetime.datetime = datetime_
"""
    )
    return dataclasses.replace(project, env={**project.env, "PYTHONPATH": str(folder)})
