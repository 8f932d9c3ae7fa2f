from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from savethat.errors import SchedulerError
from savethat.launchers.foreground import this_process
from savethat.launchers.queue import store as store_module
from savethat.launchers.queue.job import Batch, Job, Needs, RunState
from savethat.launchers.queue.store import Store

HERE, THERE = "one environment", "another environment"
_ME = this_process()
MYSELF = (_ME.pid, _ME.pid_started)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "new" / "queue.sqlite") as store:
        yield store


@pytest.fixture
def gone() -> tuple[int, float]:
    """The id of a process that has ended, and when it started."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid, time.time()


def batch(name: str, needs: Needs | None = None, requeue: int = 0) -> Batch:
    return Batch(name, Path("/jobs") / name, sys.executable, needs or Needs(), requeue)


def add(store: Store, name: str, runs: int = 1, *, to: str = HERE, attempt: int = 1) -> list[int]:
    return store.add(batch(name), [(f"{name}-{n}", attempt, n) for n in range(runs)], to)


def waiting(store: Store, environment: str = HERE) -> list[Job]:
    return [job for job, _ in store.queued(environment, launches=9, of_each=9)]


def keys(jobs: list[Job]) -> list[str]:
    return [job.key for job in jobs]


def state(store: Store, key: str) -> Job:
    (job,) = [job for job in store.jobs([key.rpartition("-")[0]]) if job.key == key]
    return job


def start(store: Store, job: Job) -> int:
    claim = store.start(job, 99)
    assert claim is not None
    return claim


def test_a_run_is_queued_once_however_often_it_is_added(store: Store) -> None:
    assert add(store, "A", 2) == [0, 1]
    assert add(store, "A", 3) == [2]
    assert add(store, "A", 3) == []
    assert keys(waiting(store)) == ["A-0", "A-1", "A-2"]
    first = waiting(store)[0]
    store.end(first.number, start(store, first), ending="failed")
    assert add(store, "A", 3) == []
    assert add(store, "A", 1, attempt=2) == [0]
    assert [(job.key, job.attempt) for job in waiting(store)] == [
        ("A-1", 1),
        ("A-2", 1),
        ("A-0", 2),
    ]


def test_who_comes_first_is_first_and_a_long_launch_hides_none_behind_it(store: Store) -> None:
    add(store, "A", 5)
    add(store, "B", 2)
    add(store, "Elsewhere", to=THERE)
    store.add(batch("A"), [("A-9", 1, 9)], HERE)
    assert keys(waiting(store)) == ["A-0", "A-1", "A-2", "A-3", "A-4", "B-0", "B-1", "A-9"]
    few = store.queued(HERE, launches=9, of_each=2)
    assert [job.key for job, _ in few] == ["A-0", "A-1", "B-0", "B-1"]
    assert [job.key for job, _ in store.queued(HERE, launches=1, of_each=2)] == ["A-0", "A-1"]


def test_a_launch_comes_back_as_it_was_added(store: Store) -> None:
    needs = Needs(cpus=2, gpus=1, devices=(0, 3), max_parallel=4, queue_limit=5)
    store.add(batch("A", needs), [("A", 1, 7)], HERE)
    ((job, found),) = store.queued(HERE, launches=9, of_each=9)
    assert found == batch("A", needs)
    assert (job.key, job.attempt, job.launch, job.position) == ("A", 1, "A", 7)
    assert (job.state, job.shown) == (RunState.QUEUED, "queued")


def test_a_run_goes_from_the_queue_through_a_worker_to_its_end(store: Store) -> None:
    add(store, "A")
    (job,) = waiting(store)
    claim = start(store, job)
    assert waiting(store) == []
    assert store.start(job, 99) is None
    assert [each.state for each in store.live()] == [RunState.STARTING]
    assert store.claim(job.number, claim, *MYSELF)
    assert not store.claim(job.number, claim, *MYSELF)
    assert [(each.state, each.alive) for each in store.live()] == [(RunState.RUNNING, True)]
    store.end(job.number, claim + 1, ending="failed")
    assert state(store, "A-0").state is RunState.RUNNING
    store.end(job.number, claim, ending="completed")
    store.end(job.number, claim, ending="failed", reason="too late")
    ended = state(store, "A-0")
    assert (ended.state, ended.ending, ended.reason) == (RunState.OVER, "completed", "")
    assert (store.live(), store.unfinished()) == ([], [])


def test_no_more_start_than_there_was_room_for_when_their_runner_looked(store: Store) -> None:
    add(store, "A", 3)
    first, second, third = waiting(store)
    assert store.start(first, 0)
    # Another runner that saw nothing live, too.
    assert store.start(second, 0) is None
    assert store.start(second, 1)
    assert store.start(third, 1) is None
    store.end(first.number, first.claim + 1)
    assert store.start(third, 1)


def test_a_worker_that_comes_late_gets_nothing(store: Store, gone: tuple[int, float]) -> None:
    add(store, "A", 2)
    taken, left = waiting(store)
    claims = [start(store, taken), start(store, left)]
    assert store.claim(taken.number, claims[0], *MYSELF)
    assert store.enlist(HERE, *gone)
    # What a worker has taken stays its own; what none has taken waits again.
    assert keys(waiting(store)) == ["A-1"]
    assert not store.claim(left.number, claims[1], *MYSELF)
    (again,) = waiting(store)
    claim = start(store, again)
    assert not store.claim(left.number, claims[1], *MYSELF)
    store.end(left.number, claims[1], reason="of the first worker")
    assert store.claim(again.number, claim, *MYSELF)


def test_cancelling_takes_what_no_worker_has(store: Store) -> None:
    add(store, "A", 4)
    _, starting, running, over = waiting(store)
    claims = {job.key: start(store, job) for job in (starting, running, over)}
    assert store.claim(running.number, claims["A-2"], *MYSELF)
    store.end(over.number, claims["A-3"], ending="completed")
    tasks = [("A", f"A-{n}") for n in range(4)] + [("A", "B"), ("B", "A-0")]
    assert store.cancel(tasks) == {("A", "A-0"), ("A", "A-1")}
    assert not store.claim(starting.number, claims["A-1"], *MYSELF)
    store.end(starting.number, claims["A-1"], reason="exit code 0")
    assert waiting(store) == []
    shown = {job.key: (job.shown, job.reason) for job in store.jobs(["A"])}
    assert shown == {
        "A-0": ("cancelled", ""),
        "A-1": ("cancelled", ""),
        "A-2": ("running", ""),
        "A-3": ("completed", ""),
    }


def test_a_run_whose_worker_is_gone_is_shown_lost(store: Store, gone: tuple[int, float]) -> None:
    add(store, "A")
    (job,) = waiting(store)
    assert store.claim(job.number, start(store, job), *gone)
    assert (state(store, "A-0").alive, state(store, "A-0").shown) == (False, "lost")


def killed(store: Store, job: Job, gone: tuple[int, float]) -> None:
    """A worker takes a run, is killed, and that is noted."""
    claim = start(store, job)
    assert store.claim(job.number, claim, *gone)
    store.end_killed(job.number, claim, "killed")


def test_a_run_whose_worker_is_killed_waits_again_as_often_as_it_may(
    store: Store, gone: tuple[int, float]
) -> None:
    store.add(batch("A", requeue=2), [("A-0", 4, 0)], HERE)
    add(store, "A-behind")
    for restarts in range(3):
        job = waiting(store)[0]
        assert (job.key, job.attempt, job.restarts) == ("A-0", 4, restarts)
        assert store.restarts(job.number) == restarts
        killed(store, job, gone)
    ended = state(store, "A-0")
    assert (ended.state, ended.reason, ended.restarts) == (RunState.OVER, "killed", 2)
    # The next one, by `retry`, is another run of the queue.
    assert store.add(batch("A"), [("A-0", 7, 0)], HERE) == [0]


def test_what_was_killed_is_noted_once(store: Store, gone: tuple[int, float]) -> None:
    store.add(batch("A", requeue=9), [("A-0", 1, 0)], HERE)
    (job,) = waiting(store)
    claim = start(store, job)
    assert store.claim(job.number, claim, *gone)
    assert state(store, "A-0").shown == "queued"
    for _ in range(2):
        # By its runner, and by a command that looked at the same moment.
        store.end_killed(job.number, claim, "killed")
        store.recover()
    assert (state(store, "A-0").state, state(store, "A-0").restarts) == (RunState.QUEUED, 1)
    store.end(job.number, claim, ending="completed")
    assert state(store, "A-0").state is RunState.QUEUED


def test_a_worker_that_cannot_start_is_not_started_again(store: Store) -> None:
    store.add(batch("A", requeue=9), [("A-0", 1, 0)], HERE)
    (job,) = waiting(store)
    store.end_killed(job.number, start(store, job), "no memory for Python")
    assert (state(store, "A-0").shown, state(store, "A-0").restarts) == ("lost", 0)


def test_who_looks_brings_back_what_a_reboot_has_ended(
    store: Store, gone: tuple[int, float]
) -> None:
    for name, requeue, worker in (("A", 1, gone), ("B", 0, gone), ("C", 1, MYSELF)):
        store.add(batch(name, requeue=requeue), [(f"{name}-0", 1, 0)], HERE)
        (job,) = waiting(store)[-1:]
        assert store.claim(job.number, start(store, job), *worker)
    store.recover()
    assert {key: state(store, key).shown for key in ("A-0", "B-0", "C-0")} == {
        "A-0": "queued",
        "B-0": "lost",
        "C-0": "running",
    }


def test_what_is_cancelled_while_it_runs_is_not_started_again(
    store: Store, gone: tuple[int, float]
) -> None:
    store.add(batch("A", requeue=9), [("A-0", 1, 0)], HERE)
    (job,) = waiting(store)
    claim = start(store, job)
    assert store.claim(job.number, claim, *gone)
    assert store.cancel([("A", "A-0")]) == set()
    store.end_killed(job.number, claim, "killed")
    assert state(store, "A-0").shown == "lost"


# The tables as savethat made them before runs were started again.
_FORMER = """
CREATE TABLE launches (
  id TEXT PRIMARY KEY, folder TEXT NOT NULL, python TEXT NOT NULL, environment TEXT NOT NULL,
  cpus INTEGER NOT NULL, gpus INTEGER NOT NULL, devices TEXT NOT NULL,
  max_parallel INTEGER NOT NULL, queue_limit INTEGER NOT NULL);
