"""The filters of `ls`, which every command that selects runs takes too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

import click

from savethat.cli.completing import complete_nodes, complete_statuses
from savethat.cli.session import Session, talk, warn
from savethat.errors import NotFoundError, RefusedError, UsageError

if TYPE_CHECKING:
    from savethat.catalog.filters import Filter
    from savethat.catalog.row import Row

Command = TypeVar("Command", bound=Callable[..., Any])

NO_RUNS = "No runs yet: savethat run NODE"
# So many whole keys are looked up one by one: two class C transactions each, however many runs
# there are. A listing of all costs one for each thousand of them.
FEW = 50

_OPTIONS = (
    click.option(
        "--status",
        multiple=True,
        metavar="S",
        shell_complete=complete_statuses,
        help="In this state (repeatable).",
    ),
    click.option("--completed", is_flag=True, help="Completed."),
    click.option("--failed", is_flag=True, help="Failed, cancelled or lost."),
    click.option("--running", is_flag=True, help="Running."),
    click.option("--queued", is_flag=True, help="Queued."),
    click.option("--last", metavar="AGE", help="Within 90 (minutes), 90m, 3h, 2d or 1w."),
    click.option("--before", metavar="TIME", help="Before a time (ISO 8601) or an age (30d)."),
    click.option("--after", metavar="TIME", help="At or after a time or an age."),
    click.option(
        "--node",
        multiple=True,
        shell_complete=complete_nodes,
        help="Of this node, exactly (repeatable).",
    ),
    click.option("--arg", multiple=True, metavar="NAME=VALUE", help="With this argument."),
    click.option("--tag", multiple=True, help="With this tag (repeatable)."),
    click.option("--sweep", multiple=True, metavar="ID", help="Of this sweep."),
    click.option(
        "--user", multiple=True, metavar="NAME", help="Of this user; `all` for everybody."
    ),
)


def filter_options(command: Command) -> Command:
    """Adds the filters to a command, which takes them as `**filters` for `make_filter`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def make_filter(prefix: str, filters: dict[str, Any]) -> Filter:
    """The filter that these options ask for.

    Raises:
        UsageError: a value of one is wrong.
    """
    from savethat.catalog.filters import Filter, parse_age, parse_status, parse_time, statuses

    now = datetime.now(timezone.utc)
    bounds = [parse_time(filters["after"], now)] if filters["after"] else []
    if filters["last"]:
        bounds.append(now - parse_age(filters["last"]))
    return Filter(
        prefix=prefix,
        nodes=tuple(filters["node"]),
        statuses=statuses(
            map(parse_status, filters["status"]),
            completed=filters["completed"],
            failed=filters["failed"],
            running=filters["running"],
            queued=filters["queued"],
        ),
        after=max(bounds) if bounds else None,
        before=parse_time(filters["before"], now) if filters["before"] else None,
        args=tuple(map(_pair, filters["arg"])),
        tags=tuple(filters["tag"]),
        sweeps=tuple(filters["sweep"]),
        users=tuple(filters["user"]),
    )


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--arg {text}: no value", f"write --arg {text}=VALUE")
    return name, value


def list_matching(
    session: Session, chosen: Filter, *, whole: bool = False, max_age: float = 5.0
) -> tuple[list[Row], bool]:
    """The runs that a filter means, oldest first, and whether all of storage was listed.

    Args:
        session: the call's.
        chosen: the filter.
        whole: whether what is too large for a listing is wanted, too.
        max_age: seconds for which another process's answer of a scheduler is good enough.
    """
    listing = session.catalog.list(node=chosen.class_name, max_age=max_age)
    whole = whole or chosen.reads_args
    rows = listing.whole_rows(session.catalog) if whole else listing.rows
    warn(listing.warnings)
    return [row for row in rows if chosen.matches(row)], listing.complete


def say_nothing_found(chosen: Filter) -> None:
    """Says that there is no run, or none that is meant."""
    talk("No run matches." if chosen else NO_RUNS)


def skip_others(session: Session, rows: Sequence[Row]) -> list[Row]:
    """The user's own runs; says of each other one that it is skipped."""
    for row in rows:
        if row.place.user != session.user:
            talk(f"skipped: {row.key} is {row.place.user}'s (--user {row.place.user})")
    return [row for row in rows if row.place.user == session.user]


def select_one(session: Session, key: str) -> Row:
    """The run that a key names.

    Raises:
        NotFoundError: it names none, or several.
    """
    (row,) = select_runs(session, [key], {})
    return row


def select_runs(
    session: Session, keys: Sequence[str], filters: dict[str, Any], *, live: bool = False
) -> list[Row]:
    """The runs that keys and filters name, oldest first.

    Args:
        session: the call's.
        keys: as given.
        filters: as given.
        live: whether live runs are what is wanted, so that a storage that does not answer is no
            reason not to find them.

    Raises:
        NotFoundError: a key names none, or several.
        UsageError: neither a key nor a filter was given.
    """
    from savethat.catalog.filters import Filter, resolve
    from savethat.run.key import parse_key

    if list(keys) == ["-"]:
        keys = sys.stdin.read().split()
        if not keys:
            return []
    chosen = make_filter("", filters) if filters else Filter()
    if not keys and not chosen:
        raise UsageError("which run?", "give a KEY, `last` or a filter; savethat ls shows them")
    if 0 < len(keys) <= FEW and all(parse_key(key) is not None for key in keys):
        find = session.catalog.find_live if live else session.catalog.look_up
        found = [(key, find(key)) for key in dict.fromkeys(keys)]
        rows = [row for _, row in found if row is not None]
        missing = [key for key, row in found if row is None]
        if missing:
            raise NotFoundError(f"there is no run {missing[0]}", "savethat ls")
    else:
        listing = session.catalog.list(node=chosen.class_name)
        rows = listing.whole_rows(session.catalog) if chosen.reads_args else listing.rows
        warn(listing.warnings)
        if keys:
            rows = list({row.key: row for row in (resolve(rows, key) for key in keys)}.values())
    if chosen.reads_args:
        rows = [session.catalog.whole(row) for row in rows]
    return [row for row in rows if chosen.matches(row)]


def own_runs(
    session: Session, keys: Sequence[str], filters: dict[str, Any], *, live: bool = False
) -> list[Row]:
    """As `select_runs`, for commands that change something: one's own, unless `--user` says so.

    Raises:
        RefusedError: a run that was named is another user's.
    """
    rows = select_runs(session, keys, filters, live=live)
    if filters["user"]:
        return rows
    others = [row for row in rows if row.place.user != session.user]
    if keys and others:
        row = others[0]
        raise RefusedError(
            f"{row.key} is {row.place.user}'s run", f"--user {row.place.user}, if that is meant"
        )
    return skip_others(session, rows)
