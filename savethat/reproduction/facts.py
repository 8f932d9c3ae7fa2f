"""Reads what is compared of a run from its files, wherever they are."""

from __future__ import annotations

import hashlib
from typing import Any

from savethat.catalog.comparison import RunFacts
from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.errors import MissingError
from savethat.remotes import pieces
from savethat.remotes.base import Remote
from savethat.run.layout import INPUTS_FILE, PROVENANCE_FILE, RESULT_JSON
from savethat.untrusted import read_json


def facts_of(catalog: Catalog, row: Row) -> RunFacts:
    """What is compared of a run.

    Raises:
        StorageError: its files cannot be read.
    """
    row = catalog.whole(row)
    remote: Remote = catalog.home if row.at_home else catalog.remote

    def read(name: str) -> bytes:
        return pieces.read(remote, f"{row.key}/{name}")

    files = {
        # A folder keeps no hashes.
        entry.name: (entry.size, entry.sha1 or _sha1(read(entry.name)))
        for entry in catalog.files(row)
    }
    result = _json(read, RESULT_JSON)
    return RunFacts(
        key=row.key,
        args=row.args,
        result=dict(row.result) if result is None else result,
        provenance=provenance_of(catalog, row),
        inputs=_json(read, INPUTS_FILE) or {},
        files=files,
        read=read,
    )


def provenance_of(catalog: Catalog, row: Row) -> dict[str, Any] | None:
    """A run's `reproducible.json`; None where it has none.

    Raises:
        StorageError: it cannot be read.
    """
    remote: Remote = catalog.home if row.at_home else catalog.remote
    found = _json(lambda name: remote.read(f"{row.key}/{name}"), PROVENANCE_FILE)
    return found if isinstance(found, dict) else None


def _json(read: Any, name: str) -> Any:
    try:
        return read_json(read(name))
    except (MissingError, ValueError):
        return None


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
