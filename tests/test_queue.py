"""This machine's queue, from the command line to what its runs leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

from savethat.launchers.foreground import this_process
from tests.b2_fixtures import b2_key, b2_settings
from tests.b2server.client import B2Server
from tests.program import Project, await_true
from tests.test_acceptance import cmdline, most_at_once


class Server(Project):
    """A project on a machine without SLURM, and what its user's queue is up to."""

    def queue(self, *command: str) -> subprocess.Popen[str]:
        """Starts queueing runs, in a process that may be waited for."""
        return self.start(command[0], "--detach", *command[1:])

    def sweep(self, *command: str) -> str:
        """Queues a sweep; its id."""
        return self.run("sweep", "--detach", *command).stdout.strip()

    def select(self, sql: str) -> list[tuple[Any, ...]]:
        """Asks the queue's own file."""
        files = list(Path(self.env["HOME"]).rglob("queue/*.sqlite"))
        if not files:
            return []
        with contextlib.closing(sqlite3.connect(files[0], timeout=30)) as file:
            return file.execute(sql).fetchall()

    def runners(self) -> list[int]:
        """The process ids of its runners, alive or not."""
        return [pid for (pid,) in self.select("SELECT pid FROM runners WHERE pid != 0")]

    def states(self) -> dict[str, int]:
        """How many of the queue's runs are in which state."""
        return dict(self.select("SELECT state, COUNT(*) FROM runs GROUP BY state"))

    def await_states(self, **wanted: int) -> None:
        await_true(lambda: self.states() == wanted, lambda: f"{wanted}: {self.states()}")

    def end(self) -> dict[str, dict[str, Any]]:
        """Looks, as a user does, until nothing is to come any more; the rows."""
        await_true(lambda: not self.ls("--queued", "--running"), lambda: f"the end of {self.ls()}")
        return self.ls()

    def processes(self) -> list[psutil.Process]:
        """All that the user has started and that still lives."""
        return [process for process in psutil.process_iter() if self._is_mine(process)]

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            mine = process.environ().get("HOME") == self.env["HOME"]
            return mine and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def kill_all(self) -> None:
        """What a reboot does: none sees another's end."""
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in self.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        await_true(lambda: not self.processes(), lambda: f"the end of {self.processes()}")


