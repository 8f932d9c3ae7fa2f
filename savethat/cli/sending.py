"""Sends on what waits on this machine, beside whatever the user does."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from savethat.catalog.row import Row
    from savethat.cli.session import Session

# Seconds between two attempts: what fails now, fails at the next command too.
PAUSE = 60.0
_KIND = "sending"


def send_on(session: Session, rows: Iterable[Row]) -> None:
    """Starts a `savethat sync` that outlives this command, where ended runs wait here.

    Call it when storage has just answered. It is not started inside a run, whose end would end it,
    nor again within a minute.
    """
    from savethat.cache import is_known, note
    from savethat.launchers.processes import INSIDE_A_RUN, start_detached

    waits = any(row.synced is False and row.status.finished for row in rows)
    project = str(session.config.root)
    if not waits or INSIDE_A_RUN in os.environ or is_known(_KIND, project, max_age=PAUSE):
        return
    note(_KIND, project)
    command = [sys.executable, "-m", "savethat", "--project", project, "sync", "--background"]
    # Whatever is wrong here is no concern of the command.
    with contextlib.suppress(subprocess.SubprocessError):
        start_detached(command, cwd=session.config.root, output=subprocess.DEVNULL)
