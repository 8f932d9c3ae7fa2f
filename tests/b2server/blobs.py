"""The bytes: bodies on disk, addressed by segments and shared by counting references.

Bodies up to 1 MiB are appended to pack files (a pack goes when its last body is deleted), larger
ones get a file each. Copies and finished large files point at the same bytes.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import ApiError, bad

Segment = tuple[str, int, int]
"""A run of bytes: blob name, offset, length. The blob `ZEROS` is on no disk."""

ZEROS = "zeros"
CHUNK = 256 * 1024
PACKED_MAX = 1024 * 1024
_PACK_SIZE = 256 * 1024 * 1024


class Blobs:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for sub in ["pack", *(f"{i:02x}" for i in range(256))]:
            (directory / sub).mkdir(parents=True, exist_ok=True)
        self._references: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        self._pack: str | None = None
        self._pack_fd, self._pack_position = -1, 0
        self._pack_lock = threading.Lock()

    def path(self, blob: str) -> Path:
        return self._directory / blob

    def new(self) -> str:
        """The name of a new blob of its own; the caller writes it, then holds it."""
        name = secrets.token_hex(12)
        return f"{name[:2]}/{name[2:]}"

    def append(self, data: bytes | bytearray) -> Segment:
        """Writes a small body to the current pack, and holds it once."""
        with self._pack_lock:
            if self._pack is None or self._pack_position > _PACK_SIZE:
                if self._pack:
                    os.close(self._pack_fd)
                self._pack, self._pack_position = f"pack/{secrets.token_hex(8)}", 0
                self._pack_fd = os.open(
                    self.path(self._pack), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644
                )
            segment = (self._pack, self._pack_position, len(data))
            view, position = memoryview(data), self._pack_position
            while view:
                written = os.pwrite(self._pack_fd, view, position)
                view, position = view[written:], position + written
            self._pack_position = position
            self.hold([segment])
            return segment

    # ---- references

    def hold(self, segments: Iterable[Segment]) -> None:
        with self._lock:
            for blob, _, _ in segments:
                if blob != ZEROS:
                    self._references[blob] += 1

    def release(self, segments: Iterable[Segment]) -> None:
        """Gives up references; a blob nobody refers to is deleted."""
        with self._lock:
            for blob, _, _ in segments:
                if blob == ZEROS:
                    continue
                self._references[blob] -= 1
                if self._references[blob] <= 0 and blob != self._pack:
                    del self._references[blob]
                    self.path(blob).unlink(missing_ok=True)

    def forget(self, segments: Iterable[Segment]) -> None:
        """Gives up references without deleting: the log's replay, before `sweep`."""
        for blob, _, _ in segments:
            if blob != ZEROS:
                self._references[blob] -= 1

    def sweep(self) -> None:
        """Deletes the blobs nobody refers to: uploads cut by a crash."""
        for sub in self._directory.iterdir():
            for path in sub.iterdir():
                if self._references.get(f"{sub.name}/{path.name}", 0) <= 0:
                    with contextlib.suppress(OSError):
                        path.unlink()

    # ---- bytes of segments

    def chunks(self, segments: Iterable[Segment]) -> Iterator[bytes]:
        for blob, offset, length in segments:
            left = length
            if blob == ZEROS:
                while left:
                    chunk = bytes(min(left, CHUNK))
                    yield chunk
                    left -= len(chunk)
            elif left:
                with self.path(blob).open("rb", buffering=0) as file:
                    file.seek(offset)
                    while left:
                        chunk = file.read(min(left, CHUNK))
                        if not chunk:
                            raise OSError(f"blob {blob} is too short")
                        yield chunk
                        left -= len(chunk)

    def sha1(self, segments: Iterable[Segment]) -> str:
        digest = hashlib.sha1()
        for chunk in self.chunks(segments):
            digest.update(chunk)
        return digest.hexdigest()


def cut(segments: list[Segment], first: int, last: int) -> list[Segment]:
    """The segments of the bytes `first` to `last`, both included."""
    out, position = [], 0
    for blob, offset, length in segments:
        start, end = max(first, position), min(last + 1, position + length)
        if start < end:
            out.append((blob, offset + start - position, end - start))
        position += length
    return out


def cut_range(segments: list[Segment], size: int, header: str | None) -> tuple[list[Segment], int]:
    """The segments and size of a copy call's `range` (`bytes=FIRST-[LAST]`), or all of it."""
    if not header:
        return list(segments), size
    match = re.match(r"^bytes=(\d+)-(\d+)?$", header)
    if not match:
        raise bad(f"Invalid range: {header}")
    first = int(match.group(1))
    last = min(int(match.group(2)) if match.group(2) else size - 1, size - 1)
    if first > last:
        raise ApiError(416, "range_not_satisfiable", "Range not satisfiable")
    return cut(segments, first, last), last + 1 - first
