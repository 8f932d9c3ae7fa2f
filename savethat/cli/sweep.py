"""`savethat sweep`: every combination of arguments of a node."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savethat.cli.completing import NodeCommand, complete_nodes
from savethat.cli.completing.learning import remember_keys, remember_nodes
from savethat.cli.launching import (
    destination,
    find,
    launch_options,
    naming,
    read_arguments,
    refuse_own_options,
    requeue_option,
    resource_options,
    shows_help,
)
from savethat.cli.session import Session, count, talk, warn
from savethat.errors import ArgumentError, StorageError, UsageError

if TYPE_CHECKING:
    from savethat.launch.destinations import Destination
    from savethat.launch.plan import Asked
    from savethat.launch.sweep import Swept
    from savethat.run.status import Status

INTERRUPTED = 130


@click.command(
    "sweep",
    cls=NodeCommand,
    context_settings={"allow_interspersed_args": False},
    options_metavar="[OPTIONS]",
    epilog="`savethat sweep NODE --help` shows the arguments of a node.",
)
@click.option("--slurm", is_flag=True, help="As SLURM job arrays, not in this machine's queue.")
@click.option("--detach", is_flag=True, help="Do not wait for the runs in this machine's queue.")
@click.option("--zip", "zipped", is_flag=True, help="Pair the lists instead of crossing them.")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Only N points, at random.")
@click.option("--random-seed", type=int, default=0, metavar="S", help="Which ones. 0 by default.")
@click.option("--same-code", is_flag=True, help="Runs of other code do not count as done.")
@click.option("--fresh", is_flag=True, help="Run all points again, as a new sweep.")
@resource_options
@requeue_option
@launch_options
@click.argument("node", metavar="NODE", shell_complete=complete_nodes)
@click.argument("node_args", nargs=-1, type=click.UNPROCESSED, metavar="[NODE ARGS]")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    node: str,
    node_args: tuple[str, ...],
    slurm: bool,
    detach: bool,
    zipped: bool,
    sample: int | None,
    random_seed: int,
    same_code: bool,
    fresh: bool,
    requeue: int | None,
    tag: tuple[str, ...],
    wait: bool,
    dry_run: bool,
    config_file: Path | None,
    **options: Any,
) -> int:
    r"""Run every combination of a node's arguments, as --lr 0.1,0.01 --seed 0..9 gives them.

    Commas and ranges a..b or a..b..step (both ends included) give several values, a list argument
    takes several lists ('[64],[64,64]'), quotes and \, keep a comma. The same command again runs
    only what is missing or failed. Prints the sweep's id.
    """
    from savethat import args
    from savethat.launch.plan import Asked
    from savethat.node import args_type

    session = ctx.ensure_object(Session)
    cls = find(session, node)
    if shows_help(cls, node_args, ctx):
        return 0
    if detach and (slurm or wait):
        raise UsageError("--detach is for this machine's queue, and does not wait", "leave it out")
    refuse_own_options(cls, node_args, ctx)
    try:
        base = read_arguments(config_file)
        grid = args.parse_grid(args_type(cls), node_args, base=base, zipped=zipped)
        points = grid.points(sample=sample, random_seed=random_seed)
    except ArgumentError as error:
        raise naming(error, cls) from None
    asked = Asked(
        cls,
        # Making the nodes lets each check its arguments, before anything is submitted.
        [cls(point).args for point in points],
        argv=tuple(sys.argv),
        tags=tag,
        max_parallel=options["max_parallel"] or 0,
        code=_present_code(session) if same_code else "",
        requeue=requeue,
    )
    remember_nodes(session.config.root, [cls])
    to = destination(session, options, slurm=slurm, dry=dry_run)
    if dry_run:
        return _dry_run(session, asked, to, fresh=fresh)
    return _launch(session, asked, to, fresh=fresh, wait=wait or not (slurm or detach))


def _present_code(session: Session) -> str:
    from savethat.launch.freeze import freeze

    name = freeze(session.config)
    if not name:
        raise UsageError("--same-code needs code that is frozen", "[code] capsule = true")
    return name


def _dry_run(session: Session, asked: Asked, to: Destination, *, fresh: bool) -> int:
    from savethat.launch.preview import preview
    from savethat.launch.submit import planned
    from savethat.launch.sweep import look_up

    click.echo(preview(session.config, planned(session.config, asked, to), to), nl=False)
    if not fresh:
        try:
            launching, skipped = look_up(session.config, asked)
        except StorageError as error:
            warn([f"{error.message}: which of these points have run already is not known"])
        else:
            talk(f"{count(launching, 'point')} would be launched{_skipping(skipped)}.")
    return 0


def _launch(session: Session, asked: Asked, to: Destination, *, fresh: bool, wait: bool) -> int:
    from savethat.launch.sweep import sweep

    swept = sweep(session.config, asked, to, fresh=fresh)
    warn(swept.warnings)
    remember_keys(session.config.root, dict.fromkeys(swept.keys, "queued"))
    _tell(swept, len(asked.points))
    # Before any waiting: whoever interrupts it knows what to ask for.
    click.echo(swept.id)
    sys.stdout.flush()
    if not wait:
        talk(f"savethat ls --sweep {swept.id} shows how it goes")
        return 0
    return _wait(session, swept)


def _tell(swept: Swept, points: int) -> None:
    parts = [f"{count(points, 'point')} of the sweep {swept.id}: {swept.launched} launched"]
    if swept.retried:
        parts.append(f"{swept.retried} started again after a failure")
    if swept.jobs:
        parts.append(f"in {count(len(swept.jobs), 'SLURM job')}")
    talk(", ".join(parts) + _skipping(swept.skipped))


def _skipping(skipped: Mapping[Status, int]) -> str:
    words = [f"{number} {status.value} already" for status, number in skipped.items()]
    return f"; skipped: {', '.join(words)} (--fresh runs them again)" if words else ""


def _wait(session: Session, swept: Swept) -> int:
    from savethat.cli.progress import watch

    try:
        ended = watch(session.catalog, swept.keys)
    except KeyboardInterrupt:
        talk(
            f"The sweep goes on: savethat ls --sweep {swept.id} shows it, savethat cancel"
            f" --sweep {swept.id} ends it."
        )
        return INTERRUPTED
    talk(", ".join(f"{number} {status}" for status, number in sorted(ended.items())))
    return 0 if ended.keys() <= {"completed"} else 1
