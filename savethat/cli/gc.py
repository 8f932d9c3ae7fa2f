"""`savethat gc`: proposes what to remove to save space, and removes it when told to."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from savethat.cli.completing import complete_keys
from savethat.cli.du import money
from savethat.cli.ls import STORAGE_INCOMPLETE
from savethat.cli.removing import remove_runs, say_left, say_skipped
from savethat.cli.selection import filter_options, list_matching, make_filter, skip_others
from savethat.cli.session import Session, count, pass_session, talk
from savethat.errors import UsageError

if TYPE_CHECKING:
    from savethat.catalog.dropping import Drop
    from savethat.catalog.row import Row


@click.command("gc")
@click.argument("prefix", required=False, default="", shell_complete=complete_keys)
@filter_options
@click.option("--older", metavar="AGE", help="Of runs that finished longer ago: 90d.")
@click.option(
    "--keep-best",
    metavar="NAME:N",
    help="Not the N best of each node: mse:5 the smallest, -accuracy:5 the largest.",
)
@click.option(
    "--keep",
    metavar="A,B",
    help="Only files; not these: args, results, logs, provenance, or globs. The runs stay.",
)
@click.option(
    "-n", "--dry-run", "--dry", "dry_run", is_flag=True, help="Only propose: the default."
)
@click.option("-y", "--force", is_flag=True, help="Do it.")
@pass_session
def command(
    session: Session,
    /,
    prefix: str,
    older: str | None,
    keep_best: str | None,
    keep: str | None,
    dry_run: bool,
    force: bool,
    **filters: Any,
) -> int:
    """Propose which runs to remove, to save space; with --force, remove them.

    What is selected is narrowed by each option. What goes, goes as with rm: from storage, all
    versions, and the copies here. Runs that are not over for certain, that are not in storage yet,
    and other users' (without --user) are left alone.
    """
    from savethat.catalog import pruning
    from savethat.catalog.filters import parse_age

    best = pruning.parse_best(keep_best) if keep_best else None
    patterns = pruning.parse_kept(keep) if keep is not None else ()
    before = datetime.now(timezone.utc) - parse_age(older) if older else None
    if not (prefix or best or before or any(filters.values())):
        raise UsageError(
            "gc needs a criterion: which runs?",
            "savethat gc --older 90d, --keep-best mse:5, a PREFIX or a filter of ls",
        )
    rows, complete = _select(session, prefix, filters, whole=best is not None)
    if not complete:
        # What is best, and what is stored, cannot be said.
        talk("Nothing is proposed: not all runs could be listed.")
        return STORAGE_INCOMPLETE
    going, staying = pruning.choose(rows, before=before, best=best)
    say_skipped(staying)
    do = force and not dry_run
    if patterns:
        return _drop(session, going, patterns, do=do)
    return _remove(session, going, do=do)


def _select(
    session: Session, prefix: str, filters: dict[str, Any], *, whole: bool
) -> tuple[list[Row], bool]:
    """The user's runs that match, and whether all of storage was listed."""
    chosen = make_filter(prefix, filters)
    rows, complete = list_matching(session, chosen, whole=whole, max_age=0.0)
    return (rows if chosen.users else skip_others(session, rows)), complete


def _remove(session: Session, rows: list[Row], *, do: bool) -> int:
    """Removes whole runs, or says what that would be."""
    from savethat.catalog import removal
    from savethat.catalog.usage import of_runs
    from savethat.cli.table import size

    catalog = session.catalog
    for usage in of_runs(catalog, rows):
        assert usage.row is not None
        click.echo(f"{usage.name}  {usage.row.status.value}  {size(usage.bytes)}".rstrip())
    plan = removal.plan(catalog, rows, named=False)
    what = f"removes {count(len(rows), 'run')}, {count(plan.files, 'file')}"
    if not _propose(session, what if rows else "", plan.bytes, do=do):
        return 0
    return remove_runs(session, plan.rows)


def _drop(session: Session, rows: list[Row], keep: tuple[str, ...], *, do: bool) -> int:
    """Drops all but some files of runs, or says what that would be."""
    from savethat.catalog import dropping
    from savethat.cli.table import size

    drops, skipped = dropping.plan(session.catalog, rows, keep)
    say_skipped(skipped)
    for drop in sorted(drops, key=lambda drop: (-drop.bytes, drop.row.key)):
        click.echo(f"{drop.row.key}  {_files(drop)}  {size(drop.bytes)}")
    files = sum(len(drop.files) for drop in drops)
    total = sum(drop.bytes for drop in drops)
    what = f"drops {count(files, 'file')} of {count(len(drops), 'run')}"
    if not _propose(session, what if drops else "", total, do=do):
        return 0
    done = dropping.drop(session.catalog, drops, by=session.user)
    talk(f"Dropped {count(done.files, 'file')} of {count(done.runs, 'run')}, {size(done.bytes)}.")
    return say_left(done.left)


def _propose(session: Session, what: str, freed: int, *, do: bool) -> bool:
    """Says what goes, and how to carry it out; whether it is to be done now."""
    from savethat.catalog.usage import dollars
    from savethat.cli.table import size

    if not what:
        talk("Nothing to remove.")
        return False
    on_b2 = session.catalog.remote is not session.catalog.home
    saves = f", and saves {money(dollars(freed))} a month" if on_b2 else ""
    talk(f"This {what}, {size(freed)}{saves}.")
    if not do:
        talk("Nothing was removed: the same with --force (-y) does it.")
    return do


def _files(drop: Drop) -> str:
    return count(len(drop.files), "file") if drop.files else "an earlier drop to be finished"
