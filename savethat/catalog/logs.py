"""A run's log, wherever it is: beside the run, on the file system its job shares, or stored."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.errors import MissingError
from savethat.launchers.foreground import is_alive, machine_id
from savethat.launchers.output import job_output
from savethat.remotes import pieces
from savethat.run.layout import LOG_FILE, launch_folder, live_log


class Log:
    """One run's log, read from where the last reading ended.

    Args:
        catalog: the project's runs.
        key: the run's key.
    """

    def __init__(self, catalog: Catalog, row: Row) -> None:
        self._catalog = catalog
        self._row = row
        self._read = 0
        self._was_live = False
        self._shown = hashlib.sha1(usedforsecurity=False)

    def look(self, row: Row) -> None:
        """Goes on with what is known of the run by now."""
        self._row = row

    @property
    def is_near(self) -> bool:
        """Whether looking again costs nobody anything: the log is on this file system."""
        return self._local() is not None or self._catalog.remote is self._catalog.home

    @property
    def has_ended_here(self) -> bool:
        """Whether it can be seen here that the run may have ended: its process or log is gone."""
        place = self._row.place
        if place.pid and place.machine == machine_id():
            return not is_alive(place.pid, place.pid_started)
        return self._was_live and not self._live().is_file()

    def more(self) -> bytes:
        """What has been written since the last call; empty where nothing has, or nothing at all.

        Raises:
            StorageError: storage could not be asked.
        """
        path = self._local()
        content = self._tail(path) if path is not None else self._fetched()
        self._read += len(content)
        self._shown.update(content)
        return content

    def batch_output(self) -> bytes:
        """What the run's job printed outside the run, where the run itself left no log."""
        folder = self._catalog.home.root / launch_folder(self._row.launch)
        path = job_output(folder, self._row.launch, self._row.position, self._row.array_size)
        try:
            return path.read_bytes()
        except OSError:
            return b""

    def _local(self) -> Path | None:
        """The log on this machine, or on the file system it shares with the run's."""
        live, kept = self._live(), self._catalog.home.root / self._row.key / LOG_FILE
        if not self._row.status.finished and live.is_file():
            self._was_live = True
            return live
        # A copy that was downloaded while the run went on is behind.
        on_this_machine = self._row.place.scheduler != "slurm"
        if kept.is_file() and (on_this_machine or self._catalog.remote is self._catalog.home):
            return kept
        return kept if kept.is_file() and self._row.at_home else None

    def _live(self) -> Path:
        return self._catalog.home.root / live_log(self._row.launch, self._row.position)

    def _tail(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                file.seek(self._read)
                return file.read()
        except OSError:
            return b""  # it was just moved to where it is kept

    def _fetched(self) -> bytes:
        name = f"{self._row.key}/{LOG_FILE}"
        remote = self._catalog.remote
        entry = pieces.find(remote, name)
        if entry is None or entry.size <= self._read:
            return b""
        with contextlib.suppress(MissingError):  # it is written anew: the next look sees it
            # What was added since the last look, where that is all in pieces: it is checked to go
            # on from what was shown.
            if isinstance(entry, pieces.Grown) and entry.pieces[0].offset <= self._read:
                new = pieces.tail(remote, entry, self._read)
                digest = self._shown.copy()
                digest.update(new)
                if digest.hexdigest() == entry.sha1:
                    return new
            return pieces.read(remote, name)[self._read :]
        return b""