def make(tmp_path: Path, queue: str = "", toml: str = "") -> Server:
    project = Server.make(
        tmp_path / "experiments",
        home=tmp_path / "home",
        toml=f'sync_every = "1s"\n{toml}\n[queue]\n{queue or "gpus = []"}\n',
    )
    assert isinstance(project, Server)
    return project


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A project, with what the test says of its queue; nothing it started outlives the test."""
    server = make(tmp_path, getattr(request, "param", ""))
    yield server
    leave_nothing(server)


def leave_nothing(server: Server) -> None:
    try:
        if server.states().keys() - {"over"}:
            server.run("cancel", "--queued", "--running")
        await_true(lambda: not server.processes(), lambda: f"the end of {server.processes()}")
    finally:
        server.kill_all()
    assert server.runners() == []


# Made-up ones, and not those of tests that run beside these: all users of a machine share them.
GPUS = [2 * (os.getpid() % 50), 2 * (os.getpid() % 50) + 1]
two_gpus = pytest.mark.parametrize("server", [pytest.param(f"gpus = {GPUS}", id="")], indirect=True)


def log(server: Server, key: str) -> str:
    return (server.data / key / "output.log").read_text()


def assert_once_each(server: Server, rows: Mapping[str, Mapping[str, Any]]) -> None:
    assert {row["status"] for row in rows.values()} == {"completed"}
    assert {row["attempt"] for row in rows.values()} == {1}
    assert [log(server, key).count("attempt 1 of") for key in rows] == [1] * len(rows)
    marks = [path.name for path in (server.data / ".savethat" / "index").rglob("*.1.*")]
    assert sorted(marks) == sorted(f"{key}.1.completed" for key in rows)


@two_gpus
def test_twenty_runs_from_two_terminals_share_two_gpus_and_survive_their_runner(
    server: Server, tmp_path: Path
) -> None:
    command = ("sweep", "--gpus", "1", "OnGpu", "--places", str(tmp_path), "--number")
    terminals = [server.queue(*command, span) for span in ("0..9", "10..19")]
    sweeps = [terminal.communicate()[0].strip() for terminal in terminals]
    await_true(lambda: server.states().get("over", 0) >= 3, lambda: f"three: {server.states()}")
    (runner,) = server.runners()
    os.kill(runner, signal.SIGKILL)
    # Those that run go on; the others wait for the next who looks.
    await_true(lambda: server.states().keys() == {"over", "queued"}, lambda: f"{server.states()}")
    assert server.states()["queued"] >= 5
    rows = server.end()
    assert Counter(row["sweep"] for row in rows.values()) == dict.fromkeys(sweeps, 10)
    # The node fails where its GPU is another run's, too.
    assert_once_each(server, rows)
    assert most_at_once(rows.values()) == 2
    assert {row["result"]["value"] for row in rows.values()} == set(map(str, GPUS))


@two_gpus
def test_runs_get_the_environment_of_their_terminal(server: Server) -> None:
    terminals = {}
    for flavour, span in (("a", "0..4"), ("b", "5..9")):
        terminal = Server(server.root, {**server.env, "FLAVOUR": flavour})
        terminals[flavour] = terminal.queue("sweep", "Tell", "--number", span)
    flavours = {
        terminal.communicate()[0].strip(): flavour for flavour, terminal in terminals.items()
    }
    rows = server.end()
    assert_once_each(server, rows)
    assert [row["result"]["flavour"] for row in rows.values()] == [
        flavours[row["sweep"]] for row in rows.values()
    ]
    assert Counter(flavours[row["sweep"]] for row in rows.values()) == {"a": 5, "b": 5}
    # One each, where a machine has any; it is the run's own for as long as the run is there.
    for gpu in GPUS:
        own = [row for row in rows.values() if row["result"]["gpus"] == str(gpu)]
        assert own
        assert most_at_once(own) == 1


def test_runs_from_equal_terminals_share_a_runner(server: Server) -> None:
    """One that leaves while it is asked for more leaves none behind, too."""
    for number in range(5):
        terminal = Server(server.root, {**server.env, "SSH_TTY": f"/dev/pts/{number}"})
        terminal.run("run", "--detach", "Double", "--number", str(number))
        assert len(server.select("SELECT DISTINCT environment FROM launches")) == 1
    rows = server.end()
    assert_once_each(server, rows)
    assert most_at_once(rows.values()) == 1


@pytest.fixture
def two_cores() -> Iterator[int]:
    """This process, and all it starts, may run on two cores at most; how many these are."""
    if not hasattr(os, "sched_setaffinity"):
        yield os.cpu_count() or 1
        return
    before = os.sched_getaffinity(0)
    few = sorted(before)[:2]
    os.sched_setaffinity(0, few)
    yield len(few)
    os.sched_setaffinity(0, before)


def test_a_run_with_a_core_of_its_own_is_confined_to_it(server: Server, two_cores: int) -> None:
    flags = [server.root / f"flag-{number}" for number in range(two_cores + 1)]
    options = ("--cpus", "1")
    server.sweep(*options, "Talk", "--until", ",".join(map(str, flags)))
    server.await_states(running=two_cores, queued=1)
    for flag in flags:
        flag.touch()
    server.sweep(*options, "Tell", "--number", "1,2")
    rows = server.end()
    assert most_at_once(rows.values()) == two_cores
    if hasattr(os, "sched_setaffinity"):
        told = [row["result"].get("cores") for row in rows.values()]
        assert Counter(told) == {None: two_cores + 1, 1: 2}
    assert {row["status"] for row in rows.values()} == {"completed"}


@pytest.mark.parametrize(
    ("server", "options", "most"),
    [
        pytest.param("", (), 1, id="nothing"),
        pytest.param("max_parallel = 2", (), 2, id="the queue's limit"),
        pytest.param("", ("--max-parallel", "2"), 2, id="the launch's limit"),
        pytest.param(f"gpus = {GPUS}\nmax_parallel = 1", ("--gpus", "1"), 1, id="limit and GPUs"),
    ],
    indirect=["server"],
)
def test_as_many_run_at_a_time_as_may(server: Server, options: Sequence[str], most: int) -> None:
    flags = [server.root / f"flag-{number}" for number in range(3)]
    server.sweep(*options, "Talk", "--until", ",".join(map(str, flags)))
    server.await_states(running=most, queued=3 - most)
    for flag in flags:
        flag.touch()
    rows = server.end()
    assert_once_each(server, rows)
    assert most_at_once(rows.values()) == most


@two_gpus
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--gpus", "3"), "this machine's queue has 2"),
        (("--gpus", "a100:1"), "--gpus a100:1: in this machine's queue it is a number"),
        (("--gpus", "-1"), "--gpus -1"),
        (("--cpus", "4096"), "this machine has"),
        (("--partition", "x"), "--partition is for SLURM jobs"),
        (("--time", "4h"), "--time is for SLURM jobs"),
        (("--sbatch", "hold=true"), "--sbatch is for SLURM jobs"),
        (("--preset", "big"), "--preset is for SLURM jobs"),
    ],
)
def test_what_the_queue_has_not_is_refused(
    server: Server, options: Sequence[str], words: str
) -> None:
    command = "run" if "--gpus" in options else "sweep"
    done = server.run(command, "--detach", *options, "Add", "--a", "1", code=2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not server.data.exists()
    assert server.select("SELECT * FROM runs") == []


@pytest.mark.parametrize("how", ["no database", "no folder"])
def test_a_queue_that_cannot_be_used_is_named(server: Server, how: str) -> None:
    key = server.key("--detach", "Add", "--a", "1")
    server.await_states(over=1)
    await_true(lambda: not server.processes(), lambda: f"the end of {server.processes()}")
    (file,) = Path(server.env["HOME"]).rglob("queue/*.sqlite")
    if how == "no database":
        file.write_bytes(b"no database" * 1000)
    else:
        shutil.rmtree(file.parent)
        file.parent.touch()
    command = "run" if how == "no folder" else "sweep"
    done = server.run(command, "--detach", "Add", "--a", "2", code=6)
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    # All else goes on, and nothing is left of what could not be queued.
    assert [row["status"] for row in server.ls().values()] == ["completed"]
    assert server.ls().keys() == {key}
    shutil.rmtree(file.parent) if file.is_file() else file.parent.unlink()


def test_runs_survive_the_logout(server: Server) -> None:
    flag = server.root / "flag"
    code = f'"{sys.executable}" -m savethat run --detach Talk --until "{flag}"; exec sleep 1000'
    shell = subprocess.Popen(
        ["/bin/sh", "-c", code],
        cwd=server.root,
        env=server.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with shell, _pipe(shell.stdout) as stdout:
        key = stdout.readline().strip()
        session = [process for process in server.processes() if _session(process) == shell.pid]
        assert session
        for number in (signal.SIGHUP, signal.SIGKILL):
            for process in session:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
    # Nobody looks at it, meanwhile: so nobody but its runner can carry it out.
    server.await_states(running=1)
    flag.touch()
    server.await_states(over=1)
    assert_once_each(server, server.ls())
    assert server.ls().keys() == {key}


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return -1


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def test_an_interrupted_sweep_goes_on(server: Server) -> None:
    flags = [server.root / f"flag-{number}" for number in range(2)]
    command = ["sweep", "--max-parallel", "1", "Talk", "--until", ",".join(map(str, flags))]
    # As on a terminal, where Ctrl-C reaches the whole group.
    terminal = subprocess.Popen(
        [sys.executable, "-m", "savethat", *command],
        cwd=server.root,
        env=server.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with terminal:
        sweep = _pipe(terminal.stdout).readline().strip()
        server.await_states(running=1, queued=1)
        os.killpg(terminal.pid, signal.SIGINT)
        _, stderr = terminal.communicate()
    assert terminal.returncode == 130
    assert f"savethat cancel --sweep {sweep}" in stderr
    assert "Traceback" not in stderr
    for flag in flags:
        flag.touch()
    rows = server.end()
    assert_once_each(server, rows)
    assert {row["sweep"] for row in rows.values()} == {sweep}


def test_after_a_reboot_what_waited_runs_and_what_ran_is_lost(server: Server) -> None:
    flags = [server.root / f"flag-{number}" for number in range(5)]
    server.sweep("--max-parallel", "2", "Talk", "--until", ",".join(map(str, flags)))
    server.await_states(running=2, queued=3)
    server.kill_all()
    for flag in flags:
        flag.touch()
    rows = server.end()
    lost = [row for row in rows.values() if row["status"] == "lost"]
    assert Counter(row["status"] for row in rows.values()) == {"lost": 2, "completed": 3}
    assert {row["reason"] for row in lost} == {"its worker was killed"}
    retried = server.run("retry", "--failed").stdout.split()
    assert sorted(retried) == sorted(row["key"] for row in lost)
    await_true(
        lambda: len(server.ls("--completed")) == 5, lambda: f"the second attempts: {server.ls()}"
    )
    attempts = {key: row["attempt"] for key, row in server.ls().items()}
    assert Counter(attempts.values()) == {1: 3, 2: 2}
    for key, attempt in attempts.items():
        assert log(server, key).count(f"attempt {attempt} of") == 1


def test_a_runner_killed_before_its_worker_had_begun_is_made_good(
    server: Server, tmp_path: Path
) -> None:
    """Also where all that is left to look after the run is another environment's runner."""
    flag, go = server.root / "flag", tmp_path / "go"
    server.run("run", "--detach", "Talk", "--until", str(flag))
    server.await_states(running=1)
    (living,) = server.runners()
    # In this terminal workers start so slowly that none has said a word yet.
    (tmp_path / "sitecustomize.py").write_text(f"""
import os, pathlib, sys, time

def hold():
    while not pathlib.Path({str(go)!r}).exists():
        time.sleep(0.02)

if "savethat.launchers.queue.runner" in sys.orig_argv:
    os.register_at_fork(after_in_child=hold)
""")
    slow = Server(server.root, {**server.env, "PYTHONPATH": str(tmp_path)})
    slow.run("run", "--detach", "--max-parallel", "1", "Double", "--number", "1")
    slow.await_states(running=1, starting=1)
    (dying,) = set(slow.runners()) - {living}
    os.kill(dying, signal.SIGKILL)
    server.run("ls")
    server.await_states(running=1, over=1)
    go.touch()
    flag.touch()
    assert_once_each(server, server.end())


