"""Watches runs until all of them have ended."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from savethat.catalog.listing import Catalog
    from savethat.catalog.row import Row

# This machine's queue is asked as often as people look; a bucket and a cluster are not.
_LOOK_HERE = 0.5
_FIRST_LOOK, _LAST_LOOK = 2.0, 30.0
# Seconds of which the time left is reckoned: all of a sweep, where rich looks at half a minute.
_ALL = 30 * 86_400.0


def watch(catalog: Catalog, keys: Sequence[str]) -> Mapping[str, int]:
    """Waits for runs, with a progress bar on a terminal; how many ended in which state."""
    pause = _FIRST_LOOK
    rows = _look(catalog, keys, pause)
    with _bar(len(keys)) as show:
        while True:
            show(Counter(row.status.value for row in rows))
            live = [row for row in rows if not row.status.finished]
            if not live:
                return Counter(row.status.value for row in rows)
            if all(row.place.scheduler == "queue" for row in live):
                _watch_queue(rows, live, show)
            else:
                time.sleep(pause)
                pause = min(pause * 1.3, _LAST_LOOK)
            rows = _look(catalog, keys, pause)


def _look(catalog: Catalog, keys: Sequence[str], pause: float) -> list[Row]:
    """The runs as they are now; what their scheduler says, as it was a pause ago, or 5 s.

    So several who wait ask it no more often than one.
    """
    from savethat.run.key import node_of

    wanted = set(keys)
    nodes = {node_of(key) for key in wanted}
    rows = catalog.list(node=nodes.pop() if len(nodes) == 1 else "", max_age=max(5.0, pause)).rows
    return [row for row in rows if row.key in wanted]


def _watch_queue(rows: Sequence[Row], live: Sequence[Row], show: Any) -> None:
    """Shows what this machine's queue says of the live ones, until it knows none of them."""
    from savethat.launchers.queue import revive
    from savethat.launchers.queue.store import Store

    launches = sorted({row.launch for row in live})
    keys = {row.key for row in live}
    others = Counter(row.status.value for row in rows if row.key not in keys)
    while True:
        with Store() as store:
            jobs = [job for job in store.jobs(launches) if job.key in keys]
        states = Counter(job.shown for job in jobs)
        show(others + states)
        if not states.keys() & {"queued", "running"}:
            return
        time.sleep(_LOOK_HERE)
        revive()


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Any]:
    """What to call with the numbers of runs by state: it draws them, where somebody looks."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    progress = Progress(
        *columns, console=Console(stderr=True), transient=True, speed_estimate_period=_ALL
    )
    with progress:
        task = progress.add_task("", total=total)

        def show(states: Counter[str]) -> None:
            ended = states.total() - states["queued"] - states["running"] - states["unknown"]
            failed = ended - states["completed"]
            text = f"{states['running']} running, {states['completed']} done, {failed} failed"
            progress.update(task, completed=ended, description=text)

        yield show
