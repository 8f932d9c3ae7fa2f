"""The next attempt of runs that have ended without a result, under the same keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone

from savethat.args import from_json
from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.config import Config
from savethat.discovery import import_node
from savethat.errors import RefusedError
from savethat.launch.continuing import bring_here, require_files
from savethat.launch.destinations import REQUEUES, Destination
from savethat.launch.submit import Submitted, submit_launch
from savethat.launchers.locks import lock
from savethat.node import args_type, resumes
from savethat.remotes.base import Remote
from savethat.run.key import stem_of
from savethat.run.layout import LOCKS, launches_prefix, parse_launch_name
from savethat.run.record import SLURM, Launch, PlannedRun
from savethat.run.status import UNSUCCESSFUL

_PATIENCE = 60.0


def retry(
    config: Config,
    catalog: Catalog,
    rows: Sequence[Row],
    to: Callable[[Row], Destination],
    argv: Sequence[str],
    *,
    max_parallel: int = 0,
    after: Sequence[str] = (),
    same_code: bool = False,
    requeue: int | None = None,
    resume: bool = False,
) -> list[Submitted]:
    """Submits the next attempt of runs: one launch for those that were launched together.

    They run the code as it is now, and its nodes must still take the arguments; or, with
    `same_code`, that of the attempt before.

    Args:
        config: the project's configuration.
        catalog: the project's runs.
        rows: the runs, with all of their arguments.
        to: where a run is to go; asked once a launch.
        argv: the command line that asked, for provenance.
        max_parallel: the most of these runs at a time; 0 for no limit.
        after: ids of SLURM jobs that count into that limit.
        same_code: whether to run the code that the attempt before ran.
        requeue: how often each may be started again when it was ended from outside; None: as the
            launch before said.
        resume: whether they find the files of the attempt before, whatever their nodes say.

    Raises:
        RefusedError: a run has not ended, or has a result; or, to be resumed, its files are not
            within reach.
        ArgumentError: a node does not take a run's arguments any more.
        NotFoundError: a node is gone.
        SchedulerError: the scheduler refused a launch; those before it stay submitted.
    """
    for row in rows:
        if row.status not in UNSUCCESSFUL:
            raise RefusedError(f"{row.key} is {row.status.value}: there is nothing to retry")
    if resume:
        require_files(catalog, rows)
    resumable = {
        node: _check_node(node, rows) or resume for node in sorted({row.node for row in rows})
    }
    done: list[Submitted] = []
    for (stem, code), members in _groups(rows, same_code=same_code).items():
        destination = to(members[0])
        destination.check()
        path = catalog.home.root / f"{LOCKS}retry-{stem}.lock"
        with lock(path, f"another process is retrying {stem}", timeout=_PATIENCE):
            members = _still_ended(catalog, members)
            if members:
                times = _requeue(catalog, members[0], destination, requeue, resumable)
                launch = _plan(config, catalog.remote, stem, members, destination, resumable, times)
                launch = dataclasses.replace(
                    launch, max_parallel=max_parallel, code=code, argv=tuple(argv)
                )
                if config.sync == "login" and launch.place.scheduler == SLURM:
                    bring_here(catalog, [row for row in members if resumable[row.node]])
                before = [*after, *(job for each in done for job in each.sent.jobs)]
                done.append(submit_launch(config, launch, destination, argv, before))
    return done


def _still_ended(catalog: Catalog, rows: Sequence[Row]) -> list[Row]:
    """Those that no other process has retried meanwhile."""
    if len(rows) == 1:
        now = catalog.find(rows[0].key, max_age=0.0)
        return [row for row in rows if now is not None and now.attempt == row.attempt]
    attempts = {row.key: row.attempt for row in catalog.list(node=_class(rows[0])).rows}
    return [row for row in rows if attempts.get(row.key) == row.attempt]


def _requeue(
    catalog: Catalog,
    row: Row,
    to: Destination,
    asked: int | None,
    resumable: Mapping[str, bool],
) -> int:
    """How often runs may be started again; asked for none, as the launch before said."""
    if asked is not None:
        return asked
    before = catalog.launch(row.launch)
    default = REQUEUES if resumable[row.node] else 0
    return to.requeue(None, before.requeue if before is not None else default)


def _check_node(node: str, rows: Iterable[Row]) -> bool:
    """Whether a node resumes; raises where it no longer takes the arguments of its runs."""
    cls = import_node(node)
    for row in rows:
        if row.node == node:
            from_json(args_type(cls), row.args)
    return resumes(cls)


def _groups(rows: Sequence[Row], *, same_code: bool) -> dict[tuple[str, str], list[Row]]:
    """What can be one launch: runs that were launched together, and run the same code."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if same_code and not row.code:
            raise RefusedError(
                f"the code of {row.key} was not frozen", "retry it with the code as it is now"
            )
        code = row.code if same_code else ""
        groups.setdefault((stem_of(row.key), code), []).append(row)
    return groups


def _plan(
    config: Config,
    remote: Remote,
    stem: str,
    rows: Sequence[Row],
    to: Destination,
    resumable: Mapping[str, bool],
    requeue: int,
) -> Launch:
    first = rows[0]
    runs = tuple(
        PlannedRun(row.key, row.node, row.args, row.attempt + 1, position, resumable[row.node])
        for position, row in enumerate(rows)
    )
    return Launch(
        id=f"{stem}.{_number(remote, stem, max(run.attempt for run in runs))}",
        created_at=datetime.now(timezone.utc),
        place=to.place(),
        runs=runs,
        root=str(config.root),
        resources=to.resources(requeue),
        tags=first.tags,
        sweep=first.sweep,
        array_size=to.array_size(len(runs)),
        requeue=requeue,
    )


def _number(remote: Remote, stem: str, attempt: int) -> int:
    """What tells this launch from the others of its runs: the attempt, or the next free number."""
    names = (parse_launch_name(entry.name) or "" for entry in remote.list(launches_prefix(stem)))
    numbers = [int(name.rpartition(".")[2]) for name in names if name.startswith(f"{stem}.")]
    return max([attempt, *(number + 1 for number in numbers)])


def _class(row: Row) -> str:
    return row.node.rpartition(".")[2]
