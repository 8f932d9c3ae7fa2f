"""Drops files of finished runs on purpose: the runs stay in `ls`, with a record of what went.

The order is `record of what goes → files → mark`. Cut short anywhere, what is gone is in the
record, and the same again finishes it.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

from savethat.catalog.listing import Catalog
from savethat.catalog.pruning import is_kept
from savethat.catalog.row import Row
from savethat.errors import MissingError, RefusedError, SavethatError
from savethat.remotes import pieces
from savethat.remotes.base import Entry, Remote
from savethat.run.layout import DROPPED_FILE, ENDINGS, parse_mark_name
from savethat.run.record import format_time
from savethat.untrusted import JSON_LIMIT, read_json
from savethat.worker.ledger import Ledger, RemovedError, SupersededError, read_mark

_FORMAT = 1
_PARALLEL = 8


@dataclasses.dataclass(frozen=True)
class Drop:
    """What is to go of one run.

    Args:
        row: the run.
        files: these, named relative to its folder; none where only the mark is to be put right,
            because an earlier drop was cut short.
    """

    row: Row
    files: tuple[Entry, ...]

    @property
    def bytes(self) -> int:
        """The size of the files."""
        return sum(file.size for file in self.files)


@dataclasses.dataclass
class Dropped:
    """What was dropped: runs, files and bytes; and what is left, with why."""

    runs: int = 0
    files: int = 0
    bytes: int = 0
    left: list[tuple[str, str]] = dataclasses.field(default_factory=list)


def plan(
    catalog: Catalog, rows: Sequence[Row], keep: Sequence[str]
) -> tuple[list[Drop], list[tuple[Row, str]]]:
    """What would go of each run, and the runs that cannot be touched, each with why.

    Lists the files of each run.

    Args:
        catalog: the project's.
        rows: finished runs that are in storage.
        keep: patterns of the names that stay.

    Raises:
        StorageError: storage could not be listed.
    """
    fit, skipped = [], []
    for row in rows:
        fact = parse_mark_name(row.mark)
        if fact is not None and fact.mark in ENDINGS:
            fit.append(row)
        else:
            # To write its mark anew would be a sign of life.
            skipped.append((row, "left no ending: it can only be removed whole"))
    with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as pool:
        files = pool.map(lambda row: list(catalog.files(row)), fit)
        drops = [_drop(row, found, keep) for row, found in zip(fit, files, strict=True)]
    return [drop for drop in drops if drop is not None], skipped


def drop(catalog: Catalog, drops: Iterable[Drop], *, by: str) -> Dropped:
    """Drops files, in storage and of the copies here.

    Args:
        catalog: the project's.
        drops: as planned.
        by: who, for the record.
    """
    done = Dropped()
    with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as pool:
        futures = [(each, pool.submit(_drop_files, catalog, each, by)) for each in drops]
        for each, future in futures:
            try:
                future.result()
            except SavethatError as error:
                done.left.append((each.row.key, error.message))
            else:
                done.runs += 1
                done.files += len(each.files)
                done.bytes += each.bytes
    return done


def _drop(row: Row, files: Sequence[Entry], keep: Sequence[str]) -> Drop | None:
    """What is to be done about a run; None where there is nothing."""
    going = tuple(file for file in files if not is_kept(file.name, (*keep, DROPPED_FILE)))
    recorded = any(file.name == DROPPED_FILE for file in files)
    told = (row.files, row.bytes) == _counted(files)
    return Drop(row, going) if going or (recorded and not told) else None


def _drop_files(catalog: Catalog, drop: Drop, by: str) -> None:
    key, remote = drop.row.key, catalog.remote
    ledger = Ledger(remote, drop.row.launch)
    # It may have been removed, or have gone on, since it was listed.
    ledger.require_wanted(key, drop.row.attempt)
    name = f"{key}/{DROPPED_FILE}"
    gone = _record(catalog, drop, by) if drop.files else _recorded(remote, name)
    names = {file.name for file in drop.files}
    for place in catalog.remotes:
        place.delete(_objects(place, key, names))
    mark = read_mark(remote, drop.row.mark)
    files, size = _counted(catalog.files(drop.row))
    mark = dataclasses.replace(mark, files=files, bytes=size, dropped=len(gone))
    remote.replace(drop.row.mark, json.dumps(mark.to_json()).encode(), info=mark.to_info())
    try:
        ledger.require_wanted(key, drop.row.attempt)
    except RemovedError as error:
        # What was removed meanwhile must not come back; a later attempt has the record yet.
        remote.delete([drop.row.mark])
        if not isinstance(error, SupersededError):
            remote.delete([name])
        raise


def _counted(files: Iterable[Entry]) -> tuple[int, int]:
    sizes = [file.size for file in files]
    return len(sizes), sum(sizes)


def _objects(remote: Remote, key: str, names: set[str]) -> list[str]:
    """The objects that make up these files of a run, as far as they are there."""
    found = []
    for entry in remote.list(f"{key}/"):
        name = entry.name.removeprefix(f"{key}/")
        if name in names or pieces.file_of(name) in names:
            found.append(entry.name)
    return found


def _record(catalog: Catalog, drop: Drop, by: str) -> dict[str, Any]:
    """Writes down what is about to go, beside what went before; in the copy here, too.

    Returns:
        All that the record says now, by name.

    Raises:
        RefusedError: a file of that name is the node's own.
        StorageError: it could not be written.
    """
    name = f"{drop.row.key}/{DROPPED_FILE}"
    gone = _recorded(catalog.remote, name)
    now = format_time(datetime.now(timezone.utc))
    gone |= {
        file.name: {
            "name": file.name,
            "bytes": file.size,
            "sha1": file.sha1,
            "dropped_at": now,
            "dropped_by": by,
        }
        for file in drop.files
    }
    record = {"format": _FORMAT, "files": [*gone.values()]}
    content = json.dumps(record, indent=1).encode()
    catalog.remote.replace(name, content)
    if catalog.home is not catalog.remote and (catalog.home.root / drop.row.key).is_dir():
        catalog.home.replace(name, content)
    return gone


def _recorded(remote: Remote, name: str) -> dict[str, Any]:
    """What was dropped before, by name."""
    try:
        record = read_json(remote.read(name, limit=JSON_LIMIT))
        if record["format"] != _FORMAT:
            raise ValueError("of another format")
        return {file["name"]: file for file in record["files"]}
    except MissingError:
        return {}
    except (ValueError, TypeError, KeyError) as error:
        raise RefusedError(f"its {DROPPED_FILE} is not savethat's") from error
