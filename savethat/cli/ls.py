"""`savethat ls`: every run with its true state."""

from __future__ import annotations

import gc
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from savethat.cli.completing import complete_keys
from savethat.cli.completing.keys import MOST_KEYS
from savethat.cli.completing.learning import remember_keys
from savethat.cli.selection import NO_RUNS, filter_options, make_filter, say_nothing_found
from savethat.cli.session import Session, pass_session, talk, warn
from savethat.cli.terminal import json_line

if TYPE_CHECKING:
    from savethat.catalog.filters import Filter
    from savethat.catalog.row import Row

STORAGE_INCOMPLETE = 5
WATCH_EVERY = 30.0


@click.command("ls")
@click.argument("prefix", required=False, default="", shell_complete=complete_keys)
@filter_options
@click.option("-a", "--all", "--files", "files", is_flag=True, help="Show the runs' files.")
@click.option("--absolute", is_flag=True, help="Show times as UTC instead of as ages.")
@click.option("--sort", metavar="COLUMN", help="Sort by a column; -COLUMN for descending.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the latest.")
@click.option("--columns", metavar="A,B", help="More columns: args.lr,result.mse")
@click.option("--local", is_flag=True, help="Only runs with a copy on this machine.")
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
@click.option("--keys", is_flag=True, help="Keys only.")
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@pass_session
def command(session: Session, /, prefix: str, watch: bool, **options: Any) -> int:
    """List runs with their true state.

    PREFIX is a plain start of the key: FitOLS includes FitOLSRidge_…; --node FitOLS is exact.
    Different filters narrow each other; repeated ones, and states among themselves, widen.
    """
    # A listing, and what reads filters, take 100 ms to import.
    if not (prefix or watch or any(options.values())) and session.has_no_runs:
        remember_keys(session.config.root, {}, whole=True)
        talk(NO_RUNS)
        return 0
    chosen = make_filter(prefix, options)
    if not watch:
        # What a listing makes stays until the end: there is nothing to collect, and much to search.
        gc.disable()
        return _once(session, chosen, options)
    while True:
        _once(session, chosen, options, watching=True)
        time.sleep(WATCH_EVERY)


def _once(
    session: Session, chosen: Filter, options: dict[str, Any], *, watching: bool = False
) -> int:
    streams = options["as_json"] or options["keys"]
    if streams and not (options["sort"] or options["limit"] or watching):
        return _stream(session, chosen, options)
    from savethat.catalog.listing import FRESH
    from savethat.cli import table
    from savethat.cli.sending import send_on

    columns = tuple(filter(None, (options["columns"] or "").split(",")))
    # The scheduler is asked by the first of all watching terminals, for all of them.
    max_age = WATCH_EVERY if watching else FRESH
    listing = session.catalog.list(node=chosen.class_name, max_age=max_age)
    remember_keys(
        session.config.root,
        {row.key: row.status.value for row in listing.rows[-MOST_KEYS:]},
        whole=listing.complete and not chosen.class_name,
    )
    whole = chosen.reads_args or columns or options["sort"] or options["as_json"]
    rows = listing.whole_rows(session.catalog) if whole else listing.rows
    rows = [*_selected(session, rows, chosen, options)]
    if options["sort"]:
        rows = table.sort(rows, options["sort"])
    if options["limit"]:
        rows = rows[-options["limit"] :]
    if watching:
        click.clear()  # only now: what was shown stays until there is something else to show
    warn(listing.warnings)
    if options["as_json"] or options["keys"]:
        _print_lines(session, rows, options)
    elif rows:
        table.show(
            rows,
            columns or table.differing(rows) if chosen.sweeps else columns,
            absolute=options["absolute"],
        )
        if options["files"]:
            for row in rows:
                table.show_files(row.key, session.catalog.files(row))
    else:
        say_nothing_found(chosen)
    if listing.complete:
        send_on(session, listing.rows)
    return 0 if listing.complete or options["local"] else STORAGE_INCOMPLETE


def _stream(session: Session, chosen: Filter, options: dict[str, Any]) -> int:
    """Prints a line a run as rows come: of any number of them, few are in memory at a time."""
    from savethat.cli.sending import send_on

    stream = session.catalog.stream(node=chosen.class_name)
    warn(stream.warnings)
    latest: deque[tuple[str, str]] = deque(maxlen=MOST_KEYS)
    unsent: deque[Row] = deque(maxlen=1)

    def noted() -> Iterator[Row]:
        for row in stream.rows:
            latest.append((row.key, row.status.value))
            if row.synced is False:
                unsent.append(row)
            yield row

    unread: list[str] = []
    reads_all = options["as_json"] or chosen.reads_args
    rows = session.catalog.whole_rows(noted(), unread) if reads_all else noted()
    _print_lines(session, _selected(session, rows, chosen, options), options)
    warn(unread)
    remember_keys(
        session.config.root, dict(latest), whole=stream.complete and not chosen.class_name
    )
    if stream.complete:
        send_on(session, unsent)
    return 0 if stream.complete or options["local"] else STORAGE_INCOMPLETE


def _selected(
    session: Session, rows: Iterable[Row], chosen: Filter, options: dict[str, Any]
) -> Iterable[Row]:
    """The rows that are meant."""
    if chosen:
        rows = filter(chosen.matches, rows)
    if options["local"]:
        rows = (row for row in rows if (session.config.local_path / row.key).is_dir())
    return rows


def _print_lines(session: Session, rows: Iterable[Row], options: dict[str, Any]) -> None:
    for row in rows:
        line = row.key if options["keys"] else json_line(_with_files(session, row, options))
        sys.stdout.write(line + "\n")


def _with_files(session: Session, row: Row, options: dict[str, Any]) -> dict[str, Any]:
    data = row.to_json()
    if options["files"]:
        data["listing"] = [
            {"name": file.name, "bytes": file.size, "sha1": file.sha1}
            for file in session.catalog.files(row)
        ]
    return data