def test_removing_with_cancel_ends_what_waits_and_what_runs(server: Server) -> None:
    flags = [server.root / f"flag-{number}" for number in range(2)]
    server.sweep("Talk", "--until", ",".join(map(str, flags)))
    server.await_states(running=1, queued=1)
    keys = list(server.ls())
    server.run("rm", "--force", *keys, code=7)
    assert "Deleted 2 runs" in server.run("rm", "--cancel", "--force", *keys).stderr
    assert server.ls() == {}
    assert server.states() == {"over": 2}
    assert not [path for path in server.data.rglob("*") if keys[0][:-6] in path.name]


@pytest.fixture
def b2_server_project(tmp_path: Path, b2_server: B2Server, b2_prefix: str) -> Iterator[Server]:
    server = make(tmp_path, toml=b2_settings(b2_server, b2_prefix))
    server.env |= b2_key(b2_server)
    yield server
    leave_nothing(server)


def ls_elsewhere(server: Server) -> dict[str, dict[str, Any]]:
    """`ls --json` of a copy of the project on another machine."""
    code = (
        "import socket; socket.gethostname = lambda: 'elsewhere';"
        "from savethat.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "ls", "--json"],
        cwd=server.root,
        env=server.env,
        text=True,
        capture_output=True,
        check=True,
    )
    return {row["key"]: row for row in map(json.loads, done.stdout.splitlines())}


