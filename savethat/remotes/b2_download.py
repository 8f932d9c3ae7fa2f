"""Downloads from B2: large ones in ranges, several at a time, each taken up where it broke off.

b2sdk's own are not used: they wait for ever where the disk is full, and mix versions where one is
replaced meanwhile. What has arrived is checked against the SHA-1 that was stored with it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO

from savethat.remotes.b2_account import LARGE_SHA1, MTIME, Account
from savethat.remotes.b2_engine import NO_ANSWER
from savethat.remotes.b2_errors import translated
from savethat.remotes.b2_failures import DamagedError, GaveUpError, RefusalError
from savethat.remotes.b2_retry import NO_LIMIT, Tries
from savethat.remotes.base import Progress
from savethat.remotes.source import BLOCK

# Of a block that breaks off nothing is kept.
_BLOCK = 128 * 1024
# What one connection brings at a time.
_RANGE = 64 * 1024 * 1024
# Whole downloads, where what arrives is damaged.
_TRIES = 3


def download(
    account: Account,
    name: str,
    create: Callable[[], AbstractContextManager[BinaryIO]],
    progress: Progress | None,
) -> int:
    """Writes the object `name` (in full) to the file `create` makes, once the object is found.

    Returns:
        When the content was last modified, as far as is known; nanoseconds since the epoch.
    """
    with contextlib.ExitStack() as stack, translated(account.store, name):
        arrival = _Arrival(account, name, lambda: stack.enter_context(create()), progress)
        for tries_left in reversed(range(_TRIES)):
            try:
                arrival.receive()
                break
            except DamagedError:
                if not tries_left:
                    raise
            except RefusalError as refused:
                # What is gone by now may have been replaced while it came.
                if not (tries_left and refused.missing and arrival.begun):
                    raise
        return arrival.modified


class _Arrival:
    """One object on its way into a file.

    Args:
        account: where from.
        name: in full.
        create: makes the file, once the object is found.
        progress: told of bytes that come for the first time.
    """

    def __init__(
        self,
        account: Account,
        name: str,
        create: Callable[[], BinaryIO],
        progress: Progress | None,
    ) -> None:
        self._account, self._name = account, name
        self._create, self._progress = create, progress
        self._file: BinaryIO | None = None
        # Of the file, and of what was told: ranges come in several threads.
        self._lock = threading.Lock()
        # The furthest position told of each range, by its start.
        self._told: dict[int, int] = {}
        # Of the version that comes.
        self.begun = False
        self.modified = 0
        self._url = ""
        self._size = 0
        self._sha1: str | None = None
        # Of what has come without a gap, from the beginning on.
        self._digest = hashlib.sha1(usedforsecurity=False)
        self._digested = 0

    def receive(self) -> None:
        """Brings the newest version from the beginning to the end.

        Raises:
            DamagedError: it arrived damaged.
        """
        self.begun = False
        stop = threading.Event()
        self._bring(0, stop)
        rest = range(_RANGE, self._size, _RANGE)
        # They write to the file, which is closed next.
        self._account.together([functools.partial(self._bring, i, stop) for i in rest], stop)
        self._check()

    def _bring(self, start: int, stop: threading.Event) -> None:
        """Brings the range that begins at `start`; the first one finds out how much there is."""
        position, tries = start, Tries(self._account.patience, NO_LIMIT)
        while True:
            before = position
            why = "the answer was cut short"
            try:
                for block in self._blocks(position, start):
                    if stop.is_set():
                        return
                    self._keep(block, position, start)
                    position += len(block)
            except NO_ANSWER as error:
                why = f"the connection broke off: {error}"
            if self.begun and position >= self._end(start):
                return
            if position > before:
                tries = Tries(self._account.patience, NO_LIMIT)
            tries.wait(why)

    def _end(self, start: int) -> int:
        return min(start + _RANGE, self._size)

    def _blocks(self, position: int, start: int) -> Iterator[bytes]:
        """What comes of the range that begins at `start`, from `position` on."""
        url = self._url if self.begun else self._account.url_of(self._name)
        headers = {"Authorization": self._account.who[1]}
        if position:
            headers["Range"] = f"bytes={position}-{self._end(start) - 1}"
        found = self._account.engine.open(url, headers)
        with contextlib.closing(found) as answer:
            if not self.begun:
                self._begin(answer.headers)
            elif position and answer.status != 206:
                raise GaveUpError("the server does not send parts of a file")
            for block in answer.stream(_BLOCK, decode_content=False):
                yield block[: self._end(start) - position]
                position += len(block)
                if position >= self._end(start):
                    return

    def _begin(self, headers: Mapping[str, str]) -> None:
        try:
            self._size = int(headers["Content-Length"])
            # From now on this version, whatever becomes the newest meanwhile.
            self._url = self._account.url_of_version(headers["x-bz-file-id"])
            uploaded = headers["x-bz-upload-timestamp"]
            millis = headers.get(f"x-bz-info-{MTIME}", "")
            # Other clients write what they like.
            self.modified = int(millis if millis.isdecimal() else uploaded) * 1_000_000
        except (KeyError, ValueError) as error:
            raise GaveUpError("it answers, but not as B2 does") from error
        sha1 = headers.get("x-bz-content-sha1", "none").rpartition(":")[2]
        # B2 knows none of a file sent in parts.
        self._sha1 = headers.get(f"x-bz-info-{LARGE_SHA1}") if sha1 == "none" else sha1
        self._file = self._file or self._create()
        self._file.truncate(0)
        self._digest, self._digested = hashlib.sha1(usedforsecurity=False), 0
        self.begun = True

    def _keep(self, block: bytes, position: int, start: int) -> None:
        assert self._file is not None
        end = position + len(block)
        with self._lock:
            self._file.seek(position)
            self._file.write(block)
            if position == self._digested:
                self._digest.update(block)
                self._digested = end
            new = end - max(position, self._told.get(start, 0))
            if self._progress and new > 0:
                self._told[start] = end
                self._progress(new)

    def _check(self) -> None:
        assert self._file is not None
        if self._digested < self._size:  # ranges came in another order
            self._file.seek(self._digested)
            while block := self._file.read(BLOCK):
                self._digest.update(block)
        came = self._digest.hexdigest()
        if self._sha1 and came != self._sha1:
            raise DamagedError(f"checksum mismatch: {self._sha1} was stored, {came} came")
