"""Sends on what is kept on this machine because its worker could not send it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping

from savethat.catalog.files import local_folder
from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.errors import NotFoundError, RefusedError
from savethat.launchers.locks import lock
from savethat.remotes import pieces
from savethat.remotes.base import Remote
from savethat.remotes.directory import DirectoryRemote
from savethat.remotes.transfer import upload_tree
from savethat.run.layout import (
    ENDINGS,
    INDEX,
    LAUNCHES,
    LOCKS,
    STARTED,
    MarkName,
    code_name,
    launch_name,
    marks_prefix,
    parse_mark_name,
)
from savethat.run.record import Mark
from savethat.run.status import Status
from savethat.worker.capsule import store_code
from savethat.worker.ledger import Ledger, RemovedError, publish, read_launch, read_mark

# Seconds; no scheduler waits longer between the announcement of a job's end and its kill.
_SETTLED = 600.0


def upload(catalog: Catalog, row: Row) -> int:
    """Sends a run's files from this machine to the remote; returns how many are there now.

    Raises:
        NotFoundError: they are not on this machine.
        RefusedError: another process is sending them.
        StorageError: they could not all be sent.
    """
    folder = local_folder(catalog, row.key)
    if not folder.is_dir():
        raise NotFoundError(
            f"{row.key} is not on this machine: there is no {folder}", "savethat download first"
        )
    if row.key in waiting(catalog):
        sent = send(catalog, row.key)
        # Of a later attempt, what is there is newer than what is here.
        there = catalog.remote.list(f"{row.key}/")
        return len(pieces.whole(there)) if sent is None else sent
    count = upload_tree(catalog.remote, folder, row.key)
    if row.status.finished:
        catalog.remote.prune(f"{row.key}/")
        _complete_mark(catalog, row)
    return count


def waiting(catalog: Catalog) -> list[str]:
    """Keys of the runs that ended and are kept here because they could not be sent."""
    if catalog.remote is catalog.home:
        return []
    found: dict[str, set[MarkName]] = {}
    for entry in catalog.home.list(INDEX):
        if fact := parse_mark_name(entry.name):
            found.setdefault(fact.key, set()).add(fact)
    return sorted(key for key, facts in found.items() if _has_ended(facts))


def lost_here(catalog: Catalog) -> list[Row]:
    """The runs that are lost, and of which all that is known is kept here."""
    if catalog.remote is catalog.home or not _is_anything_open(catalog.home):
        return []
    # What is lost stays so: it need not be known sooner than terminals that watch know it.
    listing = catalog.list(max_age=30.0)
    return [row for row in listing.rows if row.status is Status.LOST and row.at_home]


def send(catalog: Catalog, key: str) -> int | None:
    """Sends a run that waits here: its launch record first, its files, then its marks.

    Returns:
        How many files it has there now; None where it waits no longer: another process sent it, or
        a later attempt took its place.

    Raises:
        RefusedError: another process is sending it, or its worker is still storing it here.
        RemovedError: it was removed, or launched again; what was sent of a removed one is deleted.
        StorageError: it could not be sent whole; sent again, it goes on.
    """
    with _sending(catalog.home, key):
        marks = _marks_here(catalog.home, key)
        if not _has_ended(marks.values()):
            return None
        last = max(marks.values(), key=lambda mark: mark.attempt)
        _require_settled(catalog.home, last, marks)
        return _send(catalog, key, marks, last.launch, last.attempt)


def send_lost(catalog: Catalog, row: Row) -> int | None:
    """Sends what there is of a run that left no ending, as `send` does with one that has ended."""
    with _sending(catalog.home, row.key):
        marks = _marks_here(catalog.home, row.key)
        if not marks and read_launch(catalog.home, row.launch) is None:
            return None
        return _send(catalog, row.key, marks, row.launch, row.attempt)


@contextlib.contextmanager
def _sending(home: DirectoryRemote, key: str) -> Iterator[None]:
    path = home.root / f"{LOCKS}{key}.lock"
    with lock(path, f"another process is sending {key}", timeout=0):
        yield
        # Whoever waits for the lock has nothing to do any more.
        with contextlib.suppress(OSError):
            path.unlink()


def _send(
    catalog: Catalog, key: str, marks: Mapping[str, Mark], launch_id: str, attempt: int
) -> int | None:
    home, remote = catalog.home, catalog.remote
    launches = {
        name: read_launch(home, name) for name in {launch_id, *(m.launch for m in marks.values())}
    }
    count = None
    there = _facts(remote, key).values()
    # A later attempt that has ended is what the run is now.
    if not any(fact.attempt > attempt and fact.mark in ENDINGS for fact in there):
        for name, launch in launches.items():
            # One that is there stays: runs may have been taken out of it.
            if launch is not None and read_launch(remote, name) is None:
                publish(remote, launch, anew=True)
        ledger = Ledger(remote, launch_id)
        ledger.require_wanted(key, attempt)
        count = _send_files(catalog, key, marks)
        try:
            ledger.require_wanted(key, attempt)
            _send_marks(catalog, key, marks)
            ledger.require_wanted(key, attempt)
        except RemovedError:
            _take_back(remote, key, launch_id, marks)
            raise
    home.delete(marks)
    for name, launch in launches.items():
        others = {run.key for run in launch.runs} if launch is not None else set()
        if not _any_here(home, others):
            home.delete([launch_name(name)])
    return count


def _marks_here(home: DirectoryRemote, key: str) -> dict[str, Mark]:
    """A run's marks in the home, by name.

    Raises:
        StorageError: one is not a mark.
    """
    return {name: read_mark(home, name) for name in _facts(home, key)}


def _is_anything_open(home: DirectoryRemote) -> bool:
    """Whether the home knows of runs that have not ended, as far as it knows."""
    launches = any(True for _ in home.list(LAUNCHES))
    return launches or any(entry.name.endswith(f".{STARTED}") for entry in home.list(INDEX))


def _require_settled(home: DirectoryRemote, last: Mark, marks: Collection[str]) -> None:
    """Leaves a run alone whose worker, short of time, wrote its mark first and the files now.

    Raises:
        RefusedError: that may be so.
    """
    if last.left:
        written = [e.modified for e in home.list(marks_prefix(last.key)) if e.name in marks]
        if home.now() - max(written, default=0.0) < _SETTLED:
            raise RefusedError(f"{last.key} is still being stored here", "again in some minutes")


def _facts(remote: Remote, key: str) -> dict[str, MarkName]:
    """What the names of a run's marks say, by name."""
    facts = {entry.name: parse_mark_name(entry.name) for entry in remote.list(marks_prefix(key))}
    return {name: fact for name, fact in facts.items() if fact is not None}


