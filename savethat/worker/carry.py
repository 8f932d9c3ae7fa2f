"""Carry-out: sends what changed in a run's folder, and remembers what it has sent.

It lists nothing on the remote, unless earlier attempts left files there. What people need first
goes first, what was deleted here goes last.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from savethat.errors import DeniedError, MissingError, StorageError, UnreachableError
from savethat.remotes import pieces
from savethat.remotes.base import Remote
from savethat.remotes.directory import DirectoryRemote
from savethat.run.layout import (
    ARGS_FILE,
    INPUTS_FILE,
    JSONL_FILE,
    LOG_FILE,
    PROVENANCE_FILE,
    RESULT_JSON,
    RESULT_PICKLE,
)
from savethat.worker.growing import Held, matches, send
from savethat.worker.journal import Journal
from savethat.worker.tasks import ChangingError, Tasks

# How often a file is read that changes meanwhile.
_TRIES = 3
_FIRST = (
    *(LOG_FILE, JSONL_FILE, ARGS_FILE),
    *(RESULT_PICKLE, RESULT_JSON, PROVENANCE_FILE, INPUTS_FILE),
)
# A file may be written twice within one tick of its file system's clock (two seconds, at worst)
# and look the same: one that was younger when it was looked at is compared by its bytes.
_TICK_NS = 2_000_000_000
# Bytes from which on a file is one of few that go at a time.
_LARGE = 256 * 1024


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What tells whether a file changed: bytes, the times it and its inode did, the inode."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Fingerprint | None:
        """The file's; None where it is gone, or cannot be looked at."""
        try:
            stat = path.stat()
        except OSError:
            return None
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


@dataclasses.dataclass(frozen=True)
class _Known:
    """What was sent of a file, and the file it was sent of.

    Args:
        held: what the remote holds.
        seen: the file, just before it was read; None for one that an earlier attempt sent.
        settled: whether a file that still looks like that cannot have changed.
    """

    held: Held
    seen: Fingerprint | None = None
    settled: bool = False


