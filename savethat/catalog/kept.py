"""Rows of ended runs, kept on this machine: what a listing says of them need not be read again.

A mark of an ended run never changes: whoever writes another under its name makes another version
of it, and a row is known by its mark's version. A page of a listing that says what it said before
is known by its digest, and is not even parsed. All of it lies in an SQLite file a remote in the
user's cache folder. Losing it costs time only, and nothing here raises: what cannot be read is not
known, what cannot be written is not kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from savethat.cache import use_database
from savethat.catalog.columns import COLUMNS, from_columns, to_columns
from savethat.catalog.row import Row
from savethat.remotes.base import Entry

if TYPE_CHECKING:
    import sqlite3

_TABLES = (
    f"CREATE TABLE IF NOT EXISTS runs ({COLUMNS}) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS pages (prefix TEXT, start TEXT, digest TEXT, stop TEXT,"
    " versions TEXT, others TEXT, PRIMARY KEY (prefix, start))",
)
_REPLACE = "REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FIND_PAGE = "SELECT digest, stop, versions, others FROM pages WHERE prefix = ? AND start = ?"
# No page has more.
_FIND = "SELECT * FROM runs WHERE mark >= ? AND mark < ? ORDER BY mark LIMIT 10000"
_AFTER_ALL = "\U0010ffff"


@dataclasses.dataclass(frozen=True)
class Said:
    """What a page says.

    Args:
        rows: of ended runs, each with the version of its mark.
        others: all else.
        following: the name that the next page begins with; None after the last.
    """

    rows: Sequence[tuple[str, Row]]
    others: Sequence[Entry]
    following: str | None


class KeptPage:
    """What is kept of one page of a listing.

    Args:
        url: the remote's.
        prefix: where the names begin that are listed.
        start: the first name of the page.
    """

    def __init__(self, url: str, prefix: str, start: str) -> None:
        self._file = f"runs-1-{zlib.crc32(url.encode()):08x}.sqlite3"
        self._prefix = prefix
        self._start = start
        self._rows: dict[str, tuple[str, Row]] = {}
        self._page = ("", prefix + _AFTER_ALL, "", "")
        use_database(self._file, _TABLES, self._load)

    def said(self, digest: str) -> Said | None:
        """What a page of this digest says; None where that is not known."""
        known, stop, versions, others = self._page
        # Another listing may have found other runs there since.
        if known != digest or _digest(version for version, _ in self._rows.values()) != versions:
            return None
        try:
            entries = [Entry(*fields) for fields in json.loads(others)]
        except (ValueError, TypeError):
            return None  # damaged
        return Said([*self._rows.values()], entries, None if stop.endswith(_AFTER_ALL) else stop)

    def row(self, entry: Entry) -> Row | None:
        """The row of a mark, as it was listed."""
        version, row = self._rows.get(entry.name, ("", None))
        return row if version == entry.version else None

    def learn(self, digest: str, said: Said) -> None:
        """Keeps what a page of this digest says."""
        rows = {row.mark: (version, row) for version, row in said.rows}
        stop = said.following or self._prefix + _AFTER_ALL
        gone = [(mark,) for mark in self._rows if mark < stop and mark not in rows]
        changed = [
            to_columns(version, row)
            for mark, (version, row) in rows.items()
            if self._rows.get(mark, ("", None))[0] != version
        ]
        versions = _digest(version for version, _ in said.rows)
        others = json.dumps([dataclasses.astuple(entry) for entry in said.others])
        page = (self._prefix, self._start, digest, stop, versions, others)

        def write(database: sqlite3.Connection) -> None:
            with database:
                database.executemany("DELETE FROM runs WHERE mark = ?", gone)
                database.executemany(_REPLACE, changed)
                # Pages that began within this one are asked for no more.
                database.execute(
                    "DELETE FROM pages WHERE prefix = ? AND start > ? AND start < ?",
                    (self._prefix, self._start, stop),
                )
                database.execute("REPLACE INTO pages VALUES (?, ?, ?, ?, ?, ?)", page)

        use_database(self._file, _TABLES, write)

    def _load(self, database: sqlite3.Connection) -> None:
        page = database.execute(_FIND_PAGE, (self._prefix, self._start)).fetchone() or self._page
        found = database.execute(_FIND, (max(self._prefix, self._start), page[1]))
        rows = {columns[0]: (columns[1], from_columns(columns)) for columns in found}
        self._page, self._rows = page, rows


def _digest(versions: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(versions).encode("utf-8", "surrogatepass")).hexdigest()
