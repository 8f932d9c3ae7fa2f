"""What runs take of storage, and what that costs on B2 in a month."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.run.layout import HIDDEN

# Source: https://www.backblaze.com/cloud-storage/pricing, as it was in April 2026. What is free is
# free once for an account, whatever else it stores. Terabytes are decimal.
DOLLARS_PER_TB_MONTH = 6.0
FREE_BYTES = 10_000_000_000

_TB = 1_000_000_000_000
_PARALLEL = 8


@dataclasses.dataclass(frozen=True)
class Usage:
    """What one run, or several together, take.

    Args:
        name: the run's key, or what the runs have in common.
        runs: how many.
        files, bytes: of theirs; None where nothing says.
        billed: how many of the bytes are on B2, where they are paid for.
        row: the run, where it is one.
    """

    name: str
    runs: int
    files: int | None
    bytes: int | None
    billed: int
    row: Row | None = None

    @property
    def dollars(self) -> float:
        """What it costs in a month, whatever of it may be free."""
        return dollars(self.billed)

    def to_json(self) -> dict[str, Any]:
        """The object `du --json` prints."""
        sizes = {"files": self.files, "bytes": self.bytes, "dollars_per_month": self.dollars}
        if self.row is None:
            return {"name": self.name, "runs": self.runs, **sizes}
        node, status = self.row.node or None, self.row.status.value
        return {"key": self.name, "node": node, "status": status, **sizes}


def dollars(billed: int) -> float:
    """What so many bytes on B2 cost in a month, were none of them free."""
    return billed / _TB * DOLLARS_PER_TB_MONTH


def of_runs(catalog: Catalog, rows: Iterable[Row]) -> list[Usage]:
    """What each run takes, as its mark says; the largest first."""
    return _largest_first(_of_run(catalog, row, row.files, row.bytes) for row in rows)


def measured(catalog: Catalog, rows: Sequence[Row]) -> list[Usage]:
    """What each run takes as storage counts it, with old versions and unfinished uploads.

    Asks once for each run.

    Raises:
        StorageError: it could not be asked.
    """

    def measure(row: Row) -> Usage:
        there = (catalog.home if row.at_home else catalog.remote).left(f"{row.key}/")
        return _of_run(catalog, row, there.versions, there.bytes)

    with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as pool:
        return _largest_first(pool.map(measure, rows))


def beside_runs(catalog: Catalog, runs: Iterable[Usage]) -> list[Usage]:
    """What else is stored: savethat's own records and code, and what belongs to no run.

    Args:
        catalog: the project's.
        runs: all of its runs, as measured.

    Raises:
        StorageError: storage could not be asked.
    """
    stored = [usage for usage in runs if usage.row is not None and _is_stored(catalog, usage.row)]
    everything = catalog.remote.left("")
    own = catalog.remote.left(f"{HIDDEN}/")
    files = everything.versions - own.versions - sum(usage.files or 0 for usage in stored)
    size = everything.bytes - own.bytes - sum(usage.bytes or 0 for usage in stored)
    # While runs are being written, one number is older than the other.
    parts = (
        ("records and code", own.versions, own.bytes),
        ("of no run", max(0, files), max(0, size)),
    )
    on_b2 = catalog.remote is not catalog.home
    return [Usage(name, 0, count, bytes_, bytes_ if on_b2 else 0) for name, count, bytes_ in parts]


def summed(usages: Iterable[Usage], name: Callable[[Row], str]) -> list[Usage]:
    """Runs that have a name in common together, the largest sum first.

    Args:
        usages: one a run.
        name: what a run is summed up under.
    """
    groups: dict[str, list[Usage]] = {}
    for usage in usages:
        assert usage.row is not None
        groups.setdefault(name(usage.row), []).append(usage)
    return _largest_first(total(group, label) for label, group in groups.items())


def total(usages: Sequence[Usage], name: str = "total") -> Usage:
    """All of them together."""
    return Usage(
        name,
        sum(usage.runs for usage in usages),
        sum(usage.files or 0 for usage in usages),
        sum(usage.bytes or 0 for usage in usages),
        sum(usage.billed for usage in usages),
    )


def _of_run(catalog: Catalog, row: Row, files: int | None, size: int | None) -> Usage:
    return Usage(row.key, 1, files, size, (size or 0) if _is_on_b2(catalog, row) else 0, row)


def _is_stored(catalog: Catalog, row: Row) -> bool:
    return catalog.remote is catalog.home or not row.at_home


def _is_on_b2(catalog: Catalog, row: Row) -> bool:
    return catalog.remote is not catalog.home and not row.at_home


def _largest_first(usages: Iterable[Usage]) -> list[Usage]:
    return sorted(usages, key=lambda usage: (-(usage.bytes or 0), usage.name))
