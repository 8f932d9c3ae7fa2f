"""Moves runs' files: from the remote to `local_path`, and what waits there to the remote."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Sequence
from pathlib import Path

from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.errors import MissingError, NotFoundError
from savethat.remotes.transfer import download_tree, upload_tree
from savethat.remotes.walk import storable
from savethat.run.layout import (
    ENDINGS,
    HIDDEN,
    code_name,
    launch_name,
    marks_prefix,
    parse_mark_name,
)
from savethat.run.record import Mark
from savethat.worker.capsule import store_code
from savethat.worker.ledger import publish, read_launch


def local_folder(catalog: Catalog, key: str) -> Path:
    """Where a run's files lie on this machine, if they do."""
    return catalog.home.root / key


def download(catalog: Catalog, row: Row, only: Sequence[str] = ()) -> Path:
    """Brings a run's files here; what is here already is not fetched again.

    Args:
        catalog: the project's.
        row: the run.
        only: patterns of names (`*.csv`), relative to the run's folder; all files where empty.

    Returns:
        The run's folder on this machine.

    Raises:
        NotFoundError: the run has no such files.
        StorageError: they could not all be fetched.
    """
    folder = local_folder(catalog, row.key)
    if _is_here(catalog, row):
        return folder

    def wanted(name: str) -> bool:
        return not only or any(fnmatch.fnmatch(name, pattern) for pattern in only)

    fetched = download_tree(catalog.remote, f"{row.key}/", folder, select=wanted)
    if not fetched:
        what = f"no file that matches {' or '.join(only)}" if only else "no files"
        raise NotFoundError(f"{row.key} has {what} in {catalog.remote.url}", "savethat ls --files")
    return folder


def fetch_file(catalog: Catalog, row: Row, name: str) -> Path:
    """Brings one file of a run here; returns where it is.

    Raises:
        MissingError: the run has no such file.
    """
    path = local_folder(catalog, row.key) / name
    if _is_here(catalog, row) or (row.status.finished and path.is_file()):
        if not path.is_file():
            raise MissingError(f"{row.key} has no file {name}", "savethat ls --files")
        return path
    catalog.remote.fetch(f"{row.key}/{name}", path)
    return path


def upload(catalog: Catalog, row: Row) -> int:
    """Sends a run's files from this machine to the remote; returns how many are there now.

    Raises:
        NotFoundError: they are not on this machine.
        StorageError: they could not all be sent.
    """
    folder = local_folder(catalog, row.key)
    if not folder.is_dir():
        raise NotFoundError(
            f"{row.key} is not on this machine: there is no {folder}", "savethat download first"
        )
    count = upload_tree(catalog.remote, folder, row.key)
    send_marks(catalog, row.key)
    return count


def waiting(catalog: Catalog) -> list[str]:
    """Keys of the runs that ended and are kept here because they could not be sent."""
    if catalog.remote is catalog.home:
        return []
    facts = [parse_mark_name(entry.name) for entry in catalog.home.list(f"{HIDDEN}/index/")]
    return sorted({fact.key for fact in facts if fact is not None and fact.mark in ENDINGS})


def send(catalog: Catalog, key: str) -> int:
    """Sends a run that waits here, then its marks; returns how many files it has there now."""
    folder = local_folder(catalog, key)
    count = upload_tree(catalog.remote, folder, key)
    # What an earlier attempt left there and this one did not write is not the run's any more.
    here = {f"{key}/{name}" for name, _ in storable(folder)[0]}
    there = [entry.name for entry in catalog.remote.list(f"{key}/")]
    catalog.remote.delete(name for name in there if name not in here)
    send_marks(catalog, key)
    return count


def send_marks(catalog: Catalog, key: str) -> None:
    """Moves a run's launch record and marks from this machine to the remote, in that order."""
    home, remote = catalog.home, catalog.remote
    if home is remote:
        return
    names = [entry.name for entry in home.list(marks_prefix(key))]
    marks = [Mark.from_json(json.loads(home.read(name))) for name in names]
    launches = dict.fromkeys(mark.launch for mark in marks)
    for launch_id in launches:
        launch = read_launch(home, launch_id)
        if launch is not None:  # else it reached the remote earlier
            publish(remote, launch, anew=True)
    for code in {mark.code for mark in marks if mark.code}:
        if (home.root / code_name(code)).is_file():
            store_code(remote, home, code)
    endings = [mark for mark in marks if mark.mark in ENDINGS]
    for mark, name in zip(marks, names, strict=True):
        if mark in endings:
            remote.replace(name, home.read(name), info=mark.to_info())
    if endings:
        kept = {name for mark, name in zip(marks, names, strict=True) if mark in endings}
        stale = [entry.name for entry in remote.list(marks_prefix(key)) if entry.name not in kept]
        remote.delete(stale)
    home.delete(names)
    still = {entry.name for entry in home.list(f"{HIDDEN}/index/")}
    if not still:
        home.delete(map(launch_name, launches))


def _is_here(catalog: Catalog, row: Row) -> bool:
    """Whether the folder on this machine is where the run is stored, so that nothing is fetched."""
    return catalog.remote is catalog.home or row.synced is False