def test_a_queued_run_is_on_b2_at_once_and_its_credentials_nowhere(
    b2_server_project: Server, b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> None:
    server, flag = b2_server_project, tmp_path / "flag"
    running = server.key("--detach", "Talk", "--until", str(flag))
    waiting = server.key("--detach", "Tell")
    server.await_states(running=1, queued=1)
    await_true(
        lambda: any(running in name for name in names(b2_server, b2_prefix)), lambda: "a mark"
    )
    shutil.copytree(server.root, tmp_path / "copy", ignore=lambda *_: {server.data.name})
    copy = Server(tmp_path / "copy", {**server.env, "HOME": str(tmp_path / "other home")})
    for rows in (copy.ls(), ls_elsewhere(copy)):
        assert rows[waiting]["status"] == "queued"
        assert rows[running]["status"] == "running"
        assert {row["host"] for row in rows.values()} == {this_process().host}
    secrets = (b2_server.key, b2_server.key_id)
    processes = [process for process in server.processes() if cmdline(process)]
    words = " ".join(word for process in processes for word in cmdline(process))
    assert "savethat.launchers.queue.runner" in words
    assert not [secret for secret in secrets if secret in words]
    flag.touch()
    rows = server.end()
    assert {row["status"] for row in rows.values()} == {"completed"}
    assert {row["synced"] for row in rows.values()} == {True}
    assert rows[waiting]["result"]["key"] is False
    assert copy.ls().keys() == rows.keys()
    for key in rows:
        assert f"{b2_prefix}/{key}/output.log" in names(b2_server, b2_prefix)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if path.suffix == ".sqlite"]
    assert [path for path in written if path.name == "order.json"]
    for path in written:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path


def names(server: B2Server, prefix: str) -> list[str]:
    return [file["fileName"] for file in server.files(f"{prefix}/")]
