"""Ends runs; of those that never began, and have no worker to say so, it leaves the mark."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Sequence
from datetime import datetime, timezone

from savethat.catalog.listing import Catalog
from savethat.catalog.reading import PARALLEL
from savethat.catalog.row import Row
from savethat.errors import UnreachableError
from savethat.launchers.base import JobRef
from savethat.launchers.locks import submitting
from savethat.launchers.slurm.leftovers import settle
from savethat.run.layout import launch_folder
from savethat.run.record import Mark
from savethat.worker.ledger import Ledger


def cancel(catalog: Catalog, rows: Sequence[Row], *, by: str) -> None:
    """Ends runs, queued or running.

    Args:
        catalog: the project's.
        rows: the runs.
        by: who ends them, for the reason.

    Raises:
        SchedulerError: a scheduler could not be asked to.
        RefusedError: one of them is just being submitted by another process.
    """
    by_scheduler: dict[str, dict[JobRef, Row]] = {}
    with contextlib.ExitStack() as stack:
        # Nobody may submit meanwhile what has no job yet.
        unsubmitted = {row.launch for row in rows if not row.mark and not row.submitted}
        for launch in sorted(unsubmitted):
            folder = catalog.home.root / launch_folder(launch)
            stack.enter_context(submitting(folder))
            settle(folder)
        for row in rows:
            by_scheduler.setdefault(row.place.scheduler, {})[_ref(row)] = row
        for name, refs in by_scheduler.items():
            never = catalog.schedulers[name].cancel(list(refs))
            _leave_marks(catalog, [refs[ref] for ref in never], by)


def _leave_marks(catalog: Catalog, rows: Sequence[Row], by: str) -> None:
    now = datetime.now(timezone.utc)

    def leave(row: Row) -> None:
        mark = Mark(
            key=row.key,
            # One that waited for its next attempt is cancelled as that one.
            attempt=row.attempt + bool(row.mark),
            mark="cancelled",
            node=row.node,
            launch=row.launch,
            place=row.place,
            submitted_at=row.submitted_at or now,
            started_at=row.started_at,
            finished_at=now,
            reason=f"cancelled by {by} before it began",
            args=row.args,
            tags=row.tags,
            sweep=row.sweep,
            files=row.files or 0,
            bytes=row.bytes or 0,
            position=row.position,
            array_size=row.array_size,
        )
        try:
            Ledger(catalog.remote, row.launch).end(mark)
        except UnreachableError:
            Ledger(catalog.home, row.launch).end(mark)

    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(leave, rows))


def _ref(row: Row) -> JobRef:
    return JobRef(row.launch, row.position, row.place, row.array_size, row.key, row.attempt)
