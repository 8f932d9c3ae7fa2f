"""Sweeps: many runs of one node, of which the same command again launches what is missing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from savethat.args import to_json
from savethat.catalog import open_catalog
from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.config import Config
from savethat.discovery import add_to_path
from savethat.errors import MissingError, SavethatError
from savethat.launch.again import retry
from savethat.launch.destinations import Destination
from savethat.launch.plan import Asked
from savethat.launch.submit import Submitted, go_on, submit
from savethat.launchers.locks import lock
from savethat.node import dotted_name
from savethat.run.key import SUFFIX_ALPHABET, SUFFIX_LENGTH
from savethat.run.layout import LOCKS
from savethat.run.record import FOREGROUND, SLURM
from savethat.run.status import UNSUCCESSFUL, Status
from savethat.worker.order import Order

_PATIENCE = 120.0
# Of several runs of one point the one in the best state counts.
_BEST = (Status.COMPLETED, Status.RUNNING, Status.QUEUED, Status.UNKNOWN)


@dataclasses.dataclass(frozen=True)
class Swept:
    """What became of a sweep.

    Args:
        id: the sweep's.
        keys: of the runs of its points, in the points' order.
        skipped: how many points have a run already, by its state.
        retried: how many failed runs were started again.
        launched: how many points got their first run, or their first one of this sweep.
        waiting: how many of these runs the scheduler does not take yet.
        jobs: SLURM's ids of what was submitted.
        warnings: for the user.
    """

    id: str
    keys: tuple[str, ...] = ()
    skipped: Mapping[Status, int] = dataclasses.field(default_factory=dict)
    retried: int = 0
    launched: int = 0
    waiting: int = 0
    jobs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass
class _Standing:
    """How the points of a sweep stand: by the point, the run that counts."""

    rows: dict[str, Row]
    missing: list[Any] = dataclasses.field(default_factory=list)
    failed: list[Row] = dataclasses.field(default_factory=list)
    unsubmitted: list[Row] = dataclasses.field(default_factory=list)


def sweep(config: Config, asked: Asked, to: Destination, *, fresh: bool = False) -> Swept:
    """Launches those points of a sweep that have no run, or a failed one.

    Points are compared by node and arguments with all runs in storage, whoever and wherever they
    were launched. A launch of this sweep that was cut short is gone on with.

    Args:
        config: the project's configuration.
        asked: the points; its sweep id is set here.
        to: where runs go.
        fresh: launch all of them, as a sweep of its own.

    Raises:
        StorageError: the runs there are could not be listed whole; then nothing is launched.
        SchedulerError: the scheduler refused, or could not be asked.
        RefusedError: another process is launching the same sweep.
    """
    to.check()
    sweep_id = _fresh_id() if fresh else sweep_id_of(asked)
    asked = dataclasses.replace(asked, sweep=sweep_id)
    if fresh:
        done = submit(config, asked, to)
        return _add(Swept(sweep_id), [done], launched=len(asked.points))
    catalog = open_catalog(config)
    path = catalog.home.root / f"{LOCKS}sweep-{sweep_id}.lock"
    with lock(path, f"another process is launching the sweep {sweep_id}", timeout=_PATIENCE):
        return _launch_missing(config, catalog, asked, to)


def sweep_id_of(asked: Asked) -> str:
    """The id of a sweep: equal for the same points of the same node, in whatever order."""
    points = sorted(_point(to_json(point)) for point in asked.points)
    text = json.dumps([dotted_name(asked.node), points])
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    letters = []
    for _ in range(SUFFIX_LENGTH):
        number, index = divmod(number, len(SUFFIX_ALPHABET))
        letters.append(SUFFIX_ALPHABET[index])
    return "".join(letters)


def look_up(config: Config, asked: Asked) -> tuple[int, dict[Status, int]]:
    """How many points the same command would launch now, and how many it would skip, by state.

    Raises:
        StorageError: the runs there are could not be listed whole.
    """
    standing = _stand(open_catalog(config), asked, sweep_id_of(asked))
    again = {row.key for row in (*standing.failed, *standing.unsubmitted)}
    skipped = [row for row in standing.rows.values() if row.key not in again]
    return len(standing.missing) + len(again), _count(skipped)


def _launch_missing(config: Config, catalog: Catalog, asked: Asked, to: Destination) -> Swept:
    standing = _stand(catalog, asked, asked.sweep)
    swept = Swept(asked.sweep)
    resumed, warnings = _go_on(config, catalog, standing.unsubmitted, asked, to)
    again = {row.key for row in standing.failed}
    gone_on = {row.key for row in standing.unsubmitted}
    skipped = [row for row in standing.rows.values() if row.key not in again | gone_on]
    swept = dataclasses.replace(
        swept,
        skipped=_count(skipped),
        keys=tuple(row.key for row in standing.rows.values()),
        warnings=tuple(warnings),
    )
    swept = _add(swept, resumed, launched=sum(len(each.sent.positions) for each in resumed))
    # The limit holds for the sweep, however many launches it has by now.
    after = [*_live_jobs(skipped), *swept.jobs]
    if standing.failed:
        retried = retry(
            config,
            catalog,
            standing.failed,
            lambda _: to,
            asked.argv,
            max_parallel=asked.max_parallel,
            after=after,
            requeue=asked.requeue,
        )
        swept = _add(swept, retried, retried=sum(len(each.launch.runs) for each in retried))
        after += [job for each in retried for job in each.sent.jobs]
    if standing.missing:
        new = submit(config, dataclasses.replace(asked, points=standing.missing), to, after=after)
        swept = _add(swept, [new], launched=len(standing.missing))
    return swept


def _live_jobs(rows: Iterable[Row]) -> list[str]:
    """SLURM's ids of the jobs that runs of a sweep have now."""
    live = (Status.QUEUED, Status.RUNNING)
    jobs = (row.place.job_id for row in rows if row.place.scheduler == SLURM and row.status in live)
    return sorted({job.partition("_")[0] for job in jobs if job})


