"""Runs that do not end by themselves, leave things running, have no time left or no way out."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from savethat.logs import now_line
from savethat.worker.journal import Journal
from savethat.worker.memory import KernelKills
from tests.b2_fixtures import b2_settings
from tests.b2server.client import B2Server
from tests.program import Project, await_true


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home")
    yield project
    project.run("cancel", "--running", "--queued", code=None)


def pids_in(file: Path) -> list[int]:
    await_true(file.exists, lambda: "the node to leave its processes")
    return [int(word) for word in file.read_text().split()]


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize("options", [(), ("--detach", "--wait")])
def test_what_a_node_leaves_running_neither_keeps_the_run_open_nor_survives_it(
    project: Project, options: tuple[str, ...]
) -> None:
    file = project.root / "pids"
    key = project.key(*options, "Leave", "--pids", str(file))
    row = project.ls()[key]
    assert row["status"] == "completed"
    assert row["duration_s"] < 60
    assert not any(map(lives, pids_in(file)))
    log = (project.data / key / "output.log").read_text()
    assert "ended 2 processes that the node had left running" in log


def test_nothing_of_a_run_outlives_a_supervisor_that_is_killed(project: Project) -> None:
    file = project.root / "pids"
    process = project.start("run", "Leave", "--pids", str(file), "--seconds", "300")
    pids = pids_in(file)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    await_true(lambda: not any(map(lives, pids)), lambda: f"{pids} to be gone")
    await_true(lambda: not any(lives(child.pid) for child in children), lambda: f"{children}")


def test_a_checkpoint_is_finished_before_the_node_ends(project: Project) -> None:
    flag = project.root / "flag"
    process = project.start("run", "Save", "--flag", str(flag))
    await_true(lambda: any(project.data.glob("Save*/running.txt")), lambda: "the node to begin")
    process.send_signal(signal.SIGUSR1)
    await_true(flag.exists, lambda: "the checkpoint to begin")
    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate()
    key = stdout.splitlines()[-1]
    assert project.ls()[key]["status"] == "cancelled"
    assert (project.data / key / "saved.txt").read_text() == "attempt 1\n"


def test_ctrl_z_pauses_the_node_too(project: Project) -> None:
    flag = project.root / "flag"
    process = project.start("run", "Sleep", "--seconds", "1", "--flag", str(flag))
    await_true(flag.exists, lambda: "the node to begin")
    supervisor = psutil.Process(process.pid)
    (child,) = [each for each in supervisor.children() if "savethat.worker.child" in words_of(each)]

    def paused() -> bool:
        return {child.status(), supervisor.status()} == {psutil.STATUS_STOPPED}

    process.send_signal(signal.SIGTSTP)
    await_true(paused, lambda: "both to pause")
    process.send_signal(signal.SIGCONT)
    stdout, _ = process.communicate()
    assert project.ls()[stdout.splitlines()[-1]]["status"] == "completed"


def test_a_log_on_a_full_disk_ends_no_run_and_says_what_it_lost(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "output.log").symlink_to("/dev/full")
    journal = Journal(folder)
    journal.event("lost")
    journal.event("lost, too")
    (folder / "output.log").unlink()
    journal.line(now_line("logger", "kept", "INFO"))
    journal.close()
    text = (folder / "output.log").read_text()
    assert "2 lines are missing here: No space left on device" in text
    assert "kept" in text
    assert len((folder / "output.jsonl").read_text().splitlines()) == 3


def test_the_kernels_word_on_memory_counts_while_it_is_news(tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("nr_free_pages 10\noom_kill 3\n")
    kills = KernelKills(vmstat)
    kills.look()
    before = kills.lately
    vmstat.write_text("nr_free_pages 10\noom_kill 4\n")
    assert (before, kills.lately) == (False, True)
    assert [KernelKills(tmp_path / name).lately for name in ("vmstat", "not-linux")] == [False] * 2


def toml(server: B2Server, prefix: str, scratch: Path, more: str = "") -> str:
    return f"""{b2_settings(server, prefix)}b2_key_id = "{server.key_id}"
