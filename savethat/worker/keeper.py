"""Keeps a run's traces up to date while it runs, and completes them when it has ended.

What is written where, and in which order, is the storage law (`docs/explanation/storage.md`).
"""

from __future__ import annotations

import dataclasses
import signal
import threading
import time

from savethat.errors import StorageError
from savethat.remotes.base import Remote
from savethat.remotes.directory import DirectoryRemote
from savethat.run.layout import launch_name, marks_prefix
from savethat.run.record import Launch, Mark
from savethat.run.status import stale_after
from savethat.worker.capsule import store_code
from savethat.worker.carry import CarryOut
from savethat.worker.errand import one_line
from savethat.worker.folder import RunFolder
from savethat.worker.journal import Journal
from savethat.worker.ledger import Ledger, RemovedError, publish
from savethat.worker.signals import Signals


class Keeper(threading.Thread):
    """Sends a run's files and marks to the remote as it goes; at the end to the home if it must.

    Args:
        remote: where the run is to be stored.
        home: the folder on this machine (or the cluster's shared file system) that takes the run
            when the remote cannot; the same object as `remote` in a local-only project.
        folder: the run's.
        launch: its launch.
        mark: the `started` mark.
        journal, signals: the supervisor's.
        sync_every: seconds between two carry-outs.
        published: whether the launch record is on `remote` already.
    """

    def __init__(
        self,
        remote: Remote,
        home: DirectoryRemote,
        folder: RunFolder,
        launch: Launch,
        mark: Mark,
        journal: Journal,
        signals: Signals,
        *,
        sync_every: float,
        published: bool,
    ) -> None:
        super().__init__(name="savethat-keeper", daemon=True)
        self._remote = remote
        self._home = home
        self._folder = folder
        self._launch = launch
        self._mark = mark
        self._journal = journal
        self._signals = signals
        self._sync_every = sync_every
        self._published = published
        self._ledger = Ledger(remote, launch.id)
        self._home_ledger = Ledger(home, launch.id)
        self._carry = CarryOut(folder.path, remote, mark.key, journal, earlier=mark.attempt > 1)
        self._over = threading.Event()
        self._touched = time.time()
        self._told = ""
        self._next_carry = 0.0
        self.removed = False
        # Why the remote does not have it all, after a `finish` that returned False.
        self.trouble = ""

    @property
    def _in_place(self) -> bool:
        """Whether the run's folder is where the remote has it: then there is nothing to send."""
        return self._remote is self._home and not self._folder.in_scratch

    def run(self) -> None:
        """Beats until `finish`."""
        while not self._over.is_set():
            try:
                self._beat()
            except RemovedError as error:
                self.removed = True
                self._journal.event(f"{error.message}: ending the node", "WARNING", show=True)
                self._signals.inject(signal.SIGTERM)
                return
            # A fault of ours, too, must not keep the run's end from being stored.
            except Exception as error:
                self._tell(error)
            self._over.wait(self._mark.heartbeat)

    def _beat(self) -> None:
        if not self._published:
            publish(self._remote, self._launch)
            self._published = True
        # A worker that was suspended, or cut off, looks whether it is still wanted before it
        # writes. By the clock on the wall: a monotonic one stands still while a machine sleeps.
        now = time.time()
        if now - self._touched > stale_after(self._mark):
            self._ledger.require_wanted(self._mark.key, self._mark.attempt)
        files, size = self._carry.size()
        self._ledger.beat(dataclasses.replace(self._mark, files=files, bytes=size))
        self._touched = time.time()
        if not self._in_place and self._touched >= self._next_carry:
            self._next_carry = self._touched + self._sync_every
            self._carry.carry()

    def _tell(self, error: Exception) -> None:
        # Once a cause: an outage of hours is not worth a line a minute.
        why = error.message if isinstance(error, StorageError) else one_line(error)
        if why != self._told:
            self._told = why
            self._journal.event(f"cannot store the run yet: {why}", "WARNING", show=True)

    def announce(self) -> None:
        """Shows the run on this machine at once, before the remote has been reached."""
        if self._remote is not self._home:
            publish(self._home, self._launch)
            self._home_ledger.beat(self._mark)

    def keep_code(self, capsule: str) -> None:
        """Stores the code that was frozen beside the run, if it can be: else it stays at home."""
        try:
            store_code(self._remote, self._home, capsule)
        except (StorageError, OSError) as error:
            self._tell(error)

    def pause(self) -> None:
        """Ends the beating; a carry-out that is under way is finished first."""
        self._over.set()
        self.join()

    def finish(self, ending: Mark) -> bool:
        """Stores what is left and the ending mark; returns whether the remote has it all.

        Raises:
            RemovedError: the run is not wanted any more.
            StorageError: neither the remote nor the home could take it.
        """
        files, size = self._carry.size()
        ending = dataclasses.replace(ending, files=files, bytes=size)
        try:
            self._store(ending)
        except RemovedError:
            raise
        # Whatever went wrong, the home is tried before anything is given up.
        except (Exception, KeyboardInterrupt) as error:
            if self._remote is self._home:
                raise
            self._keep_at_home(ending)
            self.trouble = error.message if isinstance(error, StorageError) else one_line(error)
            return False
        if self._remote is not self._home:
            self._home.delete_prefix(marks_prefix(ending.key))
            # The record of several runs goes when the last of them does.
            if len(self._launch.runs) == 1:
                self._home.delete([launch_name(self._launch.id)])
        return True

    def _store(self, ending: Mark) -> None:
        if not self._published:
            publish(self._remote, self._launch)
            self._published = True
        if not self._in_place:
            self._carry.carry()
        self._ledger.end(ending)

    def _keep_at_home(self, ending: Mark) -> None:
        if self._folder.in_scratch:
            self._folder.copy_to(self._home.root / ending.key)
        publish(self._home, self._launch)
        self._home_ledger.end(ending)
