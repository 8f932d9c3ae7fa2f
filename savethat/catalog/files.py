"""Moves runs' files: from the remote to `local_path`, and what waits there to the remote."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path

from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.errors import MissingError, NotFoundError
from savethat.remotes import pieces
from savethat.remotes.transfer import download_tree
from savethat.run.layout import (
    ARGS_FILE,
    RESULT_JSON,
    RESULT_PICKLE,
)

# Written at once and renamed: these have no pieces, so that none are looked for.
_NEVER_GROW = frozenset({ARGS_FILE, RESULT_PICKLE, RESULT_JSON})


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
    stored = f"{row.key}/{name}"
    if name in _NEVER_GROW:
        catalog.remote.fetch(stored, path)
        return path
    entry = pieces.find(catalog.remote, stored)
    if entry is None:
        raise MissingError(f"{row.key} has no file {name}", "savethat ls --files")
    pieces.fetch(catalog.remote, entry, path)
    return path


def _is_here(catalog: Catalog, row: Row) -> bool:
    """Whether the folder on this machine is where the run is stored, so that nothing is fetched."""
    return catalog.remote is catalog.home or row.at_home