b2_key = "{server.key}"
sync_every = "1s"
scratch = "{scratch}"
{more}
[slurm]
time = "10m"
mem = "200M"
"""


@pytest.fixture
def on_slurm(
    slurm: dict[str, str], b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> Iterator[Project]:
    text = toml(b2_server, b2_prefix, tmp_path / "scratch")
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home", toml=text, env=slurm)
    yield project
    project.run("cancel", "--running", "--queued", code=None)


def all_there(project: Project, server: B2Server, prefix: str, key: str) -> None:
    """Every file of the run is on B2, once, as it is on this machine."""
    versions = server.files(f"{prefix}/{key}/", versions=True)
    there = {
        f["fileName"]: f["fileInfo"].get("large_file_sha1", f["contentSha1"]) for f in versions
    }
    assert len(versions) == len(there)
    for path in filter(Path.is_file, (project.data / key).rglob("*")):
        name = f"{prefix}/{key}/{path.relative_to(project.data / key)}"
        assert there[name] == hashlib.sha1(path.read_bytes()).hexdigest(), name


@pytest.mark.slurm
def test_what_there_is_no_time_for_is_kept_and_sent_later(
    on_slurm: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    flag = on_slurm.root / "flag"
    b2_server.config(bandwidth_mbps=4)  # forty megabytes take eighty seconds, KillWait is five
    key = on_slurm.key("--slurm", "Heavy", "--megabytes", "40", "--flag", str(flag))
    await_true(flag.exists, lambda: "the node to write its files")
    on_slurm.run("cancel", key)
    row = on_slurm.await_status(key, "cancelled", "failed", "lost")
    assert (row["status"], row["reason"], row["synced"]) == ("cancelled", "cancelled", False)
    b2_server.config(bandwidth_mbps=0)
    on_slurm.run("sync", code=None)
    await_true(lambda: on_slurm.ls()[key]["synced"], lambda: "the files to be sent")
    all_there(on_slurm, b2_server, b2_prefix, key)
    assert not list((on_slurm.root.parent / "scratch").rglob("large.bin"))


# The batch script starts itself again in a network namespace, where B2 is out of reach.
NO_WAY_OUT = """
[ -n "$NO_WAY_OUT" ] || NO_WAY_OUT=1 exec unshare --net /bin/bash "$0"
ip link set lo up
"""


@pytest.mark.slurm
@pytest.mark.parametrize("sync", ["auto", "worker"])
def test_a_worker_without_a_way_out_leaves_the_run_to_sync(
    on_slurm: Project, b2_server: B2Server, b2_prefix: str, sync: str, tmp_path: Path
) -> None:
    text = toml(b2_server, b2_prefix, tmp_path / "scratch", f'sync = "{sync}"')
    setup = [line for line in NO_WAY_OUT.splitlines() if line]
    (on_slurm.root / "savethat.toml").write_text(f"{text}setup = {setup!r}\n")
    flag = on_slurm.root / "flag"
    key = on_slurm.key(
        "--slurm", "--wait", "Large", "--megabytes", "1", "--flag", str(flag), code=0
    )
    row = json.loads(on_slurm.run("show", "--json", key).stdout)
    assert (row["status"], row["synced"]) == ("completed", False)
    on_slurm.run("sync")
    row = on_slurm.ls()[key]
    assert (row["status"], row["synced"]) == ("completed", True)
    all_there(on_slurm, b2_server, b2_prefix, key)


@pytest.mark.slurm
def test_the_login_node_sends_where_it_is_told_to(
    on_slurm: Project, b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> None:
    text = toml(b2_server, b2_prefix, tmp_path / "scratch", 'sync = "login"')
    (on_slurm.root / "savethat.toml").write_text(text)
    key = on_slurm.key("--slurm", "--wait", "Add", "--a", "1")
    # Any listing where storage answers sends what waits, in the background.
    await_true(lambda: on_slurm.ls()[key]["synced"], lambda: "a listing to send the run")
    assert on_slurm.ls()[key]["status"] == "completed"
    all_there(on_slurm, b2_server, b2_prefix, key)


@pytest.mark.parametrize("trouble", ["cap", "401bad"])  # exceeded; the key revoked
def test_what_b2_refuses_while_a_run_goes_on_is_sent_when_it_is_well_again(
    b2_server: B2Server, b2_prefix: str, tmp_path: Path, trouble: str
) -> None:
    text = toml(b2_server, b2_prefix, tmp_path / "scratch")
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home", toml=text)
    flag = project.root / "flag"
    process = project.start("run", "Sleep", "--seconds", "2", "--flag", str(flag))
    await_true(flag.exists, lambda: "the node to begin")
    b2_server.faults(rate=1.0, kinds=[trouble])
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert "the run is kept here" in stderr
    key = stdout.splitlines()[-1]
    row = project.ls(code=5)[key]
    assert (row["status"], row["synced"]) == ("completed", False)
    b2_server.faults()
    assert project.run("sync").stdout.split() == [key]
    row = project.ls()[key]
    assert (row["status"], row["synced"]) == ("completed", True)
    all_there(project, b2_server, b2_prefix, key)


@pytest.mark.slurm
def test_a_run_is_cancelled_though_b2_is_away(slurm: dict[str, str], tmp_path: Path) -> None:
    server = B2Server.start(tmp_path / "b2")
    text = toml(server, "prefix", tmp_path / "scratch")
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home", toml=text, env=slurm)
    flag = project.root / "flag"
    key = project.key("--slurm", "Sleep", "--seconds", "300", "--flag", str(flag))
    await_true(flag.exists, lambda: "the node to begin")
    server.stop()
    project.run("cancel", key)
    row = {}

    def is_over() -> bool:
        row.update(project.ls(code=5).get(key, {}))
        return row.get("status") == "cancelled"

    await_true(is_over, lambda: f"the run to end: {row}")
    assert row["synced"] is False
