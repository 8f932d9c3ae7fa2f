"""Carry-out: sends what changed in a run's folder, and remembers what it has sent.

It lists nothing on the remote, unless earlier attempts left files there: the manifest says what is
there. A file counts as changed when its
size, its modification time or its inode did.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from savethat.errors import MissingError, StorageError
from savethat.remotes.base import Remote, Stored
from savethat.remotes.walk import storable
from savethat.run.layout import ARGS_FILE, LOG_FILE, RESULT_JSON, RESULT_PICKLE
from savethat.worker.journal import Journal

PARALLEL = 8
# What people look for first goes first; after that the small before the large.
_FIRST = (ARGS_FILE, RESULT_PICKLE, RESULT_JSON, LOG_FILE)


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What tells whether a file changed: size in bytes, modification time in ns, inode."""

    size: int
    mtime_ns: int
    inode: int


class CarryOut:
    """Sends one run's folder to one remote, again and again.

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
        self._sent: dict[str, tuple[Fingerprint, Stored]] = {}
        self._told: set[str] = set()
        # What earlier attempts left, by name: this one knows none of its versions. None: not
        # listed yet.
        self._earlier: set[str] | None = None if earlier else set()

    def carry(self) -> None:
        """Sends every file that changed since the last call; deletes there what was deleted here.

        Raises:
            StorageError: some file could not be sent; the others were.
        """
        if self._earlier is None:
            prefix = f"{self._key}/"
            names = {entry.name.removeprefix(prefix) for entry in self._remote.list(prefix)}
            self._earlier = names
        found = dict(self._scan())
        gone = self._earlier - found.keys()
        self._remote.delete([f"{self._key}/{name}" for name in gone])
        self._earlier -= gone
        changed = [
            name
            for name, print_ in found.items()
            if name not in self._sent or self._sent[name][0] != print_
        ]
        changed.sort(key=lambda name: (name not in _FIRST, found[name].size))
        errors: list[StorageError] = []
        with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
            sending = {name: pool.submit(self._send, name) for name in changed}
            for name, future in sending.items():
                try:
                    self._sent[name] = (found[name], future.result())
                except FileNotFoundError:
                    pass  # the node deleted it meanwhile: there is nothing to save
                except MissingError:
                    # The version sent before is gone, and so is what was just sent: another
                    # carry-out of this file starts anew, if the run is still wanted.
                    self._sent.pop(name, None)
                    raise
                except StorageError as error:
                    errors.append(error)
            for name in self._sent.keys() - found.keys():
                pool.submit(self._remote.forget, self._sent.pop(name)[1])
        if errors:
            raise errors[0]

    def size(self) -> tuple[int, int]:
        """Files and bytes in the folder now."""
        sizes = [print_.size for _, print_ in self._scan()]
        return len(sizes), sum(sizes)

    def _send(self, name: str) -> Stored:
        if self._earlier and name in self._earlier:
            stored = self._remote.replace(f"{self._key}/{name}", self._folder / name)
            self._earlier.discard(name)
            return stored
        previous = self._sent[name][1] if name in self._sent else None
        return self._remote.put(f"{self._key}/{name}", self._folder / name, previous=previous)

    def _scan(self) -> Iterator[tuple[str, Fingerprint]]:
        files, left_out = storable(self._folder)
        for name, why in left_out:
            if name not in self._told:
                self._told.add(name)
                self._journal.event(f"not stored: {name}: {why}", "WARNING", show=True)
        for name, path in files:
            with contextlib.suppress(FileNotFoundError):  # deleted while we looked
                stat = path.stat()
                yield name, Fingerprint(stat.st_size, stat.st_mtime_ns, stat.st_ino)
