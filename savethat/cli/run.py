"""`savethat run`: one run of a node."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savethat.cli.completing import NodeCommand, complete_nodes
from savethat.cli.completing.learning import remember_keys, remember_nodes
from savethat.cli.launching import (
    destination,
    find,
    given_resources,
    launch_options,
    naming,
    read_arguments,
    refuse_own_options,
    requeue_option,
    resource_options,
    shows_help,
)
from savethat.cli.session import Session, talk, warn
from savethat.errors import ArgumentError, RunFailedError, UsageError

if TYPE_CHECKING:
    from savethat.launch.destinations import Destination
    from savethat.launch.early import Early
    from savethat.launch.plan import Asked
    from savethat.worker.post import Outcome

INTERRUPTED = 130


@click.command(
    "run",
    cls=NodeCommand,
    context_settings={"allow_interspersed_args": False},
    options_metavar="[OPTIONS]",
    epilog="`savethat run NODE --help` shows the arguments of a node.",
)
@click.option("--slurm", is_flag=True, help="Submit it as a SLURM job.")
@click.option("--detach", is_flag=True, help="Put it into this machine's queue.")
@resource_options
@requeue_option
@launch_options
@click.option("--pdb", is_flag=True, help="Open the debugger where the node raises.")
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
    requeue: int | None,
    tag: tuple[str, ...],
    wait: bool,
    dry_run: bool,
    config_file: Path | None,
    pdb: bool,
    **options: Any,
) -> int:
    """Run a node in the foreground, with --detach in this machine's queue, with --slurm as a job.

    savethat's options come before NODE, the node's own after it. The run's key is the last line of
    stdout.
    """
    from savethat import args

    session = ctx.ensure_object(Session)
    early = None
    if not (slurm or detach or pdb or dry_run or args.wants_help(node_args)):
        from savethat.launch.early import begin

        early = begin(session.config, node)

    from savethat.launch.plan import Asked
    from savethat.node import args_type

    cls = find(session, node)
    if shows_help(cls, node_args, ctx):
        return 0
    _check({**options, "requeue": requeue}, slurm=slurm, detach=detach, wait=wait, pdb=pdb)
    refuse_own_options(cls, node_args, ctx)
    try:
        point = args.parse(args_type(cls), node_args, base=read_arguments(config_file))
    except ArgumentError as error:
        raise naming(error, cls) from None
    asked = Asked(
        cls,
        [cls(point).args],
        argv=tuple(sys.argv),
        tags=tag,
        max_parallel=options["max_parallel"] or 0,
        requeue=requeue,
    )
    here = not slurm and not detach
    if here and not dry_run:
        return _run_here(session, asked, early, pdb=pdb)
    remember_nodes(session.config.root, [cls])
    if here:
        return _describe(asked)
    to = destination(session, options, slurm=slurm, dry=dry_run)
    if dry_run:
        return _dry_run(session, asked, to)
    return _submit(session, asked, to, wait=wait)


def _check(options: dict[str, Any], *, slurm: bool, detach: bool, wait: bool, pdb: bool) -> None:
    if slurm and detach:
        raise UsageError("--slurm and --detach are two places", "leave one of them out")
    if pdb and (slurm or detach):
        raise UsageError("--pdb is for the foreground", "leave out --slurm and --detach")
    if slurm or detach:
        return
    asked = given_resources(options) or any(
        options[name] for name in ("preset", "sbatch", "max_parallel")
    )
    requeue = options["requeue"] is not None
    for given, what in (
        (asked, "resource options are"),
        (wait, "--wait is"),
        (requeue, "--requeue is"),
    ):
        if given:
            raise UsageError(f"{what} for jobs", "savethat run --slurm …, or --detach")


def _describe(asked: Asked) -> int:
    from savethat.launch.plan import describe

    for line in describe(asked):
        click.echo(line)
    return 0


def _dry_run(session: Session, asked: Asked, to: Destination) -> int:
    from savethat.launch.preview import preview
    from savethat.launch.submit import planned

    click.echo(preview(session.config, planned(session.config, asked, to), to), nl=False)
    return 0


def _run_here(session: Session, asked: Asked, early: Early | None, *, pdb: bool) -> int:
    from savethat.launch.here import run_here, run_with_debugger
    from savethat.worker.journal import Terminal

    if pdb:
        key, outcome = run_with_debugger(session.config, asked)
    else:
        colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        terminal = Terminal(colour=colour)
        key, outcome = run_here(session.config, asked, terminal=terminal, early=early)
    remember_nodes(session.config.root, [asked.node])
    remember_keys(session.config.root, {key: outcome.ending.mark})
    _tell(session, key, outcome)
    click.echo(key)
    if outcome.ending.mark == "cancelled":
        return INTERRUPTED
    return 0 if outcome.ending.mark == "completed" else 1


def _tell(session: Session, key: str, outcome: Outcome) -> None:
    ending = outcome.ending
    talk(f"{ending.mark}: {ending.reason}" if ending.reason else ending.mark)
    talk(f"files: {session.config.local_path / key}")
    if not outcome.synced:
        warn([f"{outcome.trouble}: the run is kept here; `savethat sync` sends it on"])


def _submit(session: Session, asked: Asked, to: Destination, *, wait: bool) -> int:
    from savethat.catalog.run import open_run
    from savethat.launch.submit import submit

    done = submit(session.config, asked, to)
    warn(done.warnings)
    key = done.launch.runs[0].key
    remember_keys(session.config.root, {key: "queued"})
    if wait:
        talk(f"submitted {key}; waiting")
        run = open_run(session.config, key).wait()
        click.echo(key)
        if run.status != "completed":
            reason = f" ({run.reason})" if run.reason else ""
            raise RunFailedError(f"{key} is {run.status}{reason}")
        return 0
    talk("submitted; `savethat ls` shows its state")
    click.echo(key)
    return 0