CREATE TABLE runs (
  number INTEGER PRIMARY KEY, key TEXT NOT NULL, attempt INTEGER NOT NULL,
  launch TEXT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,
  claim INTEGER NOT NULL DEFAULT 0, pid INTEGER NOT NULL DEFAULT 0,
  pid_started REAL NOT NULL DEFAULT 0, ending TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT '', changed REAL NOT NULL, UNIQUE (key, attempt));
CREATE INDEX runs_by_state ON runs (state, launch);
CREATE INDEX runs_by_launch ON runs (launch, position);
CREATE TABLE runners (
  environment TEXT PRIMARY KEY, pid INTEGER NOT NULL, pid_started REAL NOT NULL);
INSERT INTO launches VALUES ('A', '/jobs/A', 'python', 'one environment', 0, 0, '[]', 0, 0);
INSERT INTO runs (key, attempt, launch, position, state, changed)
  VALUES ('A-0', 1, 'A', 0, 'queued', 0);
PRAGMA user_version = 1;
"""


@pytest.mark.parametrize("also", ["", "ALTER TABLE runs ADD COLUMN requeue INTEGER DEFAULT 0"])
def test_the_file_of_a_former_savethat_goes_on(
    tmp_path: Path, gone: tuple[int, float], also: str
) -> None:
    """Also where that one has set the version back, or works on the file at the same time."""
    path = tmp_path / "queue.sqlite"
    former = sqlite3.connect(path, isolation_level=None)
    former.executescript(_FORMER + also)
    with contextlib.closing(former), Store(path) as store, Store(path) as second:
        assert keys(waiting(second)) == ["A-0"]
        killed(store, waiting(store)[0], gone)
        assert state(store, "A-0").shown == "lost"
        store.add(batch("B", requeue=1), [("B-0", 1, 0)], HERE)
        killed(store, waiting(store)[0], gone)
        assert keys(waiting(store)) == ["B-0"]
        row = ("C", "/jobs/C", "python", HERE, 0, 0, "[]", 0, 0)
        former.execute("INSERT INTO launches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        former.execute(
            "INSERT INTO runs (key, attempt, launch, position, state, changed)"
            " VALUES ('C-0', 1, 'C', 0, 'queued', 0)"
        )
        assert [(job.key, job.requeue) for job in waiting(store)] == [("B-0", 1), ("C-0", 0)]


def test_an_environment_has_one_runner(store: Store, gone: tuple[int, float]) -> None:
    assert store.enlist(HERE, *gone)
    assert store.enlist(HERE, *MYSELF)
    assert not store.enlist(HERE, *MYSELF)
    assert store.enlist(THERE, *MYSELF)
    # Equal pids are one process only if they started together.
    pid, started = MYSELF
    assert store.leave(HERE)
    assert store.enlist(HERE, pid, started - 1000)
    assert store.enlist(HERE, *MYSELF)


def test_one_caller_starts_a_runner_where_runs_wait(store: Store) -> None:
    assert not store.call_runner(HERE)
    add(store, "A")
    assert not store.call_runner(THERE)
    assert store.call_runner(HERE)
    assert not store.call_runner(HERE)
    assert store.enlist(HERE, *MYSELF)
    assert not store.call_runner(HERE)


def test_a_runner_that_never_came_is_called_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, "A")
    assert store.call_runner(HERE)
    now = time.time()
    for later, called in [(store_module._RUNNER_START - 1, False), (-3600, True), (7200, True)]:
        monkeypatch.setattr("time.time", lambda later=later: now + later)
        assert store.call_runner(HERE) is called


def test_a_runner_leaves_when_nothing_is_left_to_do(store: Store) -> None:
    assert store.enlist(HERE, *MYSELF)
    add(store, "Elsewhere", to=THERE)
    add(store, "A")
    (job,) = waiting(store)
    assert not store.leave(HERE)
    claim = start(store, job)
    assert not store.leave(HERE)
    assert store.claim(job.number, claim, *MYSELF)
    assert not store.leave(HERE)
    store.end(job.number, claim, ending="completed")
    assert store.leave(HERE)
    # Whoever queues a run from now on starts a runner.
    add(store, "A", 2)
    assert store.call_runner(HERE)


def test_a_runner_that_leaves_strands_no_run(tmp_path: Path) -> None:
    """Another process queues a run at every moment at which it can, while a runner leaves."""
    for moment in ("before it leaves", "after it has left"):
        path = tmp_path / f"{moment}.sqlite"
        with Store(path) as runner, Store(path) as terminal:
            assert runner.enlist(HERE, *MYSELF)
            left = moment.startswith("after") and runner.leave(HERE)
            with terminal.transaction():
                add(terminal, "A")
                called = terminal.call_runner(HERE)
            # Somebody is there for it: the runner that stays, or one that is called.
            assert called is left
            assert runner.leave(HERE) is False
            assert runner.enlist(HERE, *MYSELF) is left


def test_runs_whose_runner_died_go_to_the_environment_of_who_looks(
    store: Store, gone: tuple[int, float]
) -> None:
    assert store.enlist(THERE, *gone)
    assert store.enlist(HERE, *MYSELF)
    add(store, "A", 2, to=THERE)
    first = waiting(store, THERE)[0]
    claim = start(store, first)
    store.adopt(HERE)
    # A runner lives here already, and has all to do with them from now on.
    assert not store.call_runner(HERE)
    assert waiting(store, THERE) == []
    # Also what the dead one had started, which nobody would ever look after.
    assert keys(waiting(store)) == ["A-0", "A-1"]
    assert not store.claim(first.number, claim, *MYSELF)
    assert not store.leave(HERE)
    assert not store.call_runner(THERE)


def test_runs_whose_runner_is_about_to_come_stay_in_their_environment(store: Store) -> None:
    with store.transaction():
        add(store, "A", to=THERE)
        assert store.call_runner(THERE)
    store.adopt(HERE)
    assert not store.call_runner(HERE)
    assert (keys(waiting(store, THERE)), waiting(store)) == (["A-0"], [])


def test_running_runs_stay_where_they_are(store: Store, gone: tuple[int, float]) -> None:
    assert store.enlist(THERE, *gone)
    add(store, "A", to=THERE)
    (job,) = waiting(store, THERE)
    assert store.claim(job.number, start(store, job), *MYSELF)
    # Nothing waits, so nobody is needed: the worker notes its end itself.
    store.adopt(HERE)
    assert not store.call_runner(HERE)
    assert not store.call_runner(THERE)


def test_what_was_over_long_ago_is_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store, "Old", 2)
    for job in waiting(store)[:1]:
        store.end(job.number, start(store, job), ending="completed")
    add(store, "Older")
    store.cancel([("Older", "Older-0")])
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + store_module._KEPT + 1)
    add(store, "New")
    assert keys(store.jobs(["Old", "Older", "New"])) == ["Old-1", "New-0"]
    with contextlib.closing(sqlite3.connect(store.path)) as file:
        launches = file.execute("SELECT id FROM launches ORDER BY id").fetchall()
    assert launches == [("New",), ("Old",)]


def test_what_fails_in_a_transaction_is_undone_whole(store: Store) -> None:
    with pytest.raises(RuntimeError), store.transaction():
        add(store, "A")
        raise RuntimeError
    assert waiting(store) == []
    assert add(store, "A") == [0]


PROCESSES, EACH = 8, 40


def take_part(path: Path, me: int) -> list[str]:
    """Queues runs, its own and its neighbour's, and carries out whatever waits; what it took."""
    taken: list[str] = []
    with Store(path) as store:
        for number in range(EACH):
            for who in (me, (me + 1) % PROCESSES):
                store.add(batch(f"L{who}"), [(f"L{who}-{number}", 1, number)], HERE)
            taken += take_what_waits(store)
        while len(store.jobs([f"L{n}" for n in range(PROCESSES)])) < PROCESSES * EACH:
            time.sleep(0.01)
        while waiting(store):
            taken += take_what_waits(store)
    return taken