class CarryOut:
    """Sends one run's folder to one remote, again and again; for one thread at a time.

    Args:
        folder: the run's.
        remote: where to.
        key: the run's; its files lie below it.
        journal: told of files that are left out.
        earlier: whether there were attempts before this one, whose files may be there.
    """

    def __init__(
        self, folder: Path, remote: Remote, key: str, journal: Journal, *, earlier: bool = False
    ) -> None:
        self._folder = folder
        self._remote = remote
        self._key = key
        self._journal = journal
        self._earlier = self._unlisted = earlier
        self._known: dict[str, _Known] = {}
        # Objects that are to go once what takes their place is there.
        self._obsolete: set[str] = set()
        # Objects that went by the one version that was known of them.
        self._dropped: set[str] = set()
        self._told: set[str] = set()
        # A folder is written to at no cost.
        self._in_pieces = not isinstance(remote, DirectoryRemote)

    def carry(self, by: float | None = None, *, final: bool = False) -> None:
        """Sends every file that changed since the last call; deletes there what was deleted here.

        A file that changes each time it is read is sent by the next call, or a later one.

        Args:
            by: when to begin no file any more, by `time.monotonic`; None for never. `left` says
                what was not sent.
            final: whether this is the last call: then each file is stored as one object, and one
                that keeps changing is an error.

        Raises:
            StorageError: some file could not be sent; the others were, unless the remote could not
                be reached.
        """
        tasks = Tasks(by)
        if self._unlisted:
            self._list()
        found = self._scan()
        # With little time, whole files come last: with their pieces they are all there already.
        self._send(tasks, found, self._changed(found), in_pieces=not final or by is not None)
        if final and self._earlier:
            # A worker of an earlier attempt, cut off until now, may have written meanwhile.
            tasks.run([self._list])
            self._send(tasks, found, self._changed(found), in_pieces=True)
        if final:
            known = (name for name in in_order(found) if name in self._known)
            grown = [name for name in known if self._known[name].held.pieces]
            self._send(tasks, found, grown, in_pieces=False)
            if self._earlier:
                # One that was killed may have left versions behind what it wrote last.
                tasks.run([functools.partial(self._remote.prune, f"{self._key}/")])
        if tasks.complete:
            # A file that was deleted here may be what new ones take the place of: it goes last.
            gone = self._known.keys() - found.keys()
            tasks.run([functools.partial(self._drop, name) for name in gone])
            if final:
                # Of one whose answer was lost there may be another version.
                self._obsolete |= self._dropped - {f"{self._key}/{name}" for name in found}
        if self._obsolete:
            tasks.run([self._clean])
        tasks.end(final=final)

    def left(self) -> list[str]:
        """Names of the files that the remote does not have as they are now, in order of value.

        It goes by how files look, and reads only those of earlier attempts: it is asked when time
        is short.
        """
        return self._changed(self._scan(), closely=False)

    def size(self) -> tuple[int, int]:
        """Files and bytes in the folder now."""
        sizes = [seen.size for seen in self._scan().values()]
        return len(sizes), sum(sizes)

    def _scan(self) -> dict[str, Fingerprint]:
        files, left_out = pieces.sendable(self._folder)
        for name, why in left_out:
            if name not in self._told:
                self._told.add(name)
                self._journal.event(f"not stored: {name}: {why}", "WARNING", show=True)
        seen = {name: Fingerprint.of(path) for name, path in files}
        return {name: print_ for name, print_ in seen.items() if print_ is not None}

    def _list(self) -> None:
        """Finds what others left: what is not as this attempt sent it is taken for theirs."""
        prefix = f"{self._key}/"
        entries = list(self._remote.list(prefix))
        files = {entry.name.removeprefix(prefix): entry for entry in pieces.whole(entries)}
        for name, entry in files.items():
            known = self._known.get(name)
            if known is None or not known.held.reads_as(entry):
                self._known[name] = _Known(Held.listed(entry))
        for name in self._known.keys() - files.keys():
            self._known[name] = _Known(Held(0, ""))
        kept = {f"{prefix}{name}" for name in files}
        for name in files:
            kept.update(self._known[name].held.piece_names(f"{prefix}{name}"))
        self._obsolete |= {entry.name for entry in entries} - kept
        self._unlisted = False

    def _changed(self, found: Mapping[str, Fingerprint], *, closely: bool = True) -> list[str]:
        names = in_order(found)
        return [name for name in names if not self._is_there(name, found[name], closely)]

    def _is_there(self, name: str, seen: Fingerprint, closely: bool) -> bool:
        """Whether the remote has a file as it is now."""
        known = self._known.get(name)
        if known is None or not known.held.sha1 or seen.size != known.held.size:
            return False
        if known.settled or (known.seen is not None and not closely):
            return seen == known.seen
        settled = _is_settled(seen)
        try:
            if not matches(self._folder / name, known.held):
                return False
        except StorageError:
            return False  # whoever sends it says why
        self._known[name] = dataclasses.replace(known, seen=seen, settled=settled)
        return True

    def _send(
        self,
        tasks: Tasks,
        found: Mapping[str, Fingerprint],
        names: Iterable[str],
        *,
        in_pieces: bool,
    ) -> None:
        take_pieces = in_pieces and self._in_pieces
        sendings: list[Callable[[], None]] = []
        for name in names:
            send_it = functools.partial(self._send_one, name, take_pieces)
            large = found[name].size >= _LARGE
            sendings.append(functools.partial(tasks.one_of_few, send_it) if large else send_it)
        tasks.run(sendings)

    def _send_one(self, name: str, in_pieces: bool) -> None:
        path, stored = self._folder / name, f"{self._key}/{name}"
        for tries_left in reversed(range(_TRIES)):
            known = self._known.get(name)
            seen = Fingerprint.of(path)
            if seen is None:
                return  # deleted meanwhile: there is nothing to save
            settled = _is_settled(seen)
            held = known.held if known else None
            if held is None and stored in self._obsolete:
                held = Held(0, "")  # an earlier attempt's, deleted and not gone yet
            try:
                sent = send(self._remote, stored, path, held, in_pieces=in_pieces)
            except (UnreachableError, DeniedError):
                raise
            except StorageError as error:
                now = Fingerprint.of(path)
                if now is None:
                    return
                if isinstance(error, MissingError):
                    # What was sent before was removed, and what was just sent is gone with it:
                    # another carry-out starts anew, if the run is still wanted.
                    self._known.pop(name, None)
                    self._obsolete.update(held.piece_names(stored) if held else ())
                    raise
                if now == seen:
                    raise
                if not tries_left:
                    raise ChangingError(error.message, error.hint) from error
            else:
                self._known[name] = _Known(sent.held, seen, settled)
                self._obsolete.update(sent.obsolete)
                self._obsolete -= {stored, *sent.held.piece_names(stored)}
                return

    def _drop(self, name: str) -> None:
        """Deletes a file that is gone here."""
        held, stored = self._known[name].held, f"{self._key}/{name}"
        if held.base is not None:
            self._remote.forget(held.base)  # costs nothing, unlike a look for other versions
            self._dropped.add(stored)
        else:
            self._obsolete.add(stored)
        self._obsolete.update(held.piece_names(stored))
        del self._known[name]

    def _clean(self) -> None:
        self._remote.delete(self._obsolete)
        self._obsolete.clear()


def in_order(found: Mapping[str, Fingerprint]) -> list[str]:
    """A run's files by what they are worth when time is short.

    First its logs, arguments, results and provenance, then the file that was written last (the
    newest checkpoint, say), then the small ones before the large.
    """
    others = found.keys() - set(_FIRST)
    newest = max(others, key=lambda name: found[name].mtime_ns, default="")
    return sorted(
        found,
        key=lambda name: (
            _FIRST.index(name) if name in _FIRST else len(_FIRST),
            name != newest,
            found[name].size,
        ),
    )


def _is_settled(seen: Fingerprint) -> bool:
    """Whether a file that is read from now on, and looks like that later, cannot have changed."""
    return max(seen.mtime_ns, seen.ctime_ns) < time.time_ns() - _TICK_NS
