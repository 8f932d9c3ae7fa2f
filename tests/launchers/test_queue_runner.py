from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from savethat.launchers.output import queue_output
from savethat.launchers.queue import devices
from savethat.launchers.queue.environment import fingerprint
from savethat.launchers.queue.job import Batch, Job, Needs, RunState
from savethat.launchers.queue.runner import Runner, fits
from savethat.launchers.queue.store import Store
from savethat.worker import queued
from savethat.worker.order import Order
from tests.program import await_true

HERE = "the environment"


@pytest.mark.parametrize(
    ("needs", "of_launch", "in_all", "expected"),
    [
        # What may use the whole machine runs alone.
        (Needs(), 0, 0, True),
        (Needs(), 0, 1, False),
        (Needs(devices=(0, 1)), 0, 1, False),
        # What has devices of its own runs as they allow.
        (Needs(gpus=1, devices=(0, 1)), 5, 9, True),
        (Needs(cpus=1), 5, 9, True),
        # A limit of the launch's own is what counts, however many others run.
        (Needs(max_parallel=2), 1, 9, True),
        (Needs(max_parallel=2), 2, 2, False),
        (Needs(max_parallel=2, gpus=1), 2, 2, False),
        (Needs(max_parallel=2, cpus=1), 1, 9, True),
        # The queue's limit is over all of them.
        (Needs(queue_limit=3), 0, 2, True),
        (Needs(queue_limit=3), 2, 2, True),
        (Needs(queue_limit=3), 0, 3, False),
        (Needs(queue_limit=3, gpus=1), 0, 3, False),
        (Needs(queue_limit=3, max_parallel=9), 0, 3, False),
        (Needs(queue_limit=3, max_parallel=1), 1, 1, False),
    ],
)
def test_what_fits(needs: Needs, of_launch: int, in_all: int, expected: bool) -> None:
    assert fits(needs, of_launch=of_launch, in_all=in_all) is expected


PLAIN = {"PATH": "/bin", "FLAVOUR": "a", "HOME": "/home/anna"}


@pytest.mark.parametrize(
    "name",
    [
        *("_", "SHLVL", "PWD", "OLDPWD", "COLUMNS", "LINES", "WINDOWID", "STY", "GPG_TTY"),
        *("TERM", "TERM_PROGRAM", "TERM_SESSION_ID", "TMUX", "TMUX_PANE", "DISPLAY", "COLORTERM"),
        *("SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "SSH_AUTH_SOCK", "XDG_SESSION_ID"),
        *("VSCODE_IPC_HOOK_CLI", "_SAVETHAT_COMPLETE", "KITTY_WINDOW_ID"),
    ],
)
def test_what_is_a_terminal_s_own_makes_no_difference(name: str) -> None:
    assert fingerprint({**PLAIN, name: "1"}) == fingerprint({**PLAIN, name: "2"})
    assert fingerprint({**PLAIN, name: "1"}) == fingerprint(PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        {**PLAIN, "FLAVOUR": "b"},
        {**PLAIN, "FLAVOUR": ""},
        {**PLAIN, "flavour": "a"},
        {**PLAIN, "CUDA_VISIBLE_DEVICES": "0"},
        {**PLAIN, "VIRTUAL_ENV": "/envs/one"},
        {**PLAIN, "MY_TERM": "x"},
        {"PATH": "/bin", "FLAVOUR": "a"},
        {"PATH": "/binFLAVOUR", "": "a", "HOME": "/home/anna"},
    ],
)
def test_everything_else_does(other: Mapping[str, str]) -> None:
    assert fingerprint(other) != fingerprint(PLAIN)
    assert fingerprint(dict(reversed(list(other.items())))) == fingerprint(other)


def test_a_terminal_that_is_confined_to_cores_has_an_environment_of_its_own() -> None:
    assert fingerprint(PLAIN, [0, 1]) != fingerprint(PLAIN, [0])


def test_no_value_is_recognisable_in_a_fingerprint() -> None:
    for value in ("K005secret", "a", "", "\udcff not UTF-8"):
        found = fingerprint({"B2_APPLICATION_KEY": value})
        assert len(found) == 32
        assert set(found) <= set("0123456789abcdef")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(devices, "_LOCKS", tmp_path / "devices")
    with Store(tmp_path / "queue.sqlite") as store:
        yield store


