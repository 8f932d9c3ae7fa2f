"""Launches of a project on B2: what they cost, what a retry leaves, and what other machines see."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.b2_fixtures import b2_key, b2_settings
from tests.b2server.client import B2Server
from tests.program import Project, await_true
from tests.test_b2_runs import names, unreachable
from tests.test_main_job import elsewhere

pytestmark = [pytest.mark.slurm, pytest.mark.b2]


@pytest.fixture
def project(
    tmp_path: Path, b2_server: B2Server, b2_prefix: str, slurm: Mapping[str, str]
) -> Iterator[Project]:
    toml = f"""{b2_settings(b2_server, b2_prefix)}sync_every = "1s"
scratch = "{tmp_path}/scratch"
[slurm]
time = "10m"
mem = "100M"
"""
    env = {**slurm, **b2_key(b2_server)}
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home", toml=toml, env=env)
    yield project
    project.run("cancel", "--queued", "--running")


def calls(server: B2Server) -> dict[str, int]:
    return {call: counts["count"] for call, counts in server.settled()["calls"].items()}


def finish(project: Project, key: str) -> dict[str, object]:
    return project.await_status(key, "completed", "failed", "cancelled", "lost")


def test_a_launch_makes_as_many_calls_and_files_for_many_runs_as_for_two(
    project: Project, b2_server: B2Server
) -> None:
    made = []
    # The code is stored by the first launch of it.
    project.run("sweep", "--slurm", "--sbatch", "hold=true", "Double", "--number", "5..6")
    for span in ("0..1", "1000..1999"):
        to = ("--slurm", "--sbatch", "hold=true", "--fresh")
        before = {path for path in project.data.rglob("*") if path.is_file()}
        b2_server.reset_stats()
        project.run("sweep", *to, "Double", "--number", span)
        files = {path for path in project.data.rglob("*") if path.is_file()} - before
        made.append((calls(b2_server), len(files)))
    # A thousand runs are ten arrays here, each with its script.
    (few, few_files), (many, many_files) = made
    assert many == few
    assert few["b2_upload_file"] == 1
    assert many_files - few_files == 9


def test_ls_reads_no_record_of_a_launch_whose_runs_have_all_left_a_mark(
    project: Project, b2_server: B2Server
) -> None:
    sweep = project.run("sweep", "--slurm", "--wait", "Double", "--number", "1..3").stdout.strip()
    b2_server.reset_stats()
    assert len(project.ls("--sweep", sweep, "--completed")) == 3
    made = calls(b2_server)
    assert made["b2_list_file_names"] == 1
    assert not [call for call in made if "download" in call]


@pytest.mark.parametrize(("node", "left"), [("Try", {2}), ("TryOn", {1, 2})])
def test_a_retry_leaves_one_version_of_what_is_the_runs(
    project: Project, b2_server: B2Server, b2_prefix: str, node: str, left: set[int]
) -> None:
    key = project.key("--slurm", node, "--fails", "1")
    assert finish(project, key)["status"] == "failed"
    assert f"{key}/attempt-1.txt" in names(b2_server, b2_prefix)
    project.run("retry", key)
    await_true(lambda: bool(project.ls()[key]["attempt"] == 2), lambda: "the second attempt")
    row = finish(project, key)
    assert (row["status"], row["result"]) == ("completed", {"value": len(left)})
    versions = names(b2_server, b2_prefix, versions=True)
    assert len(versions) == len(set(versions))
    found = {name for name in versions if name.startswith(f"{key}/attempt-")}
    assert found == {f"{key}/attempt-{number}.txt" for number in left}
    assert [name for name in versions if "/index/" in name] == [
        f".savethat/index/{node}/{key}.2.completed"
    ]
    assert row["files"] == len([name for name in versions if name.startswith(f"{key}/")])
    log = project.run("logs", key).stdout
    assert "trying for the 1. time" in log
    assert "trying for the 2. time" in log
    project.run("rm", "--force", key)
    # The code stays for a day: it may be that of a launch under way.
    stay = names(b2_server, b2_prefix, versions=True)
    assert [name for name in stay if "/code/" not in name] == []


def test_another_machine_reads_the_log_and_knows_what_is_done(
    project: Project, tmp_path: Path
) -> None:
    done = project.run("sweep", "--slurm", "--wait", "Add", "--a", "1,2")
    flag = project.root / "flag"
    talking = project.key("--slurm", "Talk", "--until", str(flag))
    project.await_status(talking, "running")
    other = elsewhere(project, tmp_path)

    def heard() -> bool:
        read = other.run("logs", talking, code=None)
        return read.returncode == 0 and "line 3" in read.stdout

    await_true(heard, lambda: "the log to be sent")
    followed = other.start("logs", "-f", talking)
    flag.touch()
    stdout, stderr = followed.communicate(timeout=120)
    assert followed.returncode == 0, stderr
    assert "the last line" in stdout
    # The same points, in that machine's own queue: what is done is done.
    again = other.run("sweep", "Add", "--a", "1..3")
    assert "1 launched; skipped: 2 completed already" in again.stderr
    assert len(other.ls("--node", "Add", "--completed")) == 3
    # Another grid is another sweep, of the one point that was missing.
    assert len(project.ls("--sweep", again.stdout.strip())) == 1
    assert len(project.ls("--sweep", done.stdout.strip())) == 2


def test_a_queued_run_is_kept_here_where_b2_cannot_be_reached(
    project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    cut_off = unreachable(project)
    done = cut_off.run("run", "--detach", "Add", "--a", "1")
    key = done.stdout.strip()
    assert "recorded" in done.stderr

    def rows() -> dict[str, dict[str, object]]:
        lines = cut_off.run("ls", "--json", code=5).stdout.splitlines()
        return {row["key"]: row for row in map(json.loads, lines)}

    await_true(lambda: rows()[key]["status"] == "completed", lambda: f"the end: {rows()}")
    assert rows()[key]["synced"] is False
    assert names(b2_server, b2_prefix) == []
    project.run("sync")
    row = project.ls()[key]
    assert (row["status"], row["synced"]) == ("completed", True)
    there = names(b2_server, b2_prefix)
    assert f"{key}/results.json" in there
    assert f".savethat/code/{row['code']}.tar.gz" in there
