"""Launch records that were read of a bucket, kept on this machine: each costs a call to read.

A record is known by what the listing says of it, so that one that was rewritten is read anew. They
lie in an SQLite file in the user's cache folder. Losing it costs time only, and nothing here
raises: what cannot be read is not known, what cannot be written is not kept.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from savethat.cache import folder
from savethat.remotes.base import Entry

if TYPE_CHECKING:
    import sqlite3

# Counted up with the table: what another version wrote is left alone.
_FILE = "launches-1.sqlite3"
# The most bytes of records that are kept; the latest ones are.
_MOST = 64 * 1024 * 1024
# Seconds to wait for another process: it is about as long as it takes to ask for the records.
_PATIENCE = 0.2
_TABLE = """
CREATE TABLE IF NOT EXISTS records (
    place TEXT, name TEXT, version TEXT, size INTEGER, content BLOB, PRIMARY KEY (place, name)
)
"""
_TRIM = """
DELETE FROM records WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, SUM(size) OVER (ORDER BY rowid DESC) AS after FROM records)
    WHERE after > ?
)
"""


def recall(place: str, entries: Sequence[Entry]) -> dict[str, bytes]:
    """The contents of those records that are known, by name.

    Args:
        place: the remote's URL.
        entries: the records, as they were listed.
    """
    query = "SELECT content FROM records WHERE place = ? AND name = ? AND version = ?"
    found: dict[str, bytes] = {}

    def look_up(database: sqlite3.Connection) -> None:
        for entry in entries:
            row = database.execute(query, (place, entry.name, _version(entry))).fetchone()
            if row is not None and isinstance(row[0], bytes):
                found[entry.name] = row[0]

    _use(look_up)
    return found


def keep(place: str, records: Sequence[tuple[Entry, bytes]]) -> None:
    """Keeps records that were read; those without a SHA-1 cannot be told from later ones."""
    rows = [
        (place, entry.name, _version(entry), len(content), content)
        for entry, content in records
        if entry.sha1
    ]

    def write(database: sqlite3.Connection) -> None:
        with database:
            database.executemany("REPLACE INTO records VALUES (?, ?, ?, ?, ?)", rows)
            database.execute(_TRIM, (_MOST,))

    if rows:
        _use(write)


def _version(entry: Entry) -> str:
    return f"{entry.size} {entry.modified} {entry.sha1}"


def _use(work: Callable[[sqlite3.Connection], None]) -> None:
    """Works with the file, as far as that goes; a damaged one is dropped."""
    import sqlite3  # 10 ms, which most commands do not need

    path = folder() / _FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with contextlib.closing(sqlite3.connect(path, timeout=_PATIENCE)) as database:
            database.execute(_TABLE)
            work(database)
    except (OSError, sqlite3.OperationalError):
        return  # no place, no space, or locked: it may be good yet
    except sqlite3.DatabaseError:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