def _has_ended(facts: Collection[MarkName] | Collection[Mark]) -> bool:
    """Whether the latest attempt that left marks has left an ending."""
    latest = max((fact.attempt for fact in facts), default=0)
    return any(fact.attempt == latest and fact.mark in ENDINGS for fact in facts)


def _send_files(catalog: Catalog, key: str, marks: Mapping[str, Mark]) -> int:
    """Makes the remote's files of a run those that are here; how many there are."""
    remote = catalog.remote
    count = upload_tree(remote, local_folder(catalog, key), key)
    here = _files_here(catalog, key)
    last = max(marks.values(), key=lambda mark: mark.attempt, default=None)
    # What an earlier attempt left there and this one did not write is not the run's any more. Where
    # not all of the run is here, what is there may be the rest of it.
    if last and last.mark in ENDINGS and not last.left and len(here) >= last.files:
        there = [entry.name for entry in remote.list(f"{key}/")]
        remote.delete([name for name in there if name.removeprefix(f"{key}/") not in here])
    remote.prune(f"{key}/")
    for code in {mark.code for mark in marks.values() if mark.code}:
        if (catalog.home.root / code_name(code)).is_file():
            store_code(remote, catalog.home, code)
    return count


def _send_marks(catalog: Catalog, key: str, marks: Mapping[str, Mark]) -> None:
    """Writes the endings among a run's marks, then deletes what other marks are there.

    Of a run without an ending its beginning goes, and no heartbeat with it: nobody lives there.
    """
    here = _files_here(catalog, key)
    chosen = {name: mark for name, mark in marks.items() if mark.mark in ENDINGS} or {
        name: dataclasses.replace(mark, heartbeat=0.0) for name, mark in marks.items()
    }
    for name, mark in chosen.items():
        _write_mark(catalog.remote, name, _without(mark, here))
    stale = [entry.name for entry in catalog.remote.list(marks_prefix(key))] if chosen else []
    catalog.remote.delete([name for name in stale if name not in chosen])


def _take_back(remote: Remote, key: str, launch_id: str, marks: Mapping[str, Mark]) -> None:
    """Deletes what was sent of a run that was removed; what a later attempt goes on from stays."""
    remote.delete(marks)
    launch = read_launch(remote, launch_id)
    if launch is None or all(run.key != key for run in launch.runs):
        remote.delete_prefix(f"{key}/")


def _any_here(home: DirectoryRemote, keys: Collection[str]) -> bool:
    """Whether any of these runs has a mark in the home."""
    facts = (parse_mark_name(entry.name) for entry in home.list(INDEX))
    return any(fact is not None and fact.key in keys for fact in facts)


def _complete_mark(catalog: Catalog, row: Row) -> None:
    """Takes the files that are here out of what a run's ending mark says is left elsewhere."""
    if not row.mark:
        return
    mark = read_mark(catalog.remote, row.mark)
    complete = _without(mark, _files_here(catalog, row.key))
    if complete != mark:
        _write_mark(catalog.remote, row.mark, complete)


def _without(mark: Mark, here: Collection[str]) -> Mark:
    """The mark, when these files are where it is."""
    left = tuple(name for name in mark.left if name not in here)
    return dataclasses.replace(mark, left=left, kept=mark.kept if left else "")


def _write_mark(remote: Remote, name: str, mark: Mark) -> None:
    remote.replace(name, json.dumps(mark.to_json()).encode(), info=mark.to_info())


def _files_here(catalog: Catalog, key: str) -> set[str]:
    return {name for name, _ in pieces.sendable(local_folder(catalog, key))[0]}
