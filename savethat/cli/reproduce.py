"""`savethat reproduce`: runs a run again, and tells whether the same came out."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from savethat.cli.comparing import show_comparison, tolerance_option
from savethat.cli.completing import complete_keys
from savethat.cli.launching import destination, given_resources, resource_options
from savethat.cli.selection import select_one
from savethat.cli.session import Session, pass_session, talk
from savethat.errors import RefusedError, RunFailedError, UsageError

if TYPE_CHECKING:
    from savethat.reproduction.reproduce import Recipe


@click.command("reproduce")
@click.argument("key", metavar="KEY", shell_complete=complete_keys)
@click.option("--here", is_flag=True, help="In the present environment: no packages are installed.")
@click.option("--slurm", is_flag=True, help="As a SLURM job.")
@click.option("--detach", is_flag=True, help="In this machine's queue.")
@resource_options
@tolerance_option
@click.option("--json", "as_json", is_flag=True, help="Tell what differs as one JSON object.")
@pass_session
def command(
    session: Session,
    /,
    key: str,
    here: bool,
    slurm: bool,
    detach: bool,
    tolerance: float,
    as_json: bool,
    **options: Any,
) -> int:
    """Run a run again, with its code, its packages and its arguments, and compare what came out.

    The code is that of its capsule (else of its commit and diff), the packages are those it had, in
    an environment of their own. Exits 0 where results and files are equal, 1 where they differ.
    """
    from savethat.reproduction.reproduce import prepare

    if slurm and detach:
        raise UsageError("--slurm and --detach are two places", "leave one of them out")
    if not (slurm or detach) and given_resources(options):
        raise UsageError("resource options are for jobs", "savethat reproduce --slurm …")
    row = session.catalog.whole(select_one(session, key))
    if not row.status.finished:
        raise RefusedError(f"{row.key} is {row.status.value}: there is nothing to compare with yet")
    recipe = prepare(session.config, session.catalog, row, here=here, say=talk)
    new = _run(session, recipe, options, slurm=slurm, detach=detach)
    done = session.catalog.find(new, max_age=0.0)
    if done is None or done.status.value != row.status.value:
        state = "gone" if done is None else f"{done.status.value} ({done.reason})"
        raise RunFailedError(f"{new}, the run again, is {state}; {row.key} is {row.status.value}")
    comparison = show_comparison(session, row, done, tolerance, as_json=as_json)
    if not as_json:
        click.echo(new)
    return 0 if comparison.equal_outcome else 1


def _run(
    session: Session, recipe: Recipe, options: dict[str, Any], *, slurm: bool, detach: bool
) -> str:
    """Runs it again, and waits for its end; the new run's key."""
    from savethat.catalog.run import open_run
    from savethat.reproduction.reproduce import reproduce_at, reproduce_here
    from savethat.worker.journal import Terminal

    argv = tuple(sys.argv)
    if slurm or detach:
        to = destination(session, options, slurm=slurm)
        key = reproduce_at(session.config, recipe, to, argv)
        talk(f"submitted {key}; waiting")
        open_run(session.config, key).wait()
        return key
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    # What the node prints is not this command's answer.
    terminal = Terminal(colour=colour, apart=True)
    return reproduce_here(session.config, recipe, argv, terminal)
