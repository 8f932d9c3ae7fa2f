"""Takes removed runs out of their launch records; a record without runs goes, and its order."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Sequence

from savethat.catalog.row import Row
from savethat.errors import SavethatError
from savethat.remotes.base import Remote, whole
from savethat.remotes.directory import DirectoryRemote
from savethat.run.key import stem_of
from savethat.run.layout import (
    LAUNCHES,
    launch_folder,
    launch_name,
    launches_prefix,
    parse_launch_name,
)
from savethat.worker.ledger import publish, read_launch

_PARALLEL = 8


def strike(remotes: Sequence[Remote], home: DirectoryRemote, rows: Sequence[Row]) -> dict[str, str]:
    """Takes runs out of their launch records, wherever there are any.

    Args:
        remotes: all that may have records.
        home: where orders and what jobs print lie; they never leave the shared file system.
        rows: the runs.

    Returns:
        Keys of runs that may still be in one, each with why.
    """
    by_stem: dict[str, list[Row]] = {}
    for row in rows:
        by_stem.setdefault(stem_of(row.key), []).append(row)
    # The records of a run that was launched alone name nothing else: they need not be read.
    alone = [row for row in rows if row.key in by_stem and len(by_stem[row.key]) == 1]
    left = _delete_own(remotes, home, alone)
    for row in alone:
        del by_stem[row.key]

    def strike_shared(stem: str) -> dict[str, str]:
        return _strike_shared(remotes, home, stem, by_stem[stem])

    with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as pool:
        for failed in pool.map(strike_shared, by_stem):
            left |= failed
    return left


def _delete_own(
    remotes: Sequence[Remote], home: DirectoryRemote, rows: Sequence[Row]
) -> dict[str, str]:
    """Deletes the records of runs that were launched alone, then the orders of those launches."""
    records, folders = {}, {}
    for row in rows:
        launches = {row.key, row.launch}
        records[row.key] = [launch_name(launch) for launch in launches]
        folders[row.key] = [f"{launch_folder(launch)}/" for launch in launches]
        if row.attempt > 1:  # of each attempt
            records[row.key] = [f"{LAUNCHES}{row.key}."]
            folders[row.key] = [f"{launch_folder(row.key)}{end}" for end in "/."]
    left: dict[str, str] = {}
    for remote, prefixes in [*((remote, records) for remote in remotes), (home, folders)]:
        wanted = {key: prefixes[key] for key in prefixes if key not in left}
        deleted = remote.delete_below([name for names in wanted.values() for name in names])
        for key, names in wanted.items():
            for name in names:
                if failure := deleted[name].failure:
                    left[key] = _why(failure)
    return left


def _strike_shared(
    remotes: Sequence[Remote], home: DirectoryRemote, stem: str, rows: Sequence[Row]
) -> dict[str, str]:
    """Strikes runs that were launched together out of their records."""
    left: dict[str, str] = {}
    launches: set[str] = set()
    needed: set[str] = set()
    for remote in remotes:
        try:
            members = _launches(remote, stem, rows)
        except SavethatError as error:
            return {row.key: _why(error) for row in rows}
        for launch, keys in members.items():
            launches.add(launch)
            try:
                if not _strike_from(remote, launch, keys):
                    needed.add(launch)
            except SavethatError as error:
                needed.add(launch)
                left |= dict.fromkeys(keys, _why(error))
    try:
        folders = [f"{launch_folder(launch)}/" for launch in launches - needed]
        whole(home.delete_below(folders).values())
    except SavethatError as error:
        left |= {row.key: _why(error) for row in rows}
    return left


def _launches(remote: Remote, stem: str, rows: Sequence[Row]) -> dict[str, set[str]]:
    """The launches whose records may name runs, each with those: one for each attempt."""
    launches: dict[str, set[str]] = {}
    for row in rows:
        for launch in (row.launch, stem):
            launches.setdefault(launch, set()).add(row.key)
    if later := {row.key for row in rows if row.attempt > 1}:
        for entry in remote.list(launches_prefix(stem)):
            name = parse_launch_name(entry.name)
            if name is not None:
                launches.setdefault(name, set()).update(later)
    return launches


def _strike_from(remote: Remote, launch_id: str, keys: set[str]) -> bool:
    """Strikes runs out of a record; whether there is none any more."""
    launch = read_launch(remote, launch_id)
    if launch is None:
        return True
    stay = tuple(run for run in launch.runs if run.key not in keys)
    if not stay:
        remote.delete([launch_name(launch_id)])
    elif len(stay) < len(launch.runs):
        publish(remote, dataclasses.replace(launch, runs=stay), anew=True)
    return not stay


def _why(error: SavethatError) -> str:
    return f"its launch record: {error.message}"
