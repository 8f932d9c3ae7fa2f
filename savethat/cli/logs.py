"""`savethat logs`: a run's log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from savethat.cli.completing import complete_keys
from savethat.cli.selection import select_one
from savethat.cli.session import Session, pass_session, talk
from savethat.cli.terminal import LogOutput
from savethat.errors import NotFoundError

if TYPE_CHECKING:
    from savethat.catalog.logs import Log
    from savethat.catalog.row import Row

# A log on this file system is looked at as often as people do; a bucket is asked rarely.
_LOOK_NEAR, _LOOK_FAR = 0.5, 15.0
# How often the run's state is looked at, meanwhile: what a bucket is asked more often is paid for.
_STATE_NEAR, _STATE_FAR = 2.0, 30.0


@click.command("logs")
@click.argument("key", metavar="KEY", shell_complete=complete_keys)
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows, until the run has ended.")
@click.option("-n", "--lines", type=click.IntRange(min=0), help="Only the last so many lines.")
@pass_session
def command(session: Session, /, key: str, follow: bool, lines: int | None) -> None:
    """Show a run's log: the logger, stdout and stderr, and why it ended.

    Of a running SLURM job it is read from the file system that the cluster shares, else from what
    it has sent to storage.
    """
    from savethat.catalog.logs import Log

    row = select_one(session, key)
    log = Log(session.catalog, row)
    text = log.more()
    if not text and row.status.finished:
        text = log.batch_output()
    if not text and not follow:
        raise NotFoundError(
            f"{row.key} is {row.status.value} and has no log yet", f"savethat logs -f {row.key}"
        )
    output = LogOutput()
    output.write(text if lines is None else _last(text, lines), last=not follow)
    if follow:
        _follow(session, log, row, output)


def _follow(session: Session, log: Log, row: Row, output: LogOutput) -> None:
    looked = time.monotonic()
    while not row.status.finished:
        time.sleep(_LOOK_NEAR if log.is_near else _LOOK_FAR)
        output.write(log.more())
        near = session.catalog.remote is session.catalog.home or log.has_ended_here
        if time.monotonic() - looked >= (_STATE_NEAR if near else _STATE_FAR):
            looked = time.monotonic()
            # That the run has ended, its marks say; the scheduler says no more than that it died.
            found = session.catalog.find(row.key, max_age=_STATE_FAR)
            if found is None:
                raise NotFoundError(f"there is no run {row.key} any more", "savethat ls")
            row = found
            log.look(row)
    output.write(log.more(), last=True)
    talk(f"{row.status.value}: {row.reason}" if row.reason else row.status.value)


def _last(text: bytes, lines: int) -> bytes:
    return b"".join(text.splitlines(keepends=True)[-lines:]) if lines else b""
