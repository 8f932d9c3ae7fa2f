"""Runs in the foreground that are stored on B2, over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from savethat.remotes.b2 import B2Remote
from tests.b2_fixtures import b2_project
from tests.b2server.client import B2Server
from tests.program import Project, await_true

pytestmark = pytest.mark.b2


@pytest.fixture
def project(tmp_path: Path, b2_server: B2Server, b2_prefix: str) -> Project:
    return b2_project(tmp_path, b2_server, b2_prefix, more='sync_every = "1s"\n')


def unreachable(project: Project) -> Project:
    """The same project, cut off from B2."""
    return Project(project.root, {**project.env, "SAVETHAT_B2_REALM": "http://127.0.0.1:9"})


def names(server: B2Server, prefix: str, *, versions: bool = False) -> list[str]:
    return [
        file["fileName"].removeprefix(f"{prefix}/")
        for file in server.files(f"{prefix}/", versions=versions)
    ]


def test_a_finished_run_costs_one_name_in_the_index_and_one_version_of_each_file(
    project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    key = project.key("Add", "--a", "2")
    versions = names(b2_server, b2_prefix, versions=True)
    assert [name for name in versions if "/index/" in name] == [
        f".savethat/index/Add/{key}.1.completed"
    ]
    assert len(versions) == len(set(versions))
    assert not list((project.data / ".savethat").rglob("*.json"))


def test_ls_is_one_listing(project: Project, b2_server: B2Server) -> None:
    for number in range(3):
        project.key("Add", "--a", str(number))
    b2_server.reset_stats()
    assert len(project.ls()) == 3
    calls = b2_server.settled()["calls"]
    assert calls["b2_list_file_names"]["count"] == 1
    assert not [call for call in calls if call.startswith("b2_download")]


def test_a_worker_lists_nothing_and_sends_what_changed(
    project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    flag = project.root / "flag"
    process = project.start("run", "Sleep", "--seconds", "1000", "--flag", str(flag))
    await_true(lambda: "begun.txt" in " ".join(names(b2_server, b2_prefix)), lambda: "a carry-out")
    b2_server.reset_stats()
    await_true(
        lambda: b2_server.stats()["calls"].get("b2_upload_file", {}).get("count", 0) >= 3,
        lambda: "three heartbeats",
    )
    calls = b2_server.settled()["calls"]
    assert not [call for call in calls if call.startswith(("b2_list", "b2_download"))]
    process.send_signal(signal.SIGINT)
    process.communicate()


def test_a_log_that_is_followed_here_costs_nothing_until_its_run_has_ended(
    project: Project, b2_server: B2Server
) -> None:
    flag = project.root / "flag"
    running = project.start("run", "Talk", "--until", str(flag))
    await_true(lambda: bool(project.ls("--running")), lambda: "the run to be known")
    (key,) = project.ls("--running")
    follower = project.start("logs", "-f", key)
    assert follower.stdout is not None
    while "line 3" not in follower.stdout.readline():
        pass
    b2_server.reset_stats()
    while "line 60" not in follower.stdout.readline():  # six seconds on
        pass
    assert b2_server.stats()["transactions"]["C"] == 0
    flag.touch()
    stdout, stderr = follower.communicate(timeout=120)
    assert (follower.returncode, "the last line" in stdout) == (0, True)
    assert stderr.endswith("completed\n")
    running.communicate(timeout=120)


def test_without_a_way_to_b2_a_run_is_kept_here_and_sent_by_sync(
    project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    cut_off = unreachable(project)
    key = cut_off.key("Add", "--a", "2")
    assert cut_off.ls(code=5)[key]["status"] == "completed"
    assert names(b2_server, b2_prefix) == []
    # A listing would send it on, beside.
    row = json.loads(project.run("show", "--json", key).stdout)
    assert (row["status"], row["synced"], row["result"]) == ("completed", False, {"sum": 3.0})
    project.run("rm", "--local", "--force", key, code=7)
    assert project.run("sync").stdout.split() == [key]
    assert project.ls()[key]["synced"] is True
    assert f"{key}/log.csv" in names(b2_server, b2_prefix)
    assert "Nothing is waiting" in project.run("sync").stderr
    project.run("rm", "--local", "--force", key)
    assert not (project.data / key).exists()
    assert project.ls()[key]["status"] == "completed"


def test_rm_leaves_nothing_and_reports(
    project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    keep = project.key("Add", "--a", "1")
    gone = project.key("Add", "--a", "2")
    done = project.run("rm", gone, "--force")
    assert "Deleted 1 run" in done.stderr
    left = names(b2_server, b2_prefix, versions=True)
    assert not [name for name in left if gone in name]
    assert [name for name in left if keep in name]
    assert not (project.data / gone).exists()
    assert project.ls().keys() == {keep}


def test_a_straggler_does_not_bring_a_removed_run_back(
    project: Project, b2_server: B2Server, b2_prefix: str, b2_remote: B2Remote
) -> None:
    flag = project.root / "flag"
    process = project.start("run", "Sleep", "--seconds", "1000", "--flag", str(flag))
    await_true(lambda: "begun.txt" in " ".join(names(b2_server, b2_prefix)), lambda: "a carry-out")
    (key,) = project.ls()
    os.kill(process.pid, signal.SIGSTOP)
    for prefix in (f"{key}/", f".savethat/index/Sleep/{key}.", ".savethat/launches/"):
        b2_remote.delete_prefix(prefix)
    os.kill(process.pid, signal.SIGCONT)
    _, stderr = process.communicate()
    assert "was removed" in stderr
    assert names(b2_server, b2_prefix, versions=True) == []


def test_another_user_s_run_needs_user(project: Project, b2_remote: B2Remote) -> None:
    key = project.key("Add", "--a", "1")
    name = f".savethat/index/Add/{key}.1.completed"
    mark = json.loads(b2_remote.read(name))
    mark["place"]["user"] = "anna"
    content = json.dumps(mark)
    b2_remote.replace(name, content.encode(), info={"savethat": content})
    assert "anna" in project.run("rm", key, "--force", code=7).stderr
    assert "anna" in project.run("rm", "--completed", "--force").stderr
    assert project.ls("--user", "anna").keys() == {key}
    project.run("rm", "--completed", "--user", "anna", "--force")
    assert project.ls() == {}


def test_a_node_reads_a_data_set_from_storage(project: Project) -> None:
    code = (
        "import savethat; s = savethat.get_storage();"
        "p = s / 'data sets/iris'; p.mkdir(parents=True); (p / 'a.csv').write_text('12345');"
        "s.upload('data sets/iris'); s.remove('data sets/iris')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=project.root, env=project.env, check=True)
    key = project.key("Fetch", "--dataset", "data sets/iris")
    assert project.ls()[key]["result"] == {"value": 5}


def test_the_credentials_are_in_no_file_and_no_child(
    project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    flag = project.root / "flag"
    process = project.start("run", "Sleep", "--seconds", "1000", "--flag", str(flag))
    await_true(flag.exists, lambda: "the node to begin")
    import psutil

    secret = b2_server.key
    supervisor = psutil.Process(process.pid)
    for child in supervisor.children(recursive=True):
        with contextlib.suppress(psutil.ZombieProcess, psutil.NoSuchProcess):
            if child.cmdline() == supervisor.cmdline():
                continue  # a fork of it, which gathers provenance, was given nothing
            assert secret not in " ".join(child.cmdline())
            assert secret not in child.environ().values()
    process.send_signal(signal.SIGTERM)
    process.communicate()
    for path in project.root.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes()


def test_a_notebook_runs_a_node_and_finds_it(project: Project) -> None:
    code = """
import dataclasses
from datetime import datetime, timedelta, timezone
import savethat

@dataclasses.dataclass(frozen=True)
class CellArgs:
    x: int = 1

class Cell(savethat.Node[CellArgs, dict]):
    def _run(self):
        savethat.logger.info("in a cell")
        print("printed")
        (self.output_dir / "own.txt").write_text("own")
        if self.args.x < 0:
            raise ValueError("negative")
        return {"twice": 2 * self.args.x}

assert Cell(CellArgs(2)).run() == {"twice": 4}
try:
    Cell(CellArgs(-1)).run()
except ValueError as error:
    assert str(error) == "negative"
else:
    raise AssertionError
after = datetime.now(timezone.utc) - timedelta(hours=3)
runs = savethat.get_storage().find_runs("Cell", after=after)
assert [run.status for run in runs] == ["completed", "failed"], runs
assert "<table>" in runs._repr_html_()
assert "in a cell" in runs[0].open("output.log").read()
assert "printed" in runs[0].open("output.log").read()
assert runs[0].result(Cell) == {"twice": 4}
frame = savethat.runs_frame(runs)
assert list(frame["args.x"]) == [2, -1] and frame["result.twice"][0] == 4
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env=project.env,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
