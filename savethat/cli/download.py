"""`savethat download KEY…`: brings runs' files here."""

from __future__ import annotations

import click

from savethat.cli.completing import complete_keys
from savethat.cli.selection import filter_options, select_runs
from savethat.cli.session import Session, pass_session, talk


@click.command("download")
@click.argument("keys", nargs=-1, metavar="[KEY…]", shell_complete=complete_keys)
@filter_options
@click.option("--only", multiple=True, metavar="GLOB", help="Only such files (repeatable): '*.csv'")
@pass_session
def command(
    session: Session, /, keys: tuple[str, ...], only: tuple[str, ...], **options: object
) -> None:
    """Bring runs' files here, under local_path.

    KEY is a whole key, an unambiguous start or end of one, `last`, or - to read keys from stdin.
    What is here already is not fetched again. Prints the folders.
    """
    from savethat.catalog import files

    for row in select_runs(session, keys, options):
        if row.status.value in ("queued", "running"):
            talk(f"{row.key} is {row.status.value}: this is what it has sent so far")
        click.echo(files.download(session.catalog, row, only))
