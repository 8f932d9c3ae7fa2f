"""Removes runs: their files first, their index last, every version; then looks again."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Sequence

from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.catalog.striking import strike
from savethat.errors import RefusedError, SavethatError
from savethat.remotes.base import Deleted, Remote, whole
from savethat.remotes.directory import DirectoryRemote
from savethat.run.layout import CODE, code_name, marks_prefix

# Runs that go at a time.
_BATCH = 1_000
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
    known, unknown = [], []
    for row in going:
        if row.files is None or row.bytes is None:
            unknown.append(_files_of(row))
        else:
            known.append(Deleted(row.files, row.bytes))
    there = whole([*known, *catalog.remote.left_below(unknown).values()])
    return Plan(going, skipped, there.versions, there.bytes)


def remove(catalog: Catalog, rows: Sequence[Row]) -> Removed:
    """Removes finished runs, everywhere: the remote, the home, and what their launch left here.

    Of each run its files go first, then its marks, then its entry in its launch's record. Runs go
    by the thousand, so that one cut short leaves few of them half removed.
    """
    done = Removed()
    remotes = catalog.remotes
    # By key: what lies side by side is listed together.
    rows = sorted(rows, key=lambda row: row.key)
    gone: list[Row] = []
    for first in range(0, len(rows), _BATCH):
        batch = rows[first : first + _BATCH]
        batch = _delete(remotes, batch, _files_of, done, counted=True)
        # Marks and log lines are ours; what the user counts is files.
        batch = _delete(remotes, batch, _marks_of, done, counted=False)
        left = strike(remotes, catalog.home, batch)
        done.left += left.items()
        gone += batch
    _look_again(remotes, gone, done)
    for remote in remotes:
        _remove_unused_code(catalog, remote)
    return done


def _delete(
    remotes: Sequence[Remote],
    rows: Sequence[Row],
    prefix_of: Callable[[Row], str],
    done: Removed,
    *,
    counted: bool,
) -> list[Row]:
    """Deletes what lies below a prefix of each run; the runs of which nothing is left there."""
    for remote in remotes:
        deleted = remote.delete_below([prefix_of(row) for row in rows])
        gone = []
        for row in rows:
            each = deleted[prefix_of(row)]
            if counted:
                done.versions += each.versions
                done.bytes += each.bytes
            if each.failure:
                done.left.append((row.key, each.failure.message))
            else:
                gone.append(row)
        rows = gone
    return list(rows)


def _look_again(remotes: Sequence[Remote], rows: Sequence[Row], done: Removed) -> None:
    """Looks whether anything is left of runs: counts those that are gone, notes the others."""
    left: dict[str, str] = {}
    for remote in remotes:
        there = remote.left_below(
            [prefix(row) for row in rows for prefix in (_files_of, _marks_of)]
        )
        for row in rows:
            for each in (there[_files_of(row)], there[_marks_of(row)]):
                if each.failure:
                    left[row.key] = f"it is not known whether all went: {each.failure.message}"
                elif each.versions:
                    left[row.key] = "something was written while it was removed"
    done.left += left.items()
    kept = {key for key, _ in done.left}
    done.runs += sum(row.key not in kept for row in rows)


def _files_of(row: Row) -> str:
    return f"{row.key}/"


def _marks_of(row: Row) -> str:
    return marks_prefix(row.key)


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
