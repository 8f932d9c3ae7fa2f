"""`savethat sync`: sends all that is still waiting here."""

from __future__ import annotations

import functools
from collections.abc import Callable

import click

from savethat.cli.session import Session, pass_session, talk, warn
from savethat.errors import RefusedError, SavethatError, StorageError

FAILED = 1


@click.command("sync")
@click.option("--background", is_flag=True, hidden=True, help="Runs only; not beside another.")
@pass_session
def command(session: Session, /, background: bool) -> int:
    """Send what waits here: runs to storage, and to SLURM what it did not take when launched."""
    if background:
        return _in_background(session)
    sent, left = _send_runs(session)
    submitted, refused = _submit_runs(session)
    if not any((sent, left, submitted, refused)):
        talk("Nothing is waiting here.")
    return FAILED if left or refused else 0


def _in_background(session: Session) -> int:
    from savethat.launchers.locks import lock
    from savethat.run.layout import LOCKS

    path = session.catalog.home.root / f"{LOCKS}background.lock"
    try:
        with lock(path, "another process sends what waits here", timeout=0.0):
            _, left = _send_runs(session)
    except RefusedError:
        return 0
    return FAILED if left else 0


def _send_runs(session: Session) -> tuple[int, int]:
    """Sends what storage could not take when it was due; how many runs went, how many are left."""
    from savethat.catalog import sending

    catalog = session.catalog
    todo: dict[str, Callable[[], int | None]] = {
        key: functools.partial(sending.send, catalog, key) for key in sending.waiting(catalog)
    }
    for row in sending.lost_here(catalog):
        todo.setdefault(row.key, functools.partial(sending.send_lost, catalog, row))
    if todo:
        catalog.remote.check()
    sent = left = 0
    for key, send in todo.items():
        try:
            count = send()
        except (StorageError, RefusedError) as error:
            left += 1
            talk(f"left: {key}: {error.message}")
        else:
            if count is None:
                talk(f"another process sent {key}")
                continue
            sent += 1
            talk(f"sent: {key}: {count} files")
            click.echo(key)
    return sent, left


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
