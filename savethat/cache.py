"""What is remembered between two commands, in the user's cache folder; losing it costs time only.

Nothing here raises: what cannot be read is not there, what cannot be written is not kept.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from savethat.untrusted import JSON_LIMIT, read_json

if TYPE_CHECKING:
    import sqlite3

# The latest facts of a kind that are kept.
_MOST = 10_000
# Seconds to wait for another process that writes: what is kept is found out anew in about as long.
_PATIENCE = 0.2
_T = TypeVar("_T")


def folder() -> Path:
    """The user's cache folder."""
    if sys.platform == "darwin":
        import platformdirs

        return platformdirs.user_cache_path("savethat")
    # What platformdirs says, which takes 5 ms to import.
    base = os.environ.get("XDG_CACHE_HOME", "").strip()
    return Path(base or os.path.expanduser("~/.cache")) / "savethat"  # noqa: PTH111 # may be no home


def read(name: str) -> Any:
    """The JSON value kept under a name; None where there is none."""
    try:
        return read_json(read_bytes(name) or b"")
    except ValueError:
        return None


def write(name: str, content: object) -> None:
    """Keeps a JSON value under a name."""
    import json

    write_bytes(name, json.dumps(content).encode())


def read_bytes(name: str, *, limit: int = JSON_LIMIT) -> bytes | None:
    """What is kept under a name; None where there is nothing, or more than the limit."""
    with contextlib.suppress(OSError), (folder() / name).open("rb") as file:
        content = file.read(limit + 1)
        return content if len(content) <= limit else None
    return None


def write_bytes(name: str, content: bytes) -> None:
    """Keeps bytes under a name; written aside and renamed, readable by the user only."""
    import tempfile  # 5 ms, which reading does not need

    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=folder(), prefix=f".{name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(aside).replace(folder() / name)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise


def use_database(
    name: str, tables: Iterable[str], work: Callable[[sqlite3.Connection], _T]
) -> _T | None:
    """Works with an SQLite file, as far as that goes; None where it does not. A damaged one goes.

    Args:
        name: the file's.
        tables: statements that make what is not there yet.
        work: is given the file, opened; what it finds damaged is a ValueError or the like.
    """
    import sqlite3  # 10 ms, which most commands do not need

    path = folder() / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with contextlib.closing(sqlite3.connect(path, timeout=_PATIENCE)) as database:
            # Losing it to a machine that goes down is no loss.
            database.execute("PRAGMA synchronous = OFF")
            for table in tables:
                database.execute(table)
            return work(database)
    except (OSError, sqlite3.OperationalError):
        return None  # no place, no space, or locked: it may be good yet
    except (sqlite3.DatabaseError, ValueError, TypeError, KeyError, AttributeError):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return None


def is_known(kind: str, fact: str, *, max_age: float) -> bool:
    """Whether a fact of a kind was noted in the last so many seconds."""
    noted = _facts(kind).get(fact)
    return isinstance(noted, float) and 0 <= time.time() - noted <= max_age


def note(kind: str, fact: str) -> None:
    """Remembers that a fact of a kind holds now; the latest ones are kept."""
    facts = {**_facts(kind), fact: time.time()}
    write(f"{kind}.json", dict(list(facts.items())[-_MOST:]))


def _facts(kind: str) -> dict[str, Any]:
    facts = read(f"{kind}.json")
    return facts if isinstance(facts, dict) else {}
