"""`savethat sync`: sends all that is still waiting here."""

from __future__ import annotations

import click

from savethat.cli.session import Session, pass_session, talk, warn
from savethat.errors import SavethatError, StorageError

FAILED = 1


@click.command("sync")
@pass_session
def command(session: Session, /) -> int:
    """Send what waits here: runs to storage, and to SLURM what it did not take when launched."""
    sent, left = _send_runs(session)
    submitted, refused = _submit_runs(session)
    if not any((sent, left, submitted, refused)):
        talk("Nothing is waiting here.")
    return FAILED if left or refused else 0


def _send_runs(session: Session) -> tuple[int, int]:
    """Sends runs that storage could not take when they ended; how many went, how many are left."""
    from savethat.catalog import files

    catalog = session.catalog
    keys = files.waiting(catalog)
    if keys:
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
    return len(keys) - left, left


def _submit_runs(session: Session) -> tuple[int, int]:
    """Submits what waits of launches; how many launches SLURM took more of, and refused."""
    from savethat.launch.resume import resume_waiting

    taken = refused = 0
    for launch_id, done in resume_waiting(session.config, session.catalog):
        if isinstance(done, SavethatError):
            refused += 1
            talk(f"left: {launch_id}: {done.message}")
        else:
            taken += 1
            talk(f"submitted: {len(done.sent.positions)} runs of {launch_id}")
            warn(done.warnings)
    return taken, refused
