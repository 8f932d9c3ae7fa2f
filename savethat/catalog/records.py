"""Launch records that were read of a bucket, kept on this machine: each costs a call to read.

A record is known by what the listing says of it, so that one that was rewritten is read anew. They
lie in an SQLite file in the user's cache folder. Losing it costs time only, and nothing here
raises: what cannot be read is not known, what cannot be written is not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from savethat.cache import use_database
from savethat.remotes.base import Entry

if TYPE_CHECKING:
    import sqlite3

# Counted up with the table: what another version wrote is left alone.
_FILE = "launches-1.sqlite3"
# The most bytes of records that are kept; the latest ones are.
_MOST = 64 * 1024 * 1024
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

    use_database(_FILE, (_TABLE,), look_up)
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
        use_database(_FILE, (_TABLE,), write)


def _version(entry: Entry) -> str:
    return f"{entry.size} {entry.modified} {entry.sha1}"