def _stand(catalog: Catalog, asked: Asked, sweep_id: str) -> _Standing:
    listing = catalog.list(node=asked.node.__name__, max_age=0.0)
    if not listing.complete:
        raise MissingError(
            "; ".join(listing.warnings),
            "what has run already is not known: nothing was launched; --fresh launches all",
        )
    name = dotted_name(asked.node)
    points = {_point(to_json(point)): point for point in asked.points}
    best: dict[str, Row] = {}
    for row in listing.rows:
        if row.node == name and asked.code in ("", row.code):
            row = catalog.whole(row) if "args" in row.cut else row
            point = _point(row.args)
            if point in points and (point not in best or _rank(row) > _rank(best[point])):
                best[point] = row
    standing = _Standing({})
    for point, args in points.items():
        found = best.get(point)
        if found is None:
            standing.missing.append(args)
        elif _is_unsubmitted(found):
            standing.unsubmitted.append(found)
            standing.rows[point] = found
        elif found.status not in UNSUCCESSFUL:
            standing.rows[point] = found
        elif found.sweep == sweep_id:
            standing.failed.append(found)
            standing.rows[point] = found
        else:
            standing.missing.append(args)
    return standing


def _is_unsubmitted(row: Row) -> bool:
    """Whether a run is recorded, and its scheduler has, or may have, no job of it."""
    recorded = not row.mark and row.place.scheduler != FOREGROUND
    return recorded and not row.submitted and row.status is not Status.UNKNOWN


def _go_on(
    config: Config, catalog: Catalog, rows: Sequence[Row], asked: Asked, to: Destination
) -> tuple[list[Submitted], list[str]]:
    """Submits runs of launches that were cut short."""
    done, warnings = [], []
    launches: dict[str, list[Row]] = {}
    for row in rows:
        launches.setdefault(row.launch, []).append(row)
    for launch_id, members in launches.items():
        launch = catalog.launch(launch_id)
        if launch is None:
            continue
        order = Order(launch, config, tuple(add_to_path(config.root)), asked.argv, to.setup)
        try:
            done.append(go_on(config, launch, [row.position for row in members], order))
        except SavethatError as error:
            warnings.append(f"{len(members)} runs of {launch_id} are not submitted: {error}")
    return done, warnings


def _add(swept: Swept, done: Iterable[Submitted], *, launched: int = 0, retried: int = 0) -> Swept:
    done = list(done)
    keys = dict.fromkeys([*swept.keys, *(run.key for each in done for run in each.launch.runs)])
    return dataclasses.replace(
        swept,
        keys=tuple(keys),
        launched=swept.launched + launched,
        retried=swept.retried + retried,
        waiting=swept.waiting + sum(len(each.sent.waiting) for each in done),
        jobs=(*swept.jobs, *(job for each in done for job in each.sent.jobs)),
        warnings=(*swept.warnings, *(text for each in done for text in each.warnings)),
    )


def _rank(row: Row) -> tuple[int, int]:
    order = len(_BEST) - _BEST.index(row.status) if row.status in _BEST else 0
    return order, row.attempt


def _count(rows: Iterable[Row]) -> dict[Status, int]:
    counts: dict[Status, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    return counts


def _point(args: Mapping[str, Any]) -> str:
    return json.dumps(args, sort_keys=True)


def _fresh_id() -> str:
    return "".join(random.SystemRandom().choices(SUFFIX_ALPHABET, k=SUFFIX_LENGTH))