@pytest.fixture
def python(tmp_path: Path) -> Iterator[Path]:
    """What stands in for the workers' Python: it says what it was called with, and waits."""
    path = tmp_path / "python"
    path.write_text(
        '#!/bin/sh\necho "$CUDA_VISIBLE_DEVICES $*"\n'
        'until test -s "$0.go"; do sleep 0.02; done; exit "$(cat "$0.go")"\n'
    )
    path.chmod(0o755)
    yield path
    Path(f"{path}.go").write_text("0")


def add(store: Store, folder: Path, python: Path, needs: Needs, runs: int = 1) -> None:
    folder.mkdir()
    batch = Batch(folder.name, folder, str(python), needs)
    store.add(batch, [(f"{folder.name}-{n}", 1, n) for n in range(runs)], HERE)


def states(store: Store, launch: str) -> list[RunState]:
    return [job.state for job in store.jobs([launch])]


def turn(runner: Runner) -> None:
    """What a runner does whenever it wakes."""
    runner._start(runner._reap())


def end_workers(runner: Runner, python: Path, code: int) -> None:
    """Lets workers end, those that wait and those that come, and waits for it."""
    Path(f"{python}.go").write_text(str(code))
    await_true(lambda: not runner._reap(), lambda: "workers to end")


def test_workers_get_their_devices_and_who_does_not_fit_is_passed_by(
    store: Store, python: Path, tmp_path: Path
) -> None:
    add(store, tmp_path / "A", python, Needs(gpus=1, devices=(4, 5)), runs=3)
    add(store, tmp_path / "B", python, Needs())
    add(store, tmp_path / "C", python, Needs(max_parallel=1, devices=(4, 5)), runs=2)
    runner = Runner(store, HERE)
    turn(runner)
    waiting, started = RunState.QUEUED, RunState.STARTING
    assert states(store, "A") == [started, started, waiting]
    assert states(store, "B") == [waiting]
    assert states(store, "C") == [started, waiting]
    turn(runner)
    assert len(store.live()) == 3
    logs = [queue_output(tmp_path / "A", n) for n in (0, 1)] + [queue_output(tmp_path / "C", 0)]
    await_true(lambda: all(log.read_text() for log in logs), lambda: "workers to begin")
    said = [log.read_text().split() for log in logs]
    assert [words[0] for words in said[:2]] == ["4", "5"]
    # Position, number in the queue, claim, cores, locks.
    assert said[1][:6] == [
        "5",
        "-u",
        "-m",
        "savethat.worker.queued",
        f"{tmp_path}/A/order.json",
        "1",
    ]
    # What asks for no GPU sees none.
    assert said[2][:2] == ["-u", "-m"]
    end_workers(runner, python, 3)
    turn(runner)
    assert states(store, "A")[2] is started
    assert states(store, "C")[1] is started
    end_workers(runner, python, 3)


def test_a_worker_that_dies_before_it_says_a_word_leaves_its_reason(
    store: Store, python: Path, tmp_path: Path
) -> None:
    add(store, tmp_path / "A", python, Needs(max_parallel=3), runs=2)
    add(store, tmp_path / "B", tmp_path / "gone", Needs(max_parallel=1))
    runner = Runner(store, HERE)
    turn(runner)
    logs = [queue_output(tmp_path / "A", n) for n in (0, 1)]
    await_true(lambda: all(log.read_text() for log in logs), lambda: "workers to begin")
    first = runner._children[1][0]
    assert isinstance(first, subprocess.Popen)
    first.kill()
    first.wait()
    end_workers(runner, python, 3)
    killed, ended = store.jobs(["A"])
    assert killed.reason.startswith("its worker was killed by SIGKILL: -u -m savethat.worker")
    assert ended.reason.startswith("its worker ended with exit code 3: -u -m savethat.worker")
    (unstarted,) = store.jobs(["B"])
    assert unstarted.reason.startswith("its worker cannot start: ")
    assert {job.shown for job in (killed, ended, unstarted)} == {"lost"}


