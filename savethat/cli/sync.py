"""`savethat sync`: sends all that is still waiting here."""

from __future__ import annotations

import click

from savethat.cli.session import Session, pass_session, talk
from savethat.errors import StorageError

FAILED = 1


@click.command("sync")
@pass_session
def command(session: Session, /) -> int:
    """Send the runs that are kept here because storage could not be reached when they ended."""
    from savethat.catalog import files

    catalog = session.catalog
    keys = files.waiting(catalog)
    if not keys:
        talk("Nothing is waiting here.")
        return 0
    catalog.remote.check()
    left = 0
    for key in keys:
        try:
            count = files.send(catalog, key)
        except StorageError as error:
            left += 1
            talk(f"left: {key}: {error.message}")
        else:
            talk(f"sent: {key}: {count} files")
            click.echo(key)
    return FAILED if left else 0
