"""Keeps a run's traces up to date while it runs, and completes them when it has ended.

What is written where, and in which order, is the storage law (`docs/explanation/storage.md`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
import time

from savethat.errors import SavethatError, StorageError, UnreachableError
from savethat.remotes.base import Remote
from savethat.remotes.directory import DirectoryRemote
from savethat.run.layout import COMPLETED, launch_name, marks_prefix
from savethat.run.record import FOREGROUND, Launch, Mark
from savethat.run.status import stale_after
from savethat.worker.carry import CarryOut
from savethat.worker.errand import one_line
from savethat.worker.folder import RunFolder
from savethat.worker.journal import Journal
from savethat.worker.ledger import Ledger, RemovedError, SupersededError, publish, read_launch
from savethat.worker.signals import Signals

# Seconds between two carry-outs once the end of the attempt has been announced.
_HASTE = 10.0
# Of the time before a job is killed, the remote gets this share; what it cannot take in it, the
# home is to have in the rest.
_REMOTE_SHARE = 0.6


class Keeper(threading.Thread):
    """Sends a run's files and marks to the remote as it goes, and to the home where it must.

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
        eager: whether the home takes the run while the remote cannot be reached, and not only when
            it has ended.
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
        eager: bool = True,
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
        self._eager = eager
        self._ledger = Ledger(remote, launch.id)
        self._carry = CarryOut(folder.path, remote, mark.key, journal, earlier=mark.attempt > 1)
        self._home_ledger = Ledger(home, launch.id)
        self._home_carry: CarryOut | None = None
        # Until when the remote, and then the home, may take what is left, by `time.monotonic`.
        self._remote_by: float | None = None
        self._by: float | None = None
        self._over = False
        self._bell = threading.Event()
        self._pause = mark.heartbeat
        self._touched = time.time()
        self._told = ""
        self._next_carry = 0.0
        self.removed = False
        # Why the remote does not have it all, after a `finish` or `leave` that returned False.
        self.trouble = ""

    def run(self) -> None:
        """Beats until `pause`."""
        while not self._over:
            try:
                self._beat()
            except RemovedError as error:
                self.removed = True
                self._take_back(error)
                self._journal.event(f"{error.message}: ending the node", "WARNING", show=True)
                self._signals.inject(signal.SIGTERM)
                return
            # A fault of ours, too, must not keep the run's end from being stored.
            except Exception as error:
                self._tell(error)
            self._bell.wait(self._pause)
            self._bell.clear()

    def hasten(self) -> None:
        """Carries out at once, and more often from now on: the attempt is about to end."""
        self._pause = self._sync_every = min(self._pause, self._sync_every, _HASTE)
        self._next_carry = 0.0
        self._bell.set()

    def hurry(self, by: float) -> None:
        """Lets nothing go on beyond `by` (`time.monotonic`): then this process is killed.

        From now on the mark of a run without a result goes ahead of its files, and says which of
        them are left; that of a completed one still is the last.
        """
        now = time.monotonic()
        share = 1.0 if self._remote is self._home else _REMOTE_SHARE
        self._by, self._remote_by = by, now + max(0.0, by - now) * share
        self._remote.hurry(self._remote_by)

    def announce(self) -> None:
        """Shows the run on this machine at once, before the remote has been reached."""
        if self._remote is not self._home:
            self._beat_at_home()

    def keep_code(self, capsule: str) -> None:
        """Stores the code that was frozen beside the run, if it can be: else it stays at home."""
        if self._remote is self._home:
            return
        from savethat.worker.capsule import store_code  # and with it all that unpacks code

        try:
            store_code(self._remote, self._home, capsule)
        except (StorageError, OSError) as error:
            self._tell(error)

    def pause(self) -> None:
        """Ends the beating; a carry-out that is under way is finished first."""
        self._over = True
        self._bell.set()
        self.join()

    def finish(self, ending: Mark) -> bool:
        """Stores what is left and the ending mark; returns whether the remote has it all.

        Raises:
            RemovedError: the run is not wanted any more.
            StorageError: neither the remote nor the home could take it.
        """
        ending = self._measured(ending)
        try:
            self._publish()
            self._deliver(self._carry, self._ledger, ending, self._remote_by)
        except RemovedError as error:
            self._take_back(error)
            raise
        # Whatever went wrong, the home is tried before anything is given up.
        except (Exception, KeyboardInterrupt) as error:
            if self._remote is self._home:
                raise
            self.trouble = _words(error)
            try:
                self._publish_at_home()
                self._deliver(self._at_home(), self._home_ledger, ending, self._by)
            except (OSError, SavethatError) as also:
                raise StorageError(f"{self.trouble}; {also}") from also
            return False
        self._clear_home()
        return True

    def leave(self, reason: str) -> bool:
        """Stores what there is of an attempt that another one follows; it gets no ending mark.

        Returns:
            Whether the remote or the home has it all.

        Raises:
            RemovedError: the run is not wanted any more.
        """
        self._mark = self._measured(dataclasses.replace(self._mark, reason=reason))
        try:
            self._publish()
            self._ledger.beat(self._mark)
            self._send(self._carry, self._remote_by)
        except RemovedError as error:
            self._take_back(error)
            raise
        except (Exception, KeyboardInterrupt) as error:
            self.trouble = _words(error)
            if self._remote is self._home:
                return False
            try:
                self._beat_at_home()
                self._send(self._at_home(), self._by)
            except (SavethatError, OSError):
                return False
        return True

    def _beat(self) -> None:
        self._mark = self._measured(self._mark)
        try:
            self._beat_there()
        except RemovedError:
            raise
        except StorageError as error:
            if self._remote is self._home or not self._eager:
                raise
            self._tell(error)
            self._beat_at_home()
            if time.time() >= self._next_carry:
                self._next_carry = time.time() + self._sync_every
                self._send(self._at_home())

    def _beat_there(self) -> None:
        self._publish()
        # A worker that was suspended, or cut off, looks whether it is still wanted before it
        # writes. By the clock on the wall: a monotonic one stands still while a machine sleeps.
        now = time.time()
        if now - self._touched > stale_after(self._mark):
            self._ledger.require_wanted(self._mark.key, self._mark.attempt)
        self._ledger.beat(self._mark)
        self._touched = time.time()
        if self._touched >= self._next_carry:
            self._next_carry = self._touched + self._sync_every
            self._send(self._carry)

    def _beat_at_home(self) -> None:
        self._publish_at_home()
        self._home_ledger.beat(self._mark)

    def _publish_at_home(self) -> None:
        # Once, and not with each beat of each worker: that of many runs is a large file.
        if not (self._home.root / launch_name(self._launch.id)).is_file():
            publish(self._home, self._launch)

    def _publish(self) -> None:
        if not self._published:
            if len(self._launch.runs) == 1:
                # A launcher may have done it, and not have heard so.
                anew = self._mark.place.scheduler != FOREGROUND
                publish(self._remote, self._launch, anew=anew)
            # Not anew: of two runs that do so at once, each would delete what the other wrote.
            elif read_launch(self._remote, self._launch.id) is None:
                publish(self._remote, self._launch)
            self._published = True

    def _take_back(self, error: RemovedError) -> None:
        """Deletes what was sent of the run while it was being removed."""
        if not isinstance(error, SupersededError):
            with contextlib.suppress(StorageError):
                for prefix in (f"{self._mark.key}/", marks_prefix(self._mark.key)):
                    self._remote.delete_prefix(prefix)

    def _at_home(self) -> CarryOut:
        if self._home_carry is None:
            key, earlier = self._mark.key, self._mark.attempt > 1
            self._home_carry = CarryOut(
                self._folder.path, self._home, key, self._journal, earlier=earlier
            )
        return self._home_carry

    def _deliver(self, carry: CarryOut, ledger: Ledger, ending: Mark, by: float | None) -> None:
        if by is not None and ending.mark != COMPLETED and not self._in_place(carry):
            left = tuple(carry.left())
            ledger.end(dataclasses.replace(ending, left=left, kept=self._folder.address))
        self._send(carry, by, final=True)
        if by is not None and carry is self._carry:
            # The home needs no time any more: what lost answers left can be settled in it.
            self._remote.hurry(self._by)
        ledger.end(ending)

    def _send(self, carry: CarryOut, by: float | None = None, *, final: bool = False) -> None:
        if self._in_place(carry):
            return
        carry.carry(by, final=final)
        if by is not None and (left := carry.left()):
            raise UnreachableError(f"there was no time for {len(left)} files, {left[0]} among them")

    def _in_place(self, carry: CarryOut) -> bool:
        """Whether the folder is what that remote has of the run: then nothing is sent."""
        at_home = carry is self._home_carry or self._remote is self._home
        return at_home and not self._folder.in_scratch

    def _measured(self, mark: Mark) -> Mark:
        files, size = self._carry.size()
        return dataclasses.replace(mark, files=files, bytes=size)

    def _clear_home(self) -> None:
        """Takes away what the home held while the remote did not have it all."""
        if self._remote is self._home:
            return
        self._home.delete_prefix(marks_prefix(self._mark.key))
        if self._home_carry is not None:
            self._home.delete_prefix(f"{self._mark.key}/")
        # The record of several runs goes when the last of them does.
        if len(self._launch.runs) == 1:
            self._home.delete([launch_name(self._launch.id)])

    def _tell(self, error: Exception) -> None:
        # Once a cause: an outage of hours is not worth a line a minute.
        why = _words(error)
        if why != self._told:
            self._told = why
            self._journal.event(f"cannot store the run yet: {why}", "WARNING", show=True)


def _words(error: BaseException) -> str:
    return error.message if isinstance(error, StorageError) else one_line(error)
