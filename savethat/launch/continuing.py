"""Whether a next attempt can go on from the files of the one before, and where it finds them."""

from __future__ import annotations

from collections.abc import Sequence

from savethat.catalog.files import download
from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.errors import RefusedError

_ANEW = "leave out --resume, to begin anew"
_NAMED = 3


def require_files(catalog: Catalog, rows: Sequence[Row]) -> None:
    """Sees to it that what the runs wrote is within reach of their next attempts.

    Raises:
        RefusedError: a run has never begun, or its files, or some of them, are elsewhere.
        StorageError: the storage could not be asked.
    """
    for row in rows:
        here = catalog.home.root / row.key
        left = [name for name in row.left if not (here / name).exists()]
        if left:
            names = ", ".join(left[:_NAMED]) + (", …" if len(left) > _NAMED else "")
            raise RefusedError(
                f"files of {row.key} are not in storage ({names}) but in {row.kept}",
                f"copy them into {here}, or {_ANEW}",
            )
        if _is_anything_stored(catalog, row.key):
            continue
        if row.started_at is None:
            raise RefusedError(f"{row.key} has never begun: it left nothing to resume", _ANEW)
        raise RefusedError(
            f"nothing of {row.key} is in storage or in {catalog.home.root}: if it wrote anything,"
            f" that is still on {row.place.host or row.place.where}",
            f"retry it there, or {_ANEW}",
        )


def bring_here(catalog: Catalog, rows: Sequence[Row]) -> None:
    """Fetches what runs wrote, for workers that cannot reach the remote.

    Raises:
        StorageError: it cannot be had.
    """
    for row in rows:
        if not row.at_home and _is_anything_stored(catalog, row.key):
            download(catalog, row)


def _is_anything_stored(catalog: Catalog, key: str) -> bool:
    return any(
        next(iter(remote.list(f"{key}/")), None) is not None
        for remote in (catalog.remote, catalog.home)
    )
