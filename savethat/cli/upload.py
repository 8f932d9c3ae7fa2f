"""`savethat upload KEY`: sends a run's files to storage."""

from __future__ import annotations

import click

from savethat.cli.completing import complete_keys
from savethat.cli.selection import select_runs
from savethat.cli.session import Session, pass_session, talk
from savethat.errors import UsageError


@click.command("upload")
@click.argument("key", metavar="KEY", shell_complete=complete_keys)
@pass_session
def command(session: Session, /, key: str) -> None:
    """Send a run's files from this machine to storage; what is there already is not sent."""
    from savethat.catalog import sending

    if session.config.b2 is None:
        raise UsageError(
            "this project has no bucket: its runs are kept in local_path", "set b2_bucket"
        )
    (row,) = select_runs(session, (key,), {})
    count = sending.upload(session.catalog, row)
    talk(f"{row.key}: {count} files are in {session.catalog.remote.url}")
