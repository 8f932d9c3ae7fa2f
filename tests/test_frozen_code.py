"""What was launched runs the code it was launched with, whatever becomes of the working tree."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.b2_fixtures import b2_settings
from tests.b2server.client import B2Server
from tests.program import Project, await_true
from tests.test_acceptance import Sender, await_attempt, kill_worker
from tests.test_acceptance import sender as sender  # the fixture


def git(folder: Path, *command: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *command], text=True, capture_output=True, check=True
    )
    return done.stdout.strip()


def set_version(project: Project, version: str) -> None:
    """Writes a version into the node's module, and into the one it imports late."""
    package = project.root / "experiments"
    for name in ("nodes.py", "late.py"):
        path = package / name
        lines = path.read_text().splitlines()
        changed = [f'VERSION = "{version}"' if x.startswith("VERSION =") else x for x in lines]
        path.write_text("\n".join(changed) + "\n")


@pytest.fixture
def checkout(sender: Sender, tmp_path: Path) -> Sender:
    """A project in a git checkout, whose runs are kept outside of it."""
    root = sender.project.root
    toml = root / "savethat.toml"
    toml.write_text(f'local_path = "{tmp_path}/runs"\n' + toml.read_text())
    (root / ".gitignore").write_text("*.ignored\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    sender.project.local_path = tmp_path / "runs"
    return sender


def test_a_waiting_run_keeps_its_code_though_the_tree_is_edited_switched_and_moved(
    checkout: Sender, tmp_path: Path
) -> None:
    project, runs = checkout.project, tmp_path / "runs"
    flag = tmp_path / "flag"
    set_version(project, "as launched")
    key = checkout.hold("Versioned", "--until", str(flag))
    set_version(project, "edited")
    git(project.root, "commit", "-qam", "second")
    git(project.root, "switch", "-qc", "other", "HEAD~1")
    moved = project.root.with_name("moved")
    project.root.rename(moved)
    elsewhere = Project(moved, project.env, runs)
    checkout.release(elsewhere, key)
    elsewhere.await_status(key, "running", "failed", "lost")
    if checkout.where == "lab":
        requeue(elsewhere, key)
    else:
        kill_worker(key)
        elsewhere.await_status(key, "lost")
        elsewhere.run("retry", "--same-code", key)
    await_attempt(elsewhere, key, 2)
    flag.touch()
    row = elsewhere.await_status(key, "completed", "failed", "lost", "cancelled")
    assert row["status"] == "completed", row
    assert row["result"]["version"] == row["result"]["late"] == "as launched"
    assert row["result"]["attempt"] == 2
    moved.rename(project.root)
    # What is launched now is of other code, and tells so by a short name.
    now = checkout.send("Versioned", "--until", str(flag))
    done = checkout.finish(now)
    assert done["result"]["version"] == "as committed"
    assert done["result"]["project"] == str(project.root)
    lines = project.run("ls", "--columns", "code", "--node", "Versioned").stdout.splitlines()
    assert {line.split()[-1] for line in lines[1:]} == {done["code"][:8], row["code"][:8]}
    assert project.run("code", key, str(tmp_path / "code")).stdout.strip() == str(tmp_path / "code")
    assert 'VERSION = "as launched"' in (tmp_path / "code" / "experiments" / "late.py").read_text()
    shown = json.loads(project.run("show", "--json", now).stdout)
    assert shown["commit"] == git(project.root, "rev-parse", "HEAD")


def requeue(project: Project, key: str) -> None:
    job = project.ls()[key]["job_id"]
    subprocess.run(["scontrol", "requeue", job], env=project.env, check=True)
    asked = ["squeue", "-h", "-j", job, "-o", "%T"]
    await_true(
        lambda: "PENDING" in subprocess.check_output(asked, env=project.env, text=True),
        lambda: "the job to be requeued",
    )
    # Else SLURM would wait for two minutes. In the second in which it revoked the job's credential
    # it would refuse the new one, too.
    now = ["scontrol", "update", f"JobId={job}", "StartTime=now+3"]
    subprocess.run(now, env=project.env, check=True)


def test_an_array_of_a_hundred_tasks_unpacks_the_capsule_once(
    project: Project, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    grid = ",".join(f"{flag}{'/.' * number}" for number in range(100))
    flag.unlink()
    flag.mkdir()
    done = project.run("sweep", "--slurm", "--wait", "Versioned", "--until", grid)
    rows = project.ls("--sweep", done.stdout.strip()).values()
    assert Counter(row["status"] for row in rows) == {"completed": 100}
    # The nodes of this SLURM share one machine, and so its disk.
    assert len({row["result"]["inode"] for row in rows}) == 1
    assert len({row["host"] for row in rows}) > 1
    assert len({row["code"] for row in rows}) == 1


@pytest.fixture
def project(tmp_path: Path, slurm: Mapping[str, str]) -> Project:
    toml = f"""
sync_every = "60s"
scratch = "{tmp_path}/scratch"
[slurm]
time = "10m"
mem = "10M"
"""
    return Project.make(tmp_path / "experiments", home=tmp_path / "home", toml=toml, env=slurm)


def test_the_same_code_is_stored_once_and_secrets_are_in_no_capsule(
    tmp_path: Path, b2_server: B2Server, b2_prefix: str
) -> None:
    toml = f"""{b2_settings(b2_server, b2_prefix)}b2_key_id = "{b2_server.key_id}"
b2_key = "{b2_server.key}"
"""
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home", toml=toml)
    git(project.root, "init", "-q")
    (project.root / ".gitignore").write_text("*.ignored\n")
    planted = "PLANTED-9f2c"
    (project.root / ".env").write_text(f"TOKEN={planted}\n")
    (project.root / "secret.ignored").write_text(planted)
    git(project.root, "add", "-A")
    git(project.root, "rm", "-q", "--cached", ".env")
    git(project.root, "commit", "-qm", "first")
    first = project.run("run", "--detach", "--wait", "Add", "--a", "1").stdout.strip()
    stored = code_objects(b2_server, b2_prefix)
    assert len(stored) == 1
    b2_server.reset_stats()
    project.run("run", "--detach", "Add", "--a", "2")
    uploaded = b2_server.settled()["calls"]["b2_upload_file"]["count"]
    await_true(lambda: len(project.ls("--completed")) == 2, lambda: f"both: {project.ls()}")
    foreground = project.key("Add", "--a", "3")
    assert code_objects(b2_server, b2_prefix) == stored
    assert uploaded == 1  # the launch record
    rows = project.ls()
    assert {row["code"] for row in rows.values()} == {rows[first]["code"]}
    assert rows[foreground]["code"] == rows[first]["code"]
    (archive,) = (project.data / ".savethat" / "code").glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        files = [tar.extractfile(member) for member in tar.getmembers() if member.isfile()]
        text = b"".join(file.read() for file in files if file is not None)
    for secret in (planted, b2_server.key, b2_server.key_id):
        assert secret.encode() not in text
    assert b"b2_bucket" in text


def code_objects(server: B2Server, prefix: str) -> list[str]:
    names = [file["fileName"] for file in server.files(f"{prefix}/", versions=True)]
    return [name for name in names if "/.savethat/code/" in name]


def test_without_capsules_the_working_tree_is_run(tmp_path: Path) -> None:
    project = Project.make(
        tmp_path / "experiments", home=tmp_path / "home", toml="[code]\ncapsule = false\n"
    )
    key = project.run("run", "--detach", "--wait", "Add", "--a", "1").stdout.strip()
    assert project.ls()[key]["code"] is None
    assert not (project.data / ".savethat" / "code").exists()
    done = project.run("sweep", "--same-code", "Add", "--a", "1", code=2)
    assert "capsule = true" in done.stderr


def test_a_sweep_of_the_same_code_counts_only_runs_of_it(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home")
    command = ("sweep", "--max-parallel", "2", "Double", "--number", "1..2")
    project.run(*command)
    assert "0 launched" in project.run(*command[:1], "--same-code", *command[1:]).stderr
    set_version(project, "another")
    assert "0 launched" in project.run(*command).stderr
    assert "2 launched" in project.run(*command[:1], "--same-code", *command[1:]).stderr
    assert len({row["code"] for row in project.ls().values()}) == 2
