"""How far a transfer is, on a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

from savethat.remotes.base import Progress


@contextlib.contextmanager
def progress_bar(description: str, total: int) -> Iterator[Progress]:
    """Shows a bar on stderr where that is a terminal and NO_COLOR is not set; else nothing.

    Args:
        description: what is under way.
        total: bytes.

    Yields:
        What to call with a number of bytes just transferred, from any thread.
    """
    if not sys.stderr.isatty() or os.environ.get("NO_COLOR"):
        yield lambda _count: None
        return
    from rich.console import Console  # rich takes a while to import, and most callers are no people
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import (
        Progress as Bar,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    lock = threading.Lock()
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)

        def advance(count: int) -> None:
            with lock:
                bar.advance(task, count)

        yield advance
