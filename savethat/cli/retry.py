"""`savethat retry`: the next attempt of runs that failed."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

import click

from savethat.cli.completing import complete_keys
from savethat.cli.launching import (
    destination,
    given_resources,
    requeue_option,
    resource_options,
)
from savethat.cli.selection import filter_options, own_runs
from savethat.cli.session import Session, pass_session, talk, warn
from savethat.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from savethat.catalog.row import Row
    from savethat.launch.destinations import Destination


@click.command("retry")
@click.argument("keys", nargs=-1, metavar="[KEY…]", shell_complete=complete_keys)
@click.option("--slurm", is_flag=True, help="As SLURM jobs, wherever they ran before.")
@click.option("--detach", is_flag=True, help="In this machine's queue, wherever they ran before.")
@click.option("--same-code", is_flag=True, help="Run the code that the attempt before ran.")
@click.option("--resume", is_flag=True, help="Go on from the files of the attempt before.")
@requeue_option
@resource_options
@filter_options
@pass_session
def command(
    session: Session,
    /,
    keys: tuple[str, ...],
    slurm: bool,
    detach: bool,
    same_code: bool,
    resume: bool,
    requeue: int | None,
    **options: Any,
) -> None:
    """Start the next attempt of runs that failed, were cancelled or are lost, under their keys.

    They run the code as it is now, or with --same-code that of the attempt before. What ran on
    SLURM goes there again, with what it asked for then and the options given now (--mem 64G); all
    else goes into this machine's queue. With --resume a run goes on from its files, whatever its
    node says; without, only that of a node which resumes does. Prints the keys.
    """
    from savethat.launch.again import retry
    from savethat.run.status import UNSUCCESSFUL

    if slurm and detach:
        raise UsageError("--slurm and --detach are two places", "leave one of them out")
    session.python_path  # noqa: B018 # makes the package importable
    rows = own_runs(session, keys, options)
    ended = [row for row in rows if row.status in UNSUCCESSFUL]
    if keys and len(ended) < len(rows):
        row = next(row for row in rows if row.status not in UNSUCCESSFUL)
        raise RefusedError(f"{row.key} is {row.status.value}: there is nothing to retry")
    if not ended:
        talk("None to retry.")
        return
    done = retry(
        session.config,
        session.catalog,
        [session.catalog.whole(row) for row in ended],
        lambda row: _destination(session, row, options, slurm=slurm, detach=detach),
        tuple(sys.argv),
        max_parallel=options["max_parallel"] or 0,
        same_code=same_code,
        requeue=requeue,
        resume=resume,
    )
    for each in done:
        warn(each.warnings)
        for run in each.launch.runs:
            click.echo(run.key)
    talk(f"{sum(len(each.launch.runs) for each in done)} started again.")


def _destination(
    session: Session, row: Row, options: dict[str, Any], *, slurm: bool, detach: bool
) -> Destination:
    """Where a run goes: where it ran before, with what it asked for there."""
    from savethat.launch.destinations import ToSlurm
    from savethat.launchers import slurm as cluster
    from savethat.run.record import SLURM
    from savethat.worker.ledger import read_launch

    to = destination(session, options, slurm=slurm or (row.place.scheduler == SLURM and not detach))
    if not isinstance(to, ToSlurm) or row.place.where != cluster.cluster_name(default=""):
        return to
    before = read_launch(session.catalog.remote, row.launch)
    if before is None:
        return to
    # What is given now goes over what was asked for then.
    request = cluster.over(before.resources, given_resources(options), options["sbatch"])
    return dataclasses.replace(to, request=dataclasses.replace(request, setup=to.request.setup))
