"""A running run's log where others can read it: on the file system the cluster shares."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import IO


class LiveLog:
    """A copy of `output.log` as it grows. Whatever goes wrong with it harms no run: it just ends.

    Args:
        path: the copy.
        log: the run's log, with what earlier attempts wrote.
    """

    def __init__(self, path: Path, log: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if log.is_file():
                shutil.copyfile(log, path)
            self._file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)

    def write(self, text: str) -> None:
        """Adds to it."""
        if self._file is not None:
            try:
                self._file.write(text)
            except OSError:
                self._file = None

    def remove(self) -> None:
        """Takes it away: from now on the run's own log is read."""
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
            self._path.unlink(missing_ok=True)
