"""What this machine's queue knows: launches, their runs and the runners, in one SQLite file.

The file is one user's on one machine, so that it is opened from nowhere else, even where the home
folder is shared. Each method is one transaction. Whoever carries out a run claims it here first:
that is what makes it happen once, whatever is killed when.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from savethat.errors import SchedulerError
from savethat.launchers.foreground import is_alive, machine_id
from savethat.launchers.queue.job import Batch, Job, Needs, RunState
from savethat.launchers.queue.schema import prepare

# A transaction takes milliseconds; a home folder on a busy file server may take longer.
_BUSY_TIMEOUT = 30.0
# A runner that was called takes at most so long until it has enlisted: Python may come from a slow
# disk, and its runs are not to be handed to another environment meanwhile.
_RUNNER_START = 20.0
# What is over is of use to `ls` for a while only: its marks say more.
_KEPT = 90 * 86_400.0

_JOBS = (
    "SELECT number, key, attempt, launch, position, state, claim, pid, pid_started, ending, reason,"
    " changed, requeue, restarts FROM runs"
)
# Each starts from the runs that are not over, which are few beside those that are.
_QUEUED = (
    "SELECT id, folder, python, cpus, gpus, devices, max_parallel, queue_limit FROM launches"
    " WHERE environment = ? AND id IN (SELECT launch FROM runs WHERE state = 'queued')"
    " ORDER BY launches.rowid LIMIT ?"
)
_WAITING = (
    "SELECT DISTINCT environment FROM launches"
    " WHERE id IN (SELECT launch FROM runs WHERE state IN ('queued', 'starting'))"
)
_BUSY = (
    "SELECT 1 FROM runs JOIN launches ON id = launch"
    " WHERE environment = ? AND state IN ('queued', 'starting', 'running') LIMIT 1"
)


def queue_file() -> Path:
    """Where this user's queue on this machine is kept: in the user's state folder."""
    return platformdirs.user_state_path("savethat") / "queue" / f"{machine_id()}.sqlite"


class Store:
    """The queue's file, opened; use it as a context manager.

    Args:
        path: the file; it is made if it is missing.

    Raises:
        SchedulerError: it cannot be opened.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or queue_file()
        self._open()

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.ExitStack() as stack:
                self._db = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT, isolation_level=None)
                stack.callback(self._db.close)
                self._db.execute("PRAGMA synchronous = NORMAL")
                prepare(self._db)
                stack.pop_all()
        except (OSError, sqlite3.Error) as error:
            raise _broken(self.path, error) from error

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @contextlib.contextmanager
    def closed(self) -> Iterator[None]:
        """Has it closed meanwhile: a process that holds an SQLite file open must not fork.

        Raises:
            SchedulerError: it cannot be opened again.
        """
        self._db.close()
        try:
            yield
        finally:
            self._open()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """What is done in it is done at once, or not at all; one inside another is part of it.

        Raises:
            SchedulerError: the file cannot be used.
        """
        if self._db.in_transaction:
            yield self._db
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
        except sqlite3.Error as error:
            raise _broken(self.path, error) from error

    def _roll_back(self) -> None:
        # Where the disk is full, SQLite has done so itself.
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def add(
        self, batch: Batch, runs: Sequence[tuple[str, int, int]], environment: str
    ) -> list[int]:
        """Queues runs of a launch; those that are in the queue already stay as they are.

        Args:
            batch: the launch.
            runs: key, attempt and position of each.
            environment: the fingerprint of the environment they are to run in.

        Returns:
            The positions that are new.
        """
        needs, now = batch.needs, time.time()
        with self.transaction() as db:
            _forget(db, now - _KEPT)
            db.execute(
                "INSERT OR IGNORE INTO launches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    batch.id,
                    str(batch.folder),
                    batch.python,
                    environment,
                    needs.cpus,
                    needs.gpus,
                    json.dumps(needs.devices),
                    needs.max_parallel,
                    needs.queue_limit,
                ),
            )
            new = []
            for key, attempt, position in runs:
                cursor = db.execute(
                    "INSERT OR IGNORE INTO runs"
                    " (key, attempt, launch, position, state, changed, requeue)"
                    " VALUES (?, ?, ?, ?, 'queued', ?, ?)",
                    (key, attempt, batch.id, position, now, batch.requeue),
                )
                if cursor.rowcount:
                    new.append(position)
        return new

    def jobs(self, launches: Sequence[str]) -> list[Job]:
        """The runs of these launches that the queue knows."""
        found: list[Job] = []
        for launch in dict.fromkeys(launches):
            rows = self._select(f"{_JOBS} WHERE launch = ?", launch)
            found += map(_job, rows)
        return found

    def live(self) -> list[Job]:
        """The runs that were started and are not known to be over."""
        rows = self._select(f"{_JOBS} WHERE state IN ('starting', 'running')")
        return [_job(row) for row in rows]

    def unfinished(self) -> list[Job]:
        """The runs that are not known to be over."""
        rows = self._select(f"{_JOBS} WHERE state IN ('queued', 'starting', 'running')")
        return [_job(row) for row in rows]

    def queued(self, environment: str, *, launches: int, of_each: int) -> list[tuple[Job, Batch]]:
        """The first runs that wait for a runner of this environment, in the order they came.

        Of the first launches so many, and of each so many: what limits one launch does not hold up
        those behind it.
        """
        found: list[tuple[Job, Batch]] = []
        for row in self._select(_QUEUED, environment, launches):
            launch, folder, python, cpus, gpus, devices, max_parallel, queue_limit = row
            needs = Needs(cpus, gpus, tuple(json.loads(devices)), max_parallel, queue_limit)
            batch = Batch(launch, Path(folder), python, needs)
            waiting = self._select(
                f"{_JOBS} WHERE launch = ? AND state = 'queued' ORDER BY number LIMIT ?",
                launch,
                of_each,
            )
            found += [(_job(each), batch) for each in waiting]
        return sorted(found, key=lambda item: item[0].number)

    def start(self, job: Job, live: int) -> int | None:
        """Notes that a worker is about to be started for a run; None where it does not wait.

        Args:
            job: the run.
            live: how many runs of the queue were live when it was found to fit. Where there are
                more by now, another runner was faster, and the run waits.

        Returns:
            The claim the worker must show.
        """
        with self.transaction() as db:
            cursor = db.execute(
                "UPDATE runs SET state = 'starting', claim = claim + 1, changed = ?"
                " WHERE number = ? AND state = 'queued' AND claim = ? AND"
                " (SELECT COUNT(*) FROM runs WHERE state IN ('starting', 'running')) <= ?",
                (time.time(), job.number, job.claim, live),
            )
            return job.claim + 1 if cursor.rowcount else None

    def claim(self, number: int, claim: int, pid: int, pid_started: float) -> bool:
        """Takes a run, as its worker; False where it is not this worker's to carry out."""
        with self.transaction() as db:
            cursor = db.execute(
                "UPDATE runs SET state = 'running', pid = ?, pid_started = ?, changed = ?"
                " WHERE number = ? AND state = 'starting' AND claim = ?",
                (pid, pid_started, time.time(), number, claim),
            )
            return cursor.rowcount > 0

    def end(self, number: int, claim: int, *, ending: str = "", reason: str = "") -> None:
        """Notes that a run is over, and how: its mark; empty where it left no word."""
        with self.transaction() as db:
            db.execute(
                "UPDATE runs SET state = 'over', ending = ?, reason = ?, changed = ?"
                " WHERE number = ? AND claim = ? AND state IN ('starting', 'running')",
                (ending, reason, time.time(), number, claim),
            )

    def end_killed(self, number: int, claim: int, reason: str) -> None:
        """Notes that a worker is gone, which left no word: its run waits again, as often as it may.

        Else it is over. A worker that never took its run was not ended from outside, and is none
        that another one would do better than.
        """
        with self.transaction() as db:
            again = db.execute(
                "UPDATE runs SET state = 'queued', claim = claim + 1, restarts = restarts + 1,"
                " changed = ?"
                " WHERE number = ? AND claim = ? AND state = 'running' AND restarts < requeue",
                (time.time(), number, claim),
            )
            if not again.rowcount:
                self.end(number, claim, reason=reason)

    def recover(self) -> None:
        """Lets the runs wait again that may, and whose worker was killed, or their machine."""
        for job in self.live():
            if job.state is RunState.RUNNING and job.may_restart and not job.alive:
                self.end_killed(job.number, job.claim, "")

    def restarts(self, number: int) -> int:
        """How often a run was started again."""
        ((restarts,),) = self._select("SELECT restarts FROM runs WHERE number = ?", number)
        return int(restarts)

    def put_back(self, number: int, claim: int) -> None:
        """Lets a run wait again whose worker could not be started."""
        with self.transaction() as db:
            db.execute(
                "UPDATE runs SET state = 'queued', claim = claim + 1, changed = ?"
                " WHERE number = ? AND claim = ? AND state = 'starting'",
                (time.time(), number, claim),
            )

    def cancel(self, tasks: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Ends those of these runs that no worker has; returns them.

        Of the others none is started again.

        Args:
            tasks: launch and key of each.
        """
        with self.transaction() as db:
            db.executemany(
                "UPDATE runs SET requeue = 0 WHERE launch = ? AND key = ? AND state = 'running'",
                tasks,
            )
            return {
                (launch, key)
                for launch, key in tasks
                if db.execute(
                    "UPDATE runs SET state = 'over', ending = 'cancelled', claim = claim + 1,"
                    " changed = ?"
                    " WHERE launch = ? AND key = ? AND state IN ('queued', 'starting')",
                    (time.time(), launch, key),
                ).rowcount
            }

    def call_runner(self, environment: str) -> bool:
        """Whether the caller is to start a runner, in its own environment: runs wait for one.

        Whoever asks next is told no, for as long as the runner may take to come.
        """
        if environment not in self._orphaned():
            return False
        with self.transaction() as db:
            if environment not in self._orphaned():
                return False
            row = (environment, 0, time.time())
            db.execute("INSERT OR REPLACE INTO runners VALUES (?, ?, ?)", row)
            return True

    def adopt(self, environment: str) -> None:
        """Hands the launches of other environments, whose runner has died, to this one."""
        if not set(self._orphaned()) - {environment}:
            return
        with self.transaction() as db:
            for other in set(self._orphaned()) - {environment}:
                _put_all_back(db, other)
                db.execute("DELETE FROM runners WHERE environment = ?", (other,))
                sql = "UPDATE launches SET environment = ? WHERE environment = ?"
                db.execute(sql, (environment, other))

    def enlist(self, environment: str, pid: int, pid_started: float) -> bool:
        """Makes this process the runner of an environment; False where another one lives.

        What the runner before it started, and no worker has taken, waits again.
        """
        with self.transaction() as db:
            if (runner := self._runner(environment)) and is_alive(*runner):
                return False
            row = (environment, pid, pid_started)
            db.execute("INSERT OR REPLACE INTO runners VALUES (?, ?, ?)", row)
            _put_all_back(db, environment)
            return True

    def leave(self, environment: str) -> bool:
        """Ends this process's time as a runner, if nothing is left to do; else False.

        Together with `add` and `call_runner` this loses nothing: who queues a run after this finds
        no runner, and starts one.
        """
        # Most often it is busy: that is found without keeping others from writing.
        if self._select(_BUSY, environment):
            return False
        with self.transaction() as db:
            if db.execute(_BUSY, (environment,)).fetchone():
                return False
            db.execute("DELETE FROM runners WHERE environment = ?", (environment,))
            return True

    def _orphaned(self) -> list[str]:
        """The environments in which runs wait, and no runner lives or is about to come."""
        found = (environment for (environment,) in self._select(_WAITING))
        return [environment for environment in found if not self._is_served(environment)]

    def _is_served(self, environment: str) -> bool:
        runner = self._runner(environment)
        if runner is None:
            return False
        pid, since = runner
        return is_alive(pid, since) if pid else 0 <= time.time() - since < _RUNNER_START

    def _runner(self, environment: str) -> tuple[int, float] | None:
        """An environment's runner and its start; 0 for one that was called, and when."""
        sql = "SELECT pid, pid_started FROM runners WHERE environment = ?"
        rows = self._select(sql, environment)
        return (rows[0][0], rows[0][1]) if rows else None

    def _select(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _broken(self.path, error) from error


def _job(row: tuple[Any, ...]) -> Job:
    number, key, attempt, launch, position, state, *rest = row
    return Job(number, key, attempt, launch, position, RunState(state), *rest)


def _put_all_back(db: sqlite3.Connection, environment: str) -> None:
    """Lets runs wait again whose worker was started, and has not taken them.

    For an environment whose runner is gone: nobody looks after these. A worker that comes late
    shows a claim that is no longer good.
    """
    db.execute(
        "UPDATE runs SET state = 'queued', claim = claim + 1, changed = ?"
        " WHERE state = 'starting' AND launch IN (SELECT id FROM launches WHERE environment = ?)",
        (time.time(), environment),
    )


def _forget(db: sqlite3.Connection, before: float) -> None:
    """Deletes what was over before a moment, and launches of which nothing is left."""
    sql = "DELETE FROM runs WHERE state = 'over' AND changed < ?"
    if db.execute(sql, (before,)).rowcount:
        db.execute("DELETE FROM launches WHERE id NOT IN (SELECT launch FROM runs)")


def _broken(path: Path, error: Exception) -> SchedulerError:
    return SchedulerError(
        f"the queue of this machine, {path}, cannot be used: {error}",
        "look at the folder's rights and room",
    )
