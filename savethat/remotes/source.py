"""A local file as it is stored: one true state of it, whatever happens to it meanwhile."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from savethat.errors import MissingError, StorageError

# What a thread holds of a file at a time.
BLOCK = 256 * 1024
# Linux before 6.13 has file times of a clock that ticks every 4 or 10 ms.
_TICK_NS = 20_000_000


class FileSource:
    """The first `size` bytes of a file, as long as it was when this was made.

    It reads through one descriptor: a file renamed over it meanwhile changes nothing. What is
    appended meanwhile is left out. A file that is cut short or rewritten is noticed: the first by
    `open` ed streams, the second by `check`.

    Args:
        path: a regular file, or a link to one.

    Raises:
        MissingError: there is no such file.
        StorageError: it is not a regular file, or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # What a stream of `open` raised: the library in between may have wrapped it.
        self.failure: StorageError | None = None
        try:
            # Without O_NONBLOCK a FIFO would keep us waiting for its other end.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise MissingError(f"{path} is not there") from error
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}") from error
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise StorageError(f"{path} is not a regular file: it cannot be stored")
        self.size = status.st_size
        self.mtime_ns = status.st_mtime_ns
        # Written so lately that another write may get the same time.
        self._young = time.time_ns() - self.mtime_ns < _TICK_NS

    def __enter__(self) -> FileSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; streams that are still open fail from then on."""
        os.close(self._descriptor)

    def open(self) -> io.RawIOBase:
        """A stream of the `size` bytes, with a position of its own; several may be read at once."""
        return _Stream(self)

    def sha1(self) -> str:
        """SHA-1 of the `size` bytes (hexadecimal), as they are now."""
        digest = hashlib.sha1(usedforsecurity=False)
        position = 0
        while position < self.size:
            block = self.read_at(position, BLOCK)
            digest.update(block)
            position += len(block)
        return digest.hexdigest()

    def sha1s(self, sizes: Iterable[int]) -> tuple[str, list[str]]:
        """SHA-1 of the `size` bytes and of each piece of them, reading once.

        Args:
            sizes: the pieces' sizes, `size` in all.
        """
        whole = hashlib.sha1(usedforsecurity=False)
        pieces = []
        position = 0
        for size in sizes:
            piece = hashlib.sha1(usedforsecurity=False)
            end = position + size
            while position < end:
                block = self.read_at(position, min(BLOCK, end - position))
                whole.update(block)
                piece.update(block)
                position += len(block)
            pieces.append(piece.hexdigest())
        return whole.hexdigest(), pieces

    def read(self) -> tuple[bytes, str]:
        """All `size` bytes and their SHA-1, for a file that fits into memory.

        Raises:
            StorageError: it was cut short or rewritten meanwhile.
        """
        parts = []
        position = 0
        while position < self.size:
            parts.append(self.read_at(position, self.size))
            position += len(parts[-1])
        data = b"".join(parts)
        sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        self.check(sha1)
        return data, sha1

    def check(self, sha1: str) -> None:
        """Makes sure that what was read, with this SHA-1, is what the file holds.

        The file is read again only where its modification time says that it was written to, or
        may not say so.

        Raises:
            StorageError: it was cut short or rewritten meanwhile.
        """
        written = os.fstat(self._descriptor).st_mtime_ns != self.mtime_ns
        if (written or self._young) and self.sha1() != sha1:
            raise self._changed()

    def read_at(self, position: int, count: int) -> bytes:
        """At least one byte and at most `count` from `position`, which lies before the end.

        Raises:
            StorageError: the file was cut short, or could not be read.
        """
        try:
            block = os.pread(self._descriptor, min(count, self.size - position), position)
        except OSError as error:
            self.failure = StorageError(f"{self.path} cannot be read: {error.strerror}")
            raise self.failure from error
        if not block:
            raise self._changed()
        return block

    def _changed(self) -> StorageError:
        self.failure = StorageError(
            f"{self.path} was rewritten or cut short while it was read, so it was not stored",
            "try again once the file is complete",
        )
        return self.failure


class _Stream(io.RawIOBase):
    def __init__(self, source: FileSource) -> None:
        super().__init__()
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}
        self._position = base[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Exactly `size` bytes, less only at the end: b2sdk takes less for the end."""
        end = self._source.size
        if size is not None and size >= 0:
            end = min(end, self._position + size)
        parts = []
        while self._position < end:
            parts.append(self._source.read_at(self._position, end - self._position))
            self._position += len(parts[-1])
        return b"".join(parts)