def test_a_full_machine_makes_runs_wait(
    store: Store, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, tmp_path / "A", python, Needs(max_parallel=9), runs=3)
    runner, real = Runner(store, HERE), subprocess.Popen

    def popen(command: list[str], **options: Any) -> Any:
        if len(runner._children) == 1:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return real(command, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    for _ in range(3):
        turn(runner)
        assert states(store, "A") == [RunState.STARTING, RunState.QUEUED, RunState.QUEUED]
    monkeypatch.undo()
    turn(runner)
    assert states(store, "A") == [RunState.STARTING] * 3
    end_workers(runner, python, 0)


def test_a_worker_of_a_runner_that_is_gone_is_reaped(store: Store, tmp_path: Path) -> None:
    add(store, tmp_path / "A", Path("/unused"), Needs(), runs=2)
    (first, _), (second, _) = store.queued(HERE, launches=1, of_each=2)
    for job, pid in ((first, os.getpid()), (second, 0)):
        claim = store.start(job, 9)
        assert claim is not None
        assert store.claim(job.number, claim, pid, 0.0)
    assert Runner(store, HERE)._reap() == []
    assert [(job.shown, job.reason) for job in store.jobs(["A"])] == [
        ("lost", "its worker was killed")
    ] * 2


def test_two_runners_together_start_no_more_than_one_alone(
    store: Store, python: Path, tmp_path: Path
) -> None:
    add(store, tmp_path / "A", python, Needs(), runs=2)
    fast, slow = Runner(store, HERE), Runner(store, HERE)
    seen = slow._reap()
    turn(fast)
    slow._start(seen)
    assert states(store, "A") == [RunState.STARTING, RunState.QUEUED]
    end_workers(fast, python, 0)


def test_a_runner_comes_once_and_leaves_when_all_is_done(tmp_path: Path) -> None:
    """The program itself, with a run whose worker cannot start."""
    code = """
import os, sys
from pathlib import Path
from savethat.launchers.queue import runner
from savethat.launchers.queue.environment import own_fingerprint
from savethat.launchers.queue.store import Batch, Needs, Store
with Store() as store:
    batch = Batch("A", Path(sys.argv[1]), "/nonexistent/python", Needs())
    store.add(batch, [("A-0", 1, 0), ("A-1", 1, 1)], own_fingerprint())
    runner.main()
    print([job.shown for job in store.jobs(["A"])], store.leave(own_fingerprint()))
"""
    env = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=env, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("['lost', 'lost'] True\n", "")


def test_a_runner_is_not_caught_by_children_that_end_at_any_moment() -> None:
    """A handler that took a lock, as an event's does, would stand still for ever in this storm."""
    code = """
import os, signal, time
from savethat.launchers.queue.runner import _Alarm
alarm, pid = _Alarm(), os.getpid()
sender = os.fork()
if not sender:
    for _ in range(4000):
        os.kill(pid, signal.SIGCHLD)
        time.sleep(0.0001)
    os._exit(0)
while os.waitpid(sender, os.WNOHANG) == (0, 0):
    alarm.sleep(0.0002)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_a_child_s_end_ends_a_sleep() -> None:
    code = """
import subprocess
from savethat.launchers.queue.runner import _Alarm
alarm = _Alarm()
child = subprocess.Popen(["true"])
alarm.sleep(1000)
child.wait()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_fault_in_a_worker_is_the_run_s_reason(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, tmp_path / "A", Path("/unused"), Needs())
    ((job, _),) = store.queued(HERE, launches=1, of_each=1)
    claim = store.start(job, 0)
    assert claim is not None

    def fail(_path: Path) -> Order:
        raise ZeroDivisionError("of the worker's own")

    monkeypatch.setattr(queued, "Store", lambda: Store(store.path))
    monkeypatch.setattr(Order, "read", fail)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    words = ["worker", str(tmp_path / "A" / "order.json"), "0", str(job.number), str(claim), "", ""]
    try:
        with pytest.raises(ZeroDivisionError):
            queued.main(words)
        assert ended(store) == ("lost", "ZeroDivisionError: of the worker's own")
        # A second one with the same claim has nothing to do.
        queued.main(words)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def ended(store: Store) -> tuple[str, str]:
    job: Job
    (job,) = store.jobs(["A"])
    return job.shown, job.reason
