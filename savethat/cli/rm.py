"""`savethat rm`: removes runs, after showing what goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from savethat.cli.completing import complete_keys
from savethat.cli.removing import remove_runs, say_removed, say_skipped
from savethat.cli.selection import FEW, filter_options, list_matching, make_filter, skip_others
from savethat.cli.session import Session, count, pass_session, talk
from savethat.errors import NotFoundError, RefusedError, SchedulerError, UsageError

if TYPE_CHECKING:
    from savethat.catalog.row import Row

# How long cancelled runs may take to end: SLURM's KillWait is 30 s, and then they are carried out.
CANCEL_WAIT = 120.0


@click.command("rm")
@click.argument("selectors", nargs=-1, metavar="[KEY… | PREFIX]", shell_complete=complete_keys)
@filter_options
@click.option("-y", "--force", is_flag=True, help="Do not ask.")
@click.option("-n", "--dry-run", "--dry", "dry_run", is_flag=True, help="Only show what would go.")
@click.option("--local", is_flag=True, help="Only the copies here; never an only copy.")
@click.option("--cancel", is_flag=True, help="End runs that are live, then remove them too.")
@pass_session
def command(
    session: Session,
    /,
    selectors: tuple[str, ...],
    force: bool,
    dry_run: bool,
    local: bool,
    cancel: bool,
    **options: Any,
) -> int:
    """Remove runs: locally and remotely, every version of every file.

    Takes whole keys, or one PREFIX, or filters. Runs that are queued, running or unknown are left
    alone, and so are other users' (without --user).
    """
    from savethat.catalog import removal

    rows, named = _select(session, selectors, options)
    if cancel:
        rows = _cancel(session, rows, really=not dry_run)
    plan = removal.plan(session.catalog, rows, named=named)
    say_skipped(plan.skipped)
    if not plan.rows:
        talk("Nothing to remove.")
        return 0
    _show(plan, local=local)
    if dry_run:
        return 0
    if not force:
        _ask()
    if local:
        home = session.catalog.home
        only = session.catalog.remote is home
        return say_removed(removal.remove_local(home, plan.rows, only_copy=only))
    return remove_runs(session, plan.rows)


def _select(
    session: Session, selectors: Sequence[str], options: dict[str, Any]
) -> tuple[list[Row], bool]:
    """The rows meant, and whether each was named by its key."""
    from savethat.run.key import parse_key

    keys = [text for text in selectors if parse_key(text) is not None]
    if selectors == ("-",):
        keys = sys.stdin.read().split()
        wrong = [text for text in keys if parse_key(text) is None]
        if wrong:
            raise UsageError(f"{wrong[0]!r} on stdin is not a whole key", "savethat ls --keys")
        if not keys:
            return [], True
    elif keys and len(keys) != len(selectors):
        other = next(text for text in selectors if text not in keys)
        raise UsageError(f"{other} is not a whole key", "rm takes whole keys, or one PREFIX")
    elif not keys and len(selectors) > 1:
        raise UsageError(
            "rm takes whole keys, or one PREFIX", "savethat ls PREFIX shows what it is"
        )
    prefix = "" if keys or not selectors else selectors[0]
    chosen = make_filter(prefix, options)
    if keys:
        found = _look_up(session, keys)
        missing = [key for key in keys if key not in found]
        if missing:
            raise NotFoundError(f"there is no run {missing[0]}", "savethat ls")
        rows = [*found.values()]
        _refuse_others(session, rows, chosen.users)
        return [row for row in rows if chosen.matches(row)], True
    if not chosen or not (prefix or _narrows(options)):
        raise UsageError(
            "rm needs a KEY, a PREFIX or a filter",
            "savethat rm --failed; savethat ls shows what there is",
        )
    rows, _ = list_matching(session, chosen, max_age=0.0)
    if not chosen.users:
        rows = skip_others(session, rows)
    return rows, False


def _narrows(options: dict[str, Any]) -> bool:
    return any(value for value in options.values())


def _look_up(session: Session, keys: Sequence[str]) -> dict[str, Row]:
    """The runs of whole keys, by key, in that order; without those that there are not."""
    wanted = dict.fromkeys(keys)
    if len(wanted) > FEW:
        listing = session.catalog.list(max_age=0.0)
        if listing.complete:
            there = {row.key: row for row in listing.rows}
            return {key: there[key] for key in wanted if key in there}
    found = {key: session.catalog.find(key, max_age=0.0) for key in wanted}
    return {key: row for key, row in found.items() if row is not None}


def _refuse_others(session: Session, rows: Sequence[Row], users: Sequence[str]) -> None:
    for row in rows:
        if row.place.user not in (session.user, *users) and "all" not in users:
            raise RefusedError(
                f"{row.key} is {row.place.user}'s run",
                f"savethat rm --user {row.place.user} {row.key}, if that is meant",
            )


def _cancel(session: Session, rows: list[Row], *, really: bool) -> list[Row]:
    """Ends the live ones among these runs and waits until they have ended."""
    from savethat.catalog.cancelling import cancel
    from savethat.run.status import Status

    live = {row.key for row in rows if row.status in (Status.QUEUED, Status.RUNNING)}
    if not live or not really:
        return rows
    talk(f"Ending {count(len(live), 'run')}…")
    cancel(session.catalog, [row for row in rows if row.key in live], by=session.user)
    until = time.monotonic() + CANCEL_WAIT
    while time.monotonic() < until:
        found = _look_up(session, [row.key for row in rows])
        now = [found.get(row.key, row) for row in rows]
        if all(row.status.finished for row in now if row.key in live):
            return now
        time.sleep(1.0)
    raise SchedulerError(
        "the runs were told to end, and have not yet", "savethat ls, then the same rm again"
    )


def _show(plan: Any, *, local: bool) -> None:
    from savethat.cli.table import size

    for row in plan.rows:
        click.echo(f"{row.key}  {row.status.value}")
    where = "the copies here of " if local else ""
    talk(
        f"This removes {where}{count(len(plan.rows), 'run')}, "
        f"{count(plan.files, 'file')}, {size(plan.bytes)}."
    )


def _ask() -> None:
    if not sys.stdin.isatty():
        raise RefusedError("nothing was removed: there is no terminal to ask on", "--force (-y)")
    if not click.confirm("Remove them?", err=True):
        raise RefusedError("nothing was removed")
