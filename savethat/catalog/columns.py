"""Rows of ended runs as columns of a table, for files that hold many of them."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from savethat import cache
from savethat.catalog.row import Row
from savethat.errors import StorageError
from savethat.run.record import Place
from savethat.run.status import Status

# In the order of `to_columns`; the first tells rows apart.
COLUMNS = (
    "mark TEXT PRIMARY KEY, version TEXT, node TEXT, reason TEXT, submitted TEXT, started TEXT,"
    " finished TEXT, launch TEXT, place TEXT, files INTEGER, bytes INTEGER, args TEXT, result TEXT,"
    " rest TEXT"
)
# What few runs have another value of than the row's default.
_RARE = ("attempt", "position", "array_size", "sweep", "kept", "dropped", "code", "at_home")
_RARE_LISTS = ("tags", "left", "cut")
_STATUSES = {status.value: status for status in Status}
_TIME = datetime.fromisoformat


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


def to_columns(version: str, row: Row) -> tuple[Any, ...]:
    """A row, taken apart.

    Args:
        version: of its mark.
        row: of an ended run.
    """
    rare = {name: getattr(row, name) for name in _RARE}
    rare = {name: value for name, value in rare.items() if value != getattr(Row, name)}
    lists = {name: list(getattr(row, name)) for name in _RARE_LISTS if getattr(row, name)}
    known = row.__dict__
    return (
        row.mark,
        version,
        _stored(row.node),
        _stored(row.reason),
        *(
            time and time.isoformat()
            for time in (row.submitted_at, row.started_at, row.finished_at)
        ),
        row.launch,
        _place(row.place),
        row.files,
        row.bytes,
        known["kept_args"] if "kept_args" in known else json.dumps(row.args),
        known["kept_result"] if "kept_result" in known else json.dumps(row.result),
        json.dumps({**rare, **lists}) if rare or lists else "",
    )


def _stored(text: str) -> str | bytes:
    """A text that others may have written: what UTF-8 cannot say, SQLite takes as bytes only."""
    return text if text.isprintable() else text.encode("utf-8", "surrogatepass")


def _restored(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogatepass")


@functools.lru_cache
def _place(place: Place) -> str:
    return json.dumps(dataclasses.asdict(place))


@functools.lru_cache
def _place_of(text: str) -> Place:
    return Place(**json.loads(text))


def from_columns(columns: Sequence[Any]) -> Row:
    """A row as `to_columns` took it apart; most of it is what SQLite gives, as there are many.

    Raises:
        ValueError, TypeError, KeyError: they are not such columns.
    """
    mark, _, node, reason, submitted, started, finished, launch, place, files, size = columns[:11]
    name, _, status = mark.rsplit(".", 2)
    row = KeptRow.__new__(KeptRow)
    fields = row.__dict__
    fields.update(
        {
            "key": name.rpartition("/")[2],
            "node": node if type(node) is str else _restored(node),
            "status": _STATUSES[status],
            "reason": reason if type(reason) is str else _restored(reason),
            "submitted_at": _TIME(submitted) if submitted else None,
            "started_at": _TIME(started) if started else None,
            "finished_at": _TIME(finished) if finished else None,
            "launch": launch,
            "place": _place_of(place),
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
        fields.update(rest)
        fields.update({name: tuple(rest[name]) for name in _RARE_LISTS if name in rest})
        fields["synced"] = "left" not in rest and "at_home" not in rest
    return row
