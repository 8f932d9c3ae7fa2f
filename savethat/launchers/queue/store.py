"""What this machine's queue knows: launches, their runs and the runners, in one SQLite file.

The file is one user's on one machine, so that it is opened from nowhere else, even where the home
folder is shared. Each method is one transaction. Whoever carries out a run claims it here first:
that is what makes it happen once, whatever is killed when.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from savethat.errors import SchedulerError
from savethat.launchers.foreground import is_alive, machine_id

_SCHEMA = """
CREATE TABLE IF NOT EXISTS launches (
  id TEXT PRIMARY KEY, folder TEXT NOT NULL, python TEXT NOT NULL, environment TEXT NOT NULL,
  cpus INTEGER NOT NULL, gpus INTEGER NOT NULL, devices TEXT NOT NULL,
  max_parallel INTEGER NOT NULL, queue_limit INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS runs (
  number INTEGER PRIMARY KEY, key TEXT NOT NULL, attempt INTEGER NOT NULL,
  launch TEXT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,
  claim INTEGER NOT NULL DEFAULT 0, pid INTEGER NOT NULL DEFAULT 0,
  pid_started REAL NOT NULL DEFAULT 0, ending TEXT NOT NULL DEFAULT '',
  reason TEXT NOT NULL DEFAULT '', changed REAL NOT NULL, UNIQUE (key, attempt));
CREATE INDEX IF NOT EXISTS runs_by_state ON runs (state, launch);
CREATE INDEX IF NOT EXISTS runs_by_launch ON runs (launch, position);
CREATE TABLE IF NOT EXISTS runners (
  environment TEXT PRIMARY KEY, pid INTEGER NOT NULL, pid_started REAL NOT NULL);
"""
# A transaction takes milliseconds; a home folder on a busy file server may take longer.
_BUSY_TIMEOUT = 30.0
# A runner that was just started takes so long until it has enlisted.
_RUNNER_START = 2.0
# What is over is of use to `ls` for a while only: its marks say more.
_KEPT = 90 * 86_400.0


class RunState(str, enum.Enum):
    """Where a run is in the queue."""

    QUEUED = "queued"
    # A runner has started its worker, which has not yet said that it took it.
    STARTING = "starting"
    RUNNING = "running"
    OVER = "over"


LIVE = (RunState.STARTING, RunState.RUNNING)


@dataclasses.dataclass(frozen=True)
class Needs:
    """What each run of a launch takes up.

    Args:
        cpus: cores of its own; 0: it shares them all.
        gpus: how many GPUs of its own.
        devices: the GPUs it may have, by index.
        max_parallel: the most runs of the launch at a time; 0: no limit of its own.
        queue_limit: the most runs of the queue at a time; 0: as its cores and GPUs allow.
    """

    cpus: int = 0
    gpus: int = 0
    devices: tuple[int, ...] = ()
    max_parallel: int = 0
    queue_limit: int = 0


@dataclasses.dataclass(frozen=True)
class Job:
    """A run in the queue."""

    number: int
    key: str
    attempt: int
    launch: str
    position: int
    state: RunState
    claim: int
    pid: int
    pid_started: float
    ending: str
    reason: str

    @property
    def alive(self) -> bool:
        """Whether its worker lives."""
        return self.state is RunState.RUNNING and is_alive(self.pid, self.pid_started)

    @property
    def shown(self) -> str:
        """Its status, as far as the queue knows: `ls` reads the marks, too."""
        if self.state is RunState.OVER or (self.state is RunState.RUNNING and not self.alive):
            return self.ending or "lost"
        return "running" if self.state is RunState.RUNNING else "queued"


_JOBS = (
    "SELECT number, key, attempt, launch, position, state, claim, pid, pid_started, ending, reason"
    " FROM runs"
)
# Environments of launches of which runs wait, some of them since before a moment.
_WAITING = (
    "SELECT DISTINCT environment FROM launches WHERE EXISTS (SELECT 1 FROM runs"
    " WHERE launch = launches.id AND state IN ('queued', 'starting') AND changed < ?)"
)


@dataclasses.dataclass(frozen=True)
class Batch:
    """A launch in the queue: its folder, the Python of its workers, and what its runs need."""

    id: str
    folder: Path
    python: str
    needs: Needs


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
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT, isolation_level=None)
            self._db.execute("PRAGMA synchronous = NORMAL")
            if self._db.execute("PRAGMA user_version").fetchone()[0] == 0:
                script = f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = 1; COMMIT"
                self._db.executescript(script)
        except (OSError, sqlite3.Error) as error:
            raise _broken(self.path, error) from error

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise _broken(self.path, error) from error

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
        with self._transaction() as db:
            db.execute("DELETE FROM runs WHERE state = 'over' AND changed < ?", (now - _KEPT,))
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
                    "INSERT OR IGNORE INTO runs (key, attempt, launch, position, state, changed)"
                    " VALUES (?, ?, ?, ?, 'queued', ?)",
                    (key, attempt, batch.id, position, now),
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
        return [_job(row) for row in self._select(f"{_JOBS} WHERE state != 'over'")]

    def queued(self, environment: str, most: int) -> list[tuple[Job, Batch]]:
        """The first runs that wait for a runner of this environment, in the order they came.

        At most `most` of each launch: what limits one launch does not hold up those behind it.
        """
        found: list[tuple[Job, Batch]] = []
        for row in self._select(
            "SELECT id, folder, python, cpus, gpus, devices, max_parallel, queue_limit"
            " FROM launches WHERE environment = ? AND EXISTS"
            " (SELECT 1 FROM runs WHERE launch = launches.id AND state = 'queued') ORDER BY rowid",
            environment,
        ):
            launch, folder, python, cpus, gpus, devices, max_parallel, queue_limit = row
            needs = Needs(cpus, gpus, tuple(json.loads(devices)), max_parallel, queue_limit)
            batch = Batch(launch, Path(folder), python, needs)
            waiting = self._select(
                f"{_JOBS} WHERE launch = ? AND state = 'queued' ORDER BY number LIMIT ?",
                launch,
                most,
            )
            found += [(_job(each), batch) for each in waiting]
        return sorted(found, key=lambda item: item[0].number)

    def start(self, job: Job) -> int | None:
        """Notes that a worker is about to be started for a run; None where it does not wait.

        Returns:
            The claim the worker must show.
        """
        with self._transaction() as db:
            cursor = db.execute(
                "UPDATE runs SET state = 'starting', claim = claim + 1, changed = ?"
                " WHERE number = ? AND state = 'queued' AND claim = ?",
                (time.time(), job.number, job.claim),
            )
            return job.claim + 1 if cursor.rowcount else None

    def claim(self, number: int, claim: int, pid: int, pid_started: float) -> bool:
        """Takes a run, as its worker; False where it is not this worker's to carry out."""
        with self._transaction() as db:
            cursor = db.execute(
                "UPDATE runs SET state = 'running', pid = ?, pid_started = ?, changed = ?"
                " WHERE number = ? AND state = 'starting' AND claim = ?",
                (pid, pid_started, time.time(), number, claim),
            )
            return cursor.rowcount > 0

    def end(self, number: int, claim: int, *, ending: str = "", reason: str = "") -> None:
        """Notes that a run is over, and how: its mark; empty where it left no word."""
        with self._transaction() as db:
            db.execute(
                "UPDATE runs SET state = 'over', ending = ?, reason = ?, changed = ?"
                " WHERE number = ? AND claim = ? AND state IN ('starting', 'running')",
                (ending, reason, time.time(), number, claim),
            )

    def cancel(self, tasks: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Ends those of these attempts of runs that no worker has taken; returns them."""
        with self._transaction() as db:
            return {
                (key, attempt)
                for key, attempt in tasks
                if db.execute(
                    "UPDATE runs SET state = 'over', ending = 'cancelled', claim = claim + 1,"
                    " changed = ?"
                    " WHERE key = ? AND attempt = ? AND state IN ('queued', 'starting')",
                    (time.time(), key, attempt),
                ).rowcount
            }

    def enlist(self, environment: str, pid: int, pid_started: float) -> bool:
        """Makes this process the runner of an environment; False where another one lives."""
        with self._transaction() as db:
            if _runner_alive(db, environment):
                return False
            db.execute(
                "INSERT OR REPLACE INTO runners VALUES (?, ?, ?)", (environment, pid, pid_started)
            )
            return True

    def adopt(self, environment: str) -> None:
        """Hands the launches whose runner has died to the runner of this environment."""
        with self._transaction() as db:
            for other in self._orphaned(db):
                if other != environment:
                    sql = "UPDATE launches SET environment = ? WHERE environment = ?"
                    db.execute(sql, (environment, other))

    def put_back(self, environment: str) -> None:
        """Lets runs wait again whose worker was started, and has not taken them.

        For a runner that has started none yet: who started these is gone. A worker that comes late
        shows a claim that is no longer good.
        """
        with self._transaction() as db:
            db.execute(
                "UPDATE runs SET state = 'queued', claim = claim + 1, changed = ?"
                " WHERE state = 'starting' AND launch IN"
                " (SELECT id FROM launches WHERE environment = ?)",
                (time.time(), environment),
            )

    def leave(self, environment: str) -> bool:
        """Ends this process's time as a runner, if nothing is left to do; else False.

        Together with `enlist` and `add` this loses nothing: who queues a run after this finds no
        runner and starts one.
        """
        with self._transaction() as db:
            busy = db.execute(
                "SELECT 1 FROM runs JOIN launches ON launches.id = runs.launch"
                " WHERE environment = ? AND state IN ('queued', 'starting', 'running') LIMIT 1",
                (environment,),
            ).fetchone()
            if busy is None:
                db.execute("DELETE FROM runners WHERE environment = ?", (environment,))
            return busy is None

    def needs_runner(self, environment: str) -> bool:
        """Whether no runner of this environment lives."""
        return not _runner_alive(self._db, environment)

    def has_orphans(self) -> bool:
        """Whether runs wait whose runner does not live."""
        return bool(self._orphaned(self._db))

    @staticmethod
    def _orphaned(db: sqlite3.Connection) -> list[str]:
        rows = db.execute(_WAITING, (time.time() - _RUNNER_START,)).fetchall()
        return [environment for (environment,) in rows if not _runner_alive(db, environment)]

    def _select(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _broken(self.path, error) from error


def _job(row: tuple[Any, ...]) -> Job:
    number, key, attempt, launch, position, state, *rest = row
    return Job(number, key, attempt, launch, position, RunState(state), *rest)


def _runner_alive(db: sqlite3.Connection, environment: str) -> bool:
    sql = "SELECT pid, pid_started FROM runners WHERE environment = ?"
    row = db.execute(sql, (environment,)).fetchone()
    return row is not None and is_alive(*row)


def _broken(path: Path, error: Exception) -> SchedulerError:
    return SchedulerError(
        f"the queue of this machine, {path}, cannot be used: {error}",
        "look at the folder's rights and room",
    )