def take_what_waits(store: Store) -> list[str]:
    taken = []
    for job in waiting(store):
        claim = store.start(job, 9999)
        if claim is not None and store.claim(job.number, claim, os.getpid(), 0.0):
            store.end(job.number, claim, ending="completed")
            taken.append(job.key)
    return taken


def test_many_processes_take_each_run_exactly_once(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(PROCESSES, mp_context=spawn) as pool:
        taken = Counter[str]()
        for keys_ in pool.map(take_part, [path] * PROCESSES, range(PROCESSES)):
            taken.update(keys_)
    assert taken == {f"L{who}-{n}": 1 for who in range(PROCESSES) for n in range(EACH)}
    with Store(path) as store:
        assert store.unfinished() == []


def test_a_file_that_is_no_queue_is_named(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite"
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(SchedulerError, match=rf"{path}.*not a database"):
        Store(path)
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 1")
    with pytest.raises(SchedulerError, match=rf"{path}.*no such table"):
        Store(path)
    other.execute("PRAGMA user_version = 2")
    other.close()
    with Store(path) as store:
        for use in (
            lambda: add(store, "A"),
            lambda: store.call_runner(HERE),
            lambda: store.adopt(HERE),
            lambda: store.leave(HERE),
            lambda: store.unfinished(),
        ):
            with pytest.raises(SchedulerError, match=rf"{path}.*no such table"):
                use()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    path = tmp_path / "state" / "queue.sqlite"
    with pytest.raises(SchedulerError, match=str(path)):
        Store(path)
