"""The main job: the command line, a real SLURM, the worker, B2 over HTTP, and `ls` again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.b2_fixtures import b2_key, b2_settings
from tests.b2server.client import B2Server
from tests.program import Project, await_true

pytestmark = [pytest.mark.slurm, pytest.mark.b2]


@pytest.fixture
def project(
    tmp_path: Path, b2_server: B2Server, b2_prefix: str, slurm: Mapping[str, str]
) -> Project:
    scratch = tmp_path / "scratch"
    toml = f"""{b2_settings(b2_server, b2_prefix)}sync_every = "1s"
scratch = "{scratch}"
[slurm]
partition = "gpu"
time = "10m"
"""
    env = {**slurm, **b2_key(b2_server)}
    return Project.make(tmp_path / "experiments", home=tmp_path / "home", toml=toml, env=env)


def stored(server: B2Server, prefix: str, key: str = "") -> dict[str, str]:
    """What the bucket holds below a run, by name: SHA-1."""
    start = f"{prefix}/{key}"
    return {
        file["fileName"].removeprefix(f"{start}/"): file["contentSha1"]
        for file in server.files(start)
    }


def test_a_job_goes_from_the_command_line_to_another_machine(
    project: Project, b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> None:
    held = project.key("--slurm", "--sbatch", "begin=now+1hour", "Add", "--a", "1")
    assert project.ls()[held]["status"] == "queued"
    running = project.key("--slurm", "Sleep", "--seconds", "300")
    row = project.await_status(running, "running", "failed", "lost")
    assert (row["status"], row["where"]) == ("running", "lab")
    assert row["host"] in ("n1", "n2", "n3")

    key = project.key("--slurm", "--partition", "cpu", "--wait", "Add", "--a", "2")
    row = project.ls()[key]
    assert (row["status"], row["result"], row["synced"]) == ("completed", {"sum": 3.0}, True)
    assert row["job_id"]
    files = stored(b2_server, b2_prefix, key)
    assert {
        "args.json",
        "output.log",
        "output.jsonl",
        "reproducible.json",
        "results.pickle",
        "results.json",
        "log.csv",
        "deep/er/a file #1 100% ünï+code.txt",
    } <= files.keys()
    assert files["log.csv"] == hashlib.sha1(b"step,loss\n1,0.5\n").hexdigest()
    assert row["files"] == len(files)
    scratch = tmp_path / "scratch"
    assert not [path for path in scratch.rglob("*") if key in path.name]
    # Nothing is stored twice: what was rewritten while it ran has one version.
    versions = [file["fileName"] for file in b2_server.files(f"{b2_prefix}/{key}/", versions=True)]
    assert len(versions) == len(set(versions))

    other = elsewhere(project, tmp_path)
    assert other.ls()[key]["status"] == "completed"
    assert other.ls()[running]["status"] == "running"
    folder = Path(other.run("download", key).stdout.strip())
    for name, sha1 in files.items():
        assert hashlib.sha1((folder / name).read_bytes()).hexdigest() == sha1
    code = (
        "import savethat; (run,) = savethat.get_storage().find_runs('Add', only_completed=True);"
        "print(run.result(), run.open('log.csv').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=other.root,
        env=other.env,
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith("{'sum': 3.0} step,loss")
    project.run("rm", "--cancel", "--force", held, running)
    assert project.ls().keys() == {key}


def elsewhere(project: Project, tmp_path: Path) -> Project:
    """The same project on a machine without SLURM, with a home and a local_path of its own."""
    root = tmp_path / "elsewhere" / "experiments"
    shutil.copytree(project.root, root, ignore=shutil.ignore_patterns("data_storage"))
    tools = tmp_path / "elsewhere" / "bin"
    tools.mkdir()
    for name in ("git", "env", "sh"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    home = tmp_path / "elsewhere" / "home"
    home.mkdir()
    env = {name: value for name, value in project.env.items() if not name.startswith("SLURM")}
    return Project(root, {**env, "PATH": str(tools), "HOME": str(home)})


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise", "ValueError: this went wrong"),
        ("exit", "exit code 3"),
        ("segfault", "killed by SIGSEGV"),
        ("kill", "killed by SIGKILL"),
    ],
)
def test_endings_of_jobs_have_their_reason_and_their_files(
    project: Project, b2_server: B2Server, b2_prefix: str, how: str, reason: str
) -> None:
    done = project.run("run", "--slurm", "--wait", "End", "--how", how, code=1)
    key = done.stdout.splitlines()[-1]
    row = project.ls()[key]
    assert (row["status"], row["reason"]) == ("failed", reason)
    assert {"before.txt", "output.log", "args.json"} <= stored(b2_server, b2_prefix, key).keys()


def test_a_job_that_is_scancelled_is_cancelled_and_its_files_are_stored(
    project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    key = project.key("--slurm", "Sleep", "--seconds", "300")
    await_true(
        lambda: "begun.txt" in stored(b2_server, b2_prefix, key), lambda: "the first carry-out"
    )
    job_id = project.ls()[key]["job_id"]
    subprocess.run(["scancel", job_id], env=project.env, check=True)
    row = project.await_status(key, "cancelled", "failed", "lost")
    assert row["status"] == "cancelled"
    assert "cleaned.txt" in stored(b2_server, b2_prefix, key)


def test_rm_failed_removes_the_failed_one_only(
    project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    completed = project.key("--slurm", "--wait", "Add", "--a", "1")
    failed = project.run("run", "--slurm", "--wait", "End", "--how", "raise", code=1)
    failed_key = failed.stdout.splitlines()[-1]
    queued = project.key("--slurm", "--sbatch", "begin=now+1hour", "Add", "--a", "1")
    running = project.key("--slurm", "Sleep", "--seconds", "300")
    project.await_status(running, "running")
    unknown = plant_unknown(project, b2_server, b2_prefix, completed)
    before = {key: row["status"] for key, row in project.ls().items()}
    assert before == {
        completed: "completed",
        failed_key: "failed",
        queued: "queued",
        running: "running",
        unknown: "unknown",
    }
    project.run("rm", "--failed", "--force")
    del before[failed_key]
    assert {key: row["status"] for key, row in project.ls().items()} == before
    for key in (running, queued, unknown):
        assert key in project.run("rm", key, "--force", code=7).stderr
    skipped = project.run("rm", "Sleep", "--force")
    assert running in skipped.stderr
    assert {key: row["status"] for key, row in project.ls().items()} == before

    project.run("download", completed)
    assert (project.data / completed).is_dir()
    project.run("rm", completed, "--force")
    left = [file["fileName"] for file in b2_server.files(f"{b2_prefix}/", versions=True)]
    assert not [name for name in left if completed in name and unknown not in name]
    assert not (project.data / completed).exists()
    project.run("rm", "--cancel", "--force", running, queued)


def plant_unknown(project: Project, server: B2Server, prefix: str, like: str) -> str:
    """A run of another cluster, seen last long ago: its scheduler cannot be asked from here."""
    from tests.b2_fixtures import remote_at

    record = json.loads(remote_at(server, prefix).read(f".savethat/launches/{like}.json"))
    key = "Add_2020-01-01T00-00-00_unknown1"
    record["id"] = key
    record["runs"][0]["key"] = key
    record["place"]["where"] = "mila"
    record["place"]["machine"] = "elsewhere"
    mark: dict[str, Any] = {
        "format": 1,
        "key": key,
        "attempt": 1,
        "mark": "started",
        "node": "experiments.nodes.Add",
        "launch": key,
        "place": record["place"],
        "submitted_at": "2020-01-01T00:00:00.000000Z",
        "started_at": "2020-01-01T00:00:00.000000Z",
    }
    # Kept here, where a file's age can be chosen.
    hidden = project.data / ".savethat"
    for path, content in (
        (hidden / "launches" / f"{key}.json", record),
        (hidden / "index" / "Add" / f"{key}.1.started", mark),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        os.utime(path, (1_577_836_800, 1_577_836_800))
    return key


def test_a_job_that_dies_before_its_first_line_is_lost_with_what_it_printed(
    project: Project,
) -> None:
    toml = project.root / "savethat.toml"
    toml.write_text(toml.read_text() + 'setup = ["echo module cuda/99 is unknown", "exit 1"]\n')
    done = project.run("run", "--slurm", "--wait", "Add", "--a", "1", code=1)
    key = done.stdout.splitlines()[-1]
    row = project.ls()[key]
    assert row["status"] == "lost"
    assert "module cuda/99 is unknown" in row["reason"]


def test_dry_run_shows_the_script_and_leaves_nothing(
    project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    text = project.run(
        "run", "--slurm", "--dry-run", "-t", "90m", "--gpus", "1", "Add", "--a", "1"
    ).stdout
    assert "#SBATCH --partition=gpu" in text
    assert "#SBATCH --gpus=1" in text
    assert "#SBATCH --time=" in text
    assert "-m savethat.worker" in text
    assert project.ls() == {}
    assert not project.data.exists()
    assert stored(b2_server, b2_prefix) == {}


@pytest.mark.parametrize(
    ("args", "env", "code", "words"),
    [
        (["--partition", "nope"], {}, 6, "nope"),
        (["--sbatch", "partitoin=gpu"], {}, 2, "partition"),
        (["--time", "soon"], {}, 2, "soon"),
        (["--preset", "big"], {}, 2, "big"),
        ([], {"B2_APPLICATION_KEY": ""}, 3, "savethat setup"),
        ([], {"PATH": ""}, 6, "sbatch"),
        ([], {"B2_APPLICATION_KEY": "wrong"}, 5, "savethat setup"),
    ],
)
def test_a_launch_that_cannot_be_leaves_no_half_made_run(
    project: Project,
    b2_server: B2Server,
    b2_prefix: str,
    args: list[str],
    env: dict[str, str],
    code: int,
    words: str,
) -> None:
    if not env.get("B2_APPLICATION_KEY", "x"):
        env = {**env, "B2_APPLICATION_KEY_ID": ""}
    refused = Project(project.root, {**project.env, **env})
    done = refused.run("run", "--slurm", *args, "Add", "--a", "1", code=code)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert stored(b2_server, b2_prefix) == {}
    assert not list(project.data.glob(".savethat/slurm/*"))


def test_slurm_that_does_not_answer_is_a_warning_and_no_wrong_state(
    project: Project, tmp_path: Path
) -> None:
    running = project.key("--slurm", "Sleep", "--seconds", "300")
    project.await_status(running, "running")
    queued = project.key("--slurm", "--sbatch", "begin=now+1hour", "Add", "--a", "1")
    conf = Path(project.env["SLURM_CONF"]).read_text().replace("16817", "1")
    dead = tmp_path / "dead.conf"
    dead.write_text(conf)
    cut_off = Project(project.root, {**project.env, "SLURM_CONF": str(dead)})
    done = cut_off.run("ls", "--json")
    rows = {row["key"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert rows[running]["status"] == "running"
    assert rows[queued]["status"] in ("queued", "unknown")
    assert len(done.stderr.strip().splitlines()) == 1
    project.run("rm", "--cancel", "--force", running, queued)


def test_b2_that_does_not_answer_is_a_warning_and_exit_5(project: Project) -> None:
    key = project.key("--slurm", "--wait", "Add", "--a", "1")
    toml = project.root / "savethat.toml"
    toml.write_text(toml.read_text().replace("http://127.0.0.1:", "http://127.0.0.1:1/"))
    done = project.run("ls", "--json", code=5)
    assert key not in done.stdout
    assert "warning" in done.stderr
    assert project.run("ls", "--local").returncode == 0


def test_people_read_the_bucket_with_b2_and_rclone(
    project: Project, b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> None:
    key = project.key("Add", "--a", "2")
    names = sorted(stored(b2_server, b2_prefix, key))
    b2_env = {
        **os.environ,
        "B2_ENVIRONMENT": b2_server.url,
        **b2_key(b2_server),
        "B2_ACCOUNT_INFO": str(tmp_path / "b2-account"),
    }
    url = f"b2://{b2_server.bucket}/{b2_prefix}/{key}/"
    listed = subprocess.run(
        [str(Path(sys.executable).with_name("b2")), "ls", "-r", url],
        env=b2_env,
        text=True,
        capture_output=True,
        check=True,
    ).stdout.splitlines()
    assert sorted(line.removeprefix(f"{b2_prefix}/{key}/") for line in listed) == names
    rclone = {
        **os.environ,
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_B2_ENDPOINT": b2_server.url,
        "RCLONE_B2_ACCOUNT": b2_server.key_id,
        "RCLONE_B2_KEY": b2_server.key,
    }
    where = f":b2:{b2_server.bucket}/{b2_prefix}/{key}"
    listed = subprocess.run(
        ["rclone", "lsf", "-R", "--files-only", where],
        env=rclone,
        text=True,
        capture_output=True,
        check=True,
    ).stdout.splitlines()
    assert sorted(listed) == names
