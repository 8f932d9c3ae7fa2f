"""Rows of ended runs, kept on this machine: what a listing says of them need not be read again.

A mark of an ended run never changes: whoever writes another under its name makes another version
of it, and a row is known by its mark's version. A page of a listing that says what it said before
is known by its digest, and is not even parsed. All of it lies in an SQLite file a remote in the
user's cache folder. Losing it costs time only, and nothing here raises but what is read late of a
row: what cannot be read is not known, what cannot be written is not kept.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from savethat import cache
from savethat.catalog.row import Row
from savethat.errors import StorageError
from savethat.remotes.base import Entry
from savethat.run.record import Place
from savethat.run.status import Status

if TYPE_CHECKING:
    import sqlite3

_TABLES = (
    "CREATE TABLE IF NOT EXISTS runs (mark TEXT PRIMARY KEY, version TEXT, node TEXT, reason TEXT,"
    " submitted TEXT, started TEXT, finished TEXT, launch TEXT, place TEXT, files INTEGER,"
    " bytes INTEGER, args TEXT, result TEXT, rest TEXT) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS pages (asked TEXT PRIMARY KEY, digest TEXT, stop TEXT,"
    " versions TEXT, others TEXT)",
)
# What few runs have another value of than the row's default.
_RARE = ("attempt", "position", "array_size", "sweep", "kept", "dropped", "code")
_RARE_LISTS = ("tags", "left", "cut")
_STATUSES = {status.value: status for status in Status}
_TIME = datetime.fromisoformat
_AFTER_ALL = "\U0010ffff"


@dataclasses.dataclass(frozen=True)
class Known:
    """What a page said when it was read.

    Args:
        rows: of ended runs, each with the version of its mark.
        others: all else.
        following: the name that the next page begins with; None after the last.
    """

    rows: Sequence[tuple[str, Row]]
    others: Sequence[Entry]
    following: str | None


class KeptRow(Row):
    """A row as it was kept; its arguments and its result are read when they are asked for."""

    @functools.cached_property
    def args(self) -> dict[str, Any]:
        """As JSON."""
        return self._read("kept_args")

    @functools.cached_property
    def result(self) -> dict[str, Any]:
        """The result's scalars."""
        return self._read("kept_result")

    def _read(self, name: str) -> dict[str, Any]:
        try:
            value = json.loads(self.__dict__[name])
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise StorageError(
                f"what is kept of {self.key} on this machine is damaged",
                f"remove the files runs-* in {cache.folder()}",
            )
        return value


