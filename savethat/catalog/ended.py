"""The ended runs that a listing has met: in memory, or on disk where there may be any number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from savethat.catalog.columns import COLUMNS, from_columns, to_columns
from savethat.catalog.row import Row

# What decides between two marks of one run: the attempt, whether it has ended, whether all of its
# files are there, whether the remote has it.
Rank = tuple[int, bool, bool, bool]
_BATCH = 1_000
_TABLE = f"CREATE TABLE runs (key TEXT PRIMARY KEY, {COLUMNS.replace(' PRIMARY KEY', '')})"
_INSERT = "INSERT OR IGNORE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


def rank_of(row: Row) -> Rank:
    """The rank of an ended run's mark."""
    return row.attempt, True, not row.left, not row.at_home


def order(row: Row) -> tuple[datetime, str]:
    """Orders rows: the oldest first."""
    return row.submitted_at or row.when, row.key


class Ended:
    """Ended runs, each by the mark of the highest rank."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    def add(self, row: Row) -> None:
        """Takes a row, unless the one that is there counts more."""
        known = self._rows.setdefault(row.key, row)
        if known is not row and rank_of(row) > rank_of(known):
            self._rows[row.key] = row

    def rank(self, key: str) -> Rank | None:
        """The rank of what is there of a run; None where it is not."""
        row = self._rows.get(key)
        return rank_of(row) if row is not None else None

    def drop(self, key: str) -> None:
        """Forgets a run, as a later attempt of it counts."""
        self._rows.pop(key, None)

    def launches(self) -> Iterable[tuple[str, str]]:
        """Each run's key, and the launch that its mark names."""
        return ((row.key, row.launch) for row in self._rows.values())

    def rows(self) -> Iterable[Row]:
        """All of them, the oldest first."""
        return sorted(self._rows.values(), key=order)


class EndedOnDisk(Ended):
    """The same in a file that goes with this process: memory does not grow with them."""

    def __init__(self) -> None:
        super().__init__()
        import sqlite3

        self._file = sqlite3.connect("")
        self._file.execute(_TABLE)
        self._waiting: list[Row] = []

    def add(self, row: Row) -> None:
        """Takes a row, unless the one that is there counts more."""
        self._waiting.append(row)
        if len(self._waiting) >= _BATCH:
            self._write()

    def rank(self, key: str) -> Rank | None:
        """The rank of what is there of a run; None where it is not."""
        found = self._find(key)
        return rank_of(found) if found is not None else None

    def drop(self, key: str) -> None:
        """Forgets a run, as a later attempt of it counts."""
        self._write()
        self._file.execute("DELETE FROM runs WHERE key = ?", (key,))

    def launches(self) -> Iterable[tuple[str, str]]:
        """Each run's key, and the launch that its mark names."""
        self._write()
        return self._file.execute("SELECT key, launch FROM runs")

    def rows(self) -> Iterator[Row]:
        """All of them, the oldest first."""
        self._write()
        for _, *columns in self._file.execute("SELECT * FROM runs ORDER BY submitted, key"):
            yield from_columns(columns)

    def _find(self, key: str) -> Row | None:
        self._write()
        found = self._file.execute("SELECT * FROM runs WHERE key = ?", (key,)).fetchone()
        return from_columns(found[1:]) if found is not None else None

    def _write(self) -> None:
        """Writes the rows that wait; most of them are of runs that are not there yet."""
        rows, self._waiting = self._waiting, []
        for row in rows:
            done = self._file.execute(_INSERT, (row.key, *to_columns("", row)))
            if not done.rowcount:
                known = self._find(row.key)
                if known is not None and rank_of(row) > rank_of(known):
                    self._file.execute("DELETE FROM runs WHERE key = ?", (row.key,))
                    self._file.execute(_INSERT, (row.key, *to_columns("", row)))
