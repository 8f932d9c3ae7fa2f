"""Removes runs: their files first, their index last, every version; then looks again."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import shutil
from collections.abc import Iterable, Sequence

from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.errors import RefusedError, SavethatError
from savethat.remotes.base import Remote
from savethat.remotes.directory import DirectoryRemote
from savethat.run.key import stem_of
from savethat.run.layout import (
    CODE,
    code_name,
    launch_folder,
    launch_name,
    launches_prefix,
    marks_prefix,
    parse_launch_name,
)
from savethat.worker.ledger import publish, read_launch

PARALLEL = 8
# Seconds; longer than a launch takes, and than it is remembered that a capsule is stored.
CODE_AGE = 86_400.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a removal would do.

    Args:
        rows: to be removed.
        skipped: met by the selection, and left alone, each with why.
        files: objects of these runs.
        bytes: their size.
    """

    rows: list[Row]
    skipped: list[tuple[Row, str]]
    files: int
    bytes: int


@dataclasses.dataclass
class Removed:
    """What a removal did: runs, versions and bytes that are gone, and what is left, with why."""

    runs: int = 0
    versions: int = 0
    bytes: int = 0
    left: list[tuple[str, str]] = dataclasses.field(default_factory=list)


def plan(catalog: Catalog, rows: Sequence[Row], *, named: bool) -> Plan:
    """Finds out what removing these runs means.

    Args:
        catalog: the project's.
        rows: as selected.
        named: whether each was named by its key: then one that must not go refuses the whole.

    Raises:
        RefusedError: a run that was named is not finished for certain.
    """
    going, skipped = [], []
    for row in rows:
        if row.status.finished:
            going.append(row)
        else:
            skipped.append((row, f"is {row.status.value}"))
    if named and skipped:
        row, why = skipped[0]
        raise RefusedError(
            f"{row.key} {why}: it is not removed" + (f" ({row.reason})" if row.reason else ""),
            f"savethat rm --cancel {row.key}, or wait until it has ended",
        )
    files = total = 0
    for row in going:
        if row.files is None or row.bytes is None:
            there = catalog.remote.left(f"{row.key}/")
            files, total = files + there.versions, total + there.bytes
        else:
            files, total = files + row.files, total + row.bytes
    return Plan(going, skipped, files, total)


def remove(catalog: Catalog, rows: Sequence[Row]) -> Removed:
    """Removes finished runs, everywhere: the remote, the home, and what their launch left here."""
    done = Removed()
    remotes = [catalog.remote] if catalog.remote is catalog.home else [catalog.remote, catalog.home]
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        futures = [(row, pool.submit(_remove_one, remotes, row)) for row in rows]
        gone = []
        for row, future in futures:
            try:
                versions, size = future.result()
            except SavethatError as error:
                done.left.append((row.key, error.message))
            else:
                gone.append(row)
                done.versions += versions
                done.bytes += size
    for row, why in _strike(remotes, gone):
        done.left.append((row.key, why))
    kept = {key for key, _ in done.left}
    for row in gone:
        again = [remote.left(prefix) for remote in remotes for prefix in _prefixes(row.key)]
        if any(left.versions for left in again):
            done.left.append((row.key, "something was written while it was removed"))
        elif row.key not in kept:
            done.runs += 1
    for remote in remotes:
        _remove_unused_code(catalog, remote)
    return done


def _remove_unused_code(catalog: Catalog, remote: Remote) -> None:
    """Removes the capsules that no run refers to any more.

    A younger one may be a launch's whose record is just being written. What cannot be listed stays:
    the next removal looks again.
    """
    with contextlib.suppress(SavethatError):
        old = remote.now() - CODE_AGE
        capsules = [entry.name for entry in remote.list(CODE) if entry.modified < old]
        if not capsules:
            return
        listing = catalog.list()
        if listing.complete and not listing.warnings:
            used = {code_name(row.code) for row in listing.rows if row.code}
            remote.delete(name for name in capsules if name not in used)


def remove_local(home: DirectoryRemote, rows: Sequence[Row], *, only_copy: bool) -> Removed:
    """Deletes the copies under `local_path`, and nothing that is not known to be in storage.

    Args:
        home: the folder.
        rows: as selected.
        only_copy: whether the folder is the project's storage, so that every copy is the only one.

    Raises:
        RefusedError: a run's copy here is the only one.
    """
    here = [row for row in rows if (home.root / row.key).is_dir()]
    for row in here:
        if only_copy or row.synced is not True:
            raise RefusedError(
                f"the copy of {row.key} here is the only one known", "savethat sync, then again"
            )
    done = Removed()
    for row in here:
        left = home.left(f"{row.key}/")
        home.delete_prefix(f"{row.key}/")
        shutil.rmtree((home.root / row.key), ignore_errors=True)
        done.runs += 1
        done.versions += left.versions
        done.bytes += left.bytes
    return done


def _prefixes(key: str) -> tuple[str, ...]:
    return f"{key}/", marks_prefix(key)


def _remove_one(remotes: Sequence[Remote], row: Row) -> tuple[int, int]:
    versions = size = 0
    for prefix in _prefixes(row.key):
        for remote in remotes:
            deleted = remote.delete_prefix(prefix)
            # Marks and log lines are ours; what the user counts is files.
            if prefix == f"{row.key}/":
                versions += deleted.versions
                size += deleted.bytes
    return versions, size


def _strike(remotes: Sequence[Remote], rows: Sequence[Row]) -> list[tuple[Row, str]]:
    """Takes runs out of their launch records; a record without runs goes."""
    left: list[tuple[Row, str]] = []
    for remote in remotes:
        by_launch: dict[str, list[Row]] = {}
        for row in rows:
            for launch_id in _launches(remote, row):
                by_launch.setdefault(launch_id, []).append(row)
        for launch_id, members in by_launch.items():
            try:
                _strike_from(remote, launch_id, {row.key for row in members})
            except (SavethatError, ValueError) as error:
                left += [(row, f"its launch record: {error}") for row in members]
    return left


def _launches(remote: Remote, row: Row) -> Iterable[str]:
    """The launches whose records may name a run: one for each of its attempts."""
    stem = stem_of(row.key)
    if row.attempt == 1:
        return {row.launch, stem}
    names = (parse_launch_name(entry.name) for entry in remote.list(launches_prefix(stem)))
    return {row.launch, stem, *filter(None, names)}


def _strike_from(remote: Remote, launch_id: str, keys: set[str]) -> None:
    launch = read_launch(remote, launch_id)
    if launch is None:
        return
    stay = tuple(run for run in launch.runs if run.key not in keys)
    if stay:
        if len(stay) < len(launch.runs):
            publish(remote, dataclasses.replace(launch, runs=stay), anew=True)
        return
    remote.delete([launch_name(launch_id)])
    # Orders and job output never leave the shared file system.
    if isinstance(remote, DirectoryRemote):
        remote.delete_prefix(f"{launch_folder(launch_id)}/")