class KeptRuns:
    """What is kept of one remote, as far as a listing goes.

    Args:
        url: the remote's.
        prefix: where the names begin that are listed.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self._file = f"runs-1-{zlib.crc32(url.encode()):08x}.sqlite3"
        self._rows: dict[str, tuple[str, Row]] = {}
        self._pages: dict[str, tuple[str, str, str, str]] = {}
        self._changed: list[tuple[str, Row]] = []
        self._gone: list[str] = []
        self._read_pages: list[tuple[str, str, str, str, str]] = []
        found = cache.use_database(self._file, _TABLES, lambda database: _load(database, prefix))
        if found is not None:
            self._rows, self._pages = found
        self._names = list(self._rows)

    def page(self, asked: str, digest: str) -> Known | None:
        """What a page of this digest says; None where that is not known.

        Args:
            asked: the prefix and the start it was asked for.
            digest: its own.
        """
        known, stop, versions, others = self._pages.get(asked, ("", "", "", ""))
        if not digest or known != digest:
            return None
        rows = self._between(asked, stop)
        # Another listing may have found other runs there since.
        if _digest(version for version, _ in rows) != versions:
            return None
        try:
            entries = [Entry(*fields) for fields in json.loads(others)]
        except (ValueError, TypeError):
            return None  # damaged
        return Known(rows, entries, stop if stop != _AFTER_ALL else None)

    def row(self, entry: Entry) -> Row | None:
        """The row of a mark, as it was listed."""
        version, row = self._rows.get(entry.name, ("", None))
        return row if version == entry.version else None

    def learn(self, asked: str, digest: str, page: Known) -> None:
        """Takes what a page says, to be kept."""
        stop = page.following or _AFTER_ALL
        there = {row.mark for _, row in page.rows}
        before = (row.mark for _, row in self._between(asked, stop))
        self._gone += [mark for mark in before if mark not in there]
        self._changed += [
            (version, row)
            for version, row in page.rows
            if version and self._rows.get(row.mark, ("", None))[0] != version
        ]
        if digest and all(version for version, _ in page.rows):
            versions = _digest(version for version, _ in page.rows)
            others = json.dumps([dataclasses.astuple(entry) for entry in page.others])
            self._read_pages.append((asked, digest, stop, versions, others))

    def save(self) -> None:
        """Keeps what was learned."""
        if self._changed or self._gone or self._read_pages:
            cache.use_database(self._file, _TABLES, self._write)

    def _write(self, database: sqlite3.Connection) -> None:
        with database:
            database.executemany("DELETE FROM runs WHERE mark = ?", [(m,) for m in self._gone])
            database.executemany(
                "REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (_to_columns(version, row) for version, row in self._changed),
            )
            database.executemany("REPLACE INTO pages VALUES (?, ?, ?, ?, ?)", self._read_pages)

    def _between(self, asked: str, stop: str) -> list[tuple[str, Row]]:
        """The rows from where a page was asked for to where the next one begins."""
        first = bisect.bisect_left(self._names, max(asked.split("\n")))
        last = bisect.bisect_left(self._names, stop)
        return [self._rows[name] for name in self._names[first:last]]


def _digest(versions: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(versions).encode()).hexdigest()


def _load(
    database: sqlite3.Connection, prefix: str
) -> tuple[dict[str, tuple[str, Row]], dict[str, tuple[str, str, str, str]]]:
    places: dict[str, Place] = {}
    rows: dict[str, tuple[str, Row]] = {}
    query = "SELECT * FROM runs WHERE mark >= ? AND mark < ? ORDER BY mark"
    for columns in database.execute(query, (prefix, prefix + _AFTER_ALL)):
        rows[columns[0]] = columns[1], _from_columns(columns, places)
    pages = database.execute("SELECT * FROM pages WHERE asked >= ?", (prefix,))
    return rows, {asked: (a, b, c, d) for asked, a, b, c, d in pages if asked.startswith(prefix)}


def _to_columns(version: str, row: Row) -> tuple[Any, ...]:
    rare = {name: getattr(row, name) for name in _RARE}
    rare = {name: value for name, value in rare.items() if value != getattr(Row, name)}
    lists = {name: list(getattr(row, name)) for name in _RARE_LISTS if getattr(row, name)}
    return (
        row.mark,
        version,
        row.node,
        row.reason,
        *(
            time and time.isoformat()
            for time in (row.submitted_at, row.started_at, row.finished_at)
        ),
        row.launch,
        _place(row.place),
        row.files,
        row.bytes,
        json.dumps(row.args),
        json.dumps(row.result),
        json.dumps({**rare, **lists}) if rare or lists else "",
    )


@functools.lru_cache
def _place(place: Place) -> str:
    return json.dumps(dataclasses.asdict(place))


def _from_columns(columns: Sequence[Any], places: dict[str, Place]) -> Row:
    """A row as `_to_columns` took it apart; most of it is what SQLite gives, as there are many."""
    mark, _, node, reason, submitted, started, finished, launch, place, files, size = columns[:11]
    name, _, status = mark.rsplit(".", 2)
    if place not in places:
        places[place] = Place(**json.loads(place))
    row = KeptRow.__new__(KeptRow)
    row.__dict__.update(
        {
            "key": name.rpartition("/")[2],
            "node": node,
            "status": _STATUSES[status],
            "reason": reason,
            "submitted_at": _TIME(submitted) if submitted else None,
            "started_at": _TIME(started) if started else None,
            "finished_at": _TIME(finished) if finished else None,
            "launch": launch,
            "place": places[place],
            "files": files,
            "bytes": size,
            "synced": True,
            "mark": mark,
            "kept_args": columns[11],
            "kept_result": columns[12],
        }
    )
    if columns[13]:
        rest = json.loads(columns[13])
        row.__dict__.update(rest)
        row.__dict__.update({name: tuple(rest[name]) for name in _RARE_LISTS if name in rest})
        row.__dict__["synced"] = "left" not in rest
    return row
