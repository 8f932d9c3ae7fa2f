"""`savethat cancel`: ends runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from savethat.cli.completing import complete_keys
from savethat.cli.selection import filter_options, own_runs
from savethat.cli.session import Session, count, pass_session, talk

if TYPE_CHECKING:
    from savethat.catalog.row import Row


@click.command("cancel")
@click.argument("keys", nargs=-1, metavar="[KEY…]", shell_complete=complete_keys)
@filter_options
@pass_session
def command(session: Session, /, keys: tuple[str, ...], **options: Any) -> None:
    """End runs, queued or running; what they wrote until then is kept.

    KEY is a whole key, an unambiguous start or end of one, `last`, or - to read keys from stdin.
    Filters work as for ls: --sweep ID, --queued. Prints the keys of the runs that were ended.
    """
    from savethat.catalog.cancelling import cancel

    rows = own_runs(session, keys, options, live=True)
    live = [row for row in rows if _is_live(session, row, named=bool(keys))]
    cancel(session.catalog, live, by=session.user)
    for row in live:
        click.echo(row.key)
    talk(f"{count(len(live), 'run')} told to end." if live else "None to end.")


def _is_live(session: Session, row: Row, *, named: bool) -> bool:
    if not row.status.finished:
        return True
    if named:
        talk(f"{row.key} is {row.status.value} already")
    return False
