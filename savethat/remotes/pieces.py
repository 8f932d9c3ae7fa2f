"""Files that grow: an object and, beside it, the pieces that continue it, read as one file.

    run/output.log                                              the first bytes
    run/.savethat-tail/output.log/<offset>-<head>-<whole>       what was appended since

A piece's name says where it begins, the SHA-1 of all that comes before it, and the SHA-1 of all up
to its end. It is read only after exactly the bytes it was written for: whatever was replaced,
deleted or written by someone else meanwhile, a reader gets a state that the file had.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from savethat.errors import MissingError, StorageError
from savethat.remotes.base import Entry, Progress, Remote
from savethat.remotes.names import part_name
from savethat.remotes.source import BLOCK
from savethat.remotes.walk import storable

# The folder of pieces, in the folder of their file. No file of a user's is stored in one.
TAIL = ".savethat-tail"
# As b2sdk and rclone store a file's modification time, in milliseconds.
MTIME_INFO = "src_last_modified_millis"

# No piece of ours comes near it: one that is larger was written by someone else, and stays unread.
_LARGEST = 256 * 1024 * 1024
_PARALLEL = 8
# No file is of a time beyond it, in milliseconds: some 30,000 years.
_MILLIS = 10**15
# How often what changes while it is read is looked for again.
_TRIES = 5

_NAME = re.compile(
    rf"(?P<folder>(?:.*/)?){re.escape(TAIL)}/(?P<file>[^/]+)/"
    r"(?P<offset>\d{15})-(?P<head>[0-9a-f]{40})-(?P<whole>[0-9a-f]{40})",
    re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Piece:
    """What continues a file.

    Args:
        offset: where it begins, bytes.
        head: SHA-1 of the bytes before it, hexadecimal.
        whole: SHA-1 of the bytes up to its end.
        size: its own bytes.
    """

    offset: int
    head: str
    whole: str
    size: int

    def name(self, file: str) -> str:
        """The object that holds it, of a file of that name."""
        return f"{tail_prefix(file)}{self.offset:015d}-{self.head}-{self.whole}"


@dataclasses.dataclass(frozen=True)
class Grown(Entry):
    """A file as it reads: an object with the pieces that continue it.

    Its size, time, SHA-1 and info are those of the whole.

    Args:
        base: the object.
        pieces: by offset, each continuing what is before it.
    """

    base: Entry | None = None
    pieces: tuple[Piece, ...] = ()


def tail_prefix(file: str) -> str:
    """Where the pieces of a file lie: the prefix of their names."""
    folder, slash, name = file.rpartition("/")
    return f"{folder}{slash}{TAIL}/{name}/"


def is_in_tail(name: str) -> bool:
    """Whether an object's name is one that is kept for pieces."""
    return TAIL in name.split("/")


def file_of(name: str) -> str | None:
    """The file that a piece of this name continues; None where the name is no piece's."""
    match = _NAME.fullmatch(name)
    return match["folder"] + match["file"] if match else None


def sendable(folder: Path) -> tuple[list[tuple[str, Path]], list[tuple[str, str]]]:
    """What `walk.storable` gives, but for names that are kept for pieces: these are left out."""
    files, left_out = storable(folder)
    kept = [name for name, _ in files if is_in_tail(name)]
    left_out += [(name, f"the name {TAIL} is kept for savethat's own") for name in kept]
    return [file for file in files if not is_in_tail(file[0])], left_out


def whole(entries: Iterable[Entry]) -> list[Entry]:
    """The files of a listing as they read: with their pieces, which are not listed themselves."""
    files: list[Entry] = []
    pieces: dict[str, list[tuple[Piece, Entry]]] = defaultdict(list)
    for entry in entries:
        if not is_in_tail(entry.name):
            files.append(entry)
        elif match := _NAME.fullmatch(entry.name):
            piece = Piece(int(match["offset"]), match["head"], match["whole"], entry.size)
            pieces[match["folder"] + match["file"]].append((piece, entry))
    return [_continued(file, pieces[file.name]) if file.name in pieces else file for file in files]


def find(remote: Remote, name: str) -> Entry | None:
    """A file as it reads; None where there is none."""
    exactly = [entry for entry in remote.list(name, stop=f"{name} ") if entry.name == name]
    if not exactly:
        return None
    return whole([*exactly, *remote.list(tail_prefix(name))])[0]


def read(remote: Remote, name: str) -> bytes:
    """A file's content.

    Raises:
        MissingError: there is no such file.
        StorageError: it changed each time it was read.
    """
    for _ in range(_TRIES):
        entry = find(remote, name)
        if entry is None:
            raise _missing(remote, name)
        if not isinstance(entry, Grown):
            return remote.read(name)
        with contextlib.suppress(MissingError):
            content = remote.read(name) + tail(remote, entry)
            if _sha1(content) == entry.sha1:
                return content
    raise _changing(name)


def fetch(remote: Remote, entry: Entry, target: Path, *, progress: Progress | None = None) -> None:
    """Brings a file to a local one, as `Remote.fetch` does, with its pieces.

    Args:
        remote: where from.
        entry: of `whole` or `find`; what changed since is looked for again.
        target: the local file.
        progress: told how many bytes came.

    Raises:
        MissingError: there is no such file.
        StorageError: it changed each time it was read.
    """
    for _ in range(_TRIES):
        if not isinstance(entry, Grown):
            remote.fetch(entry.name, target, progress=progress)
            return
        if _assemble(remote, entry, target, progress):
            return
        found = find(remote, entry.name)
        if found is None:
            raise _missing(remote, entry.name)
        entry = found
    raise _changing(entry.name)


def tail(remote: Remote, entry: Grown, start: int = 0) -> bytes:
    """The bytes of a file's pieces from `start`, those of the file, or from where pieces begin.

    Only pieces that reach beyond `start` are read.

    Raises:
        MissingError: a piece is gone: the file was written anew.
    """
    wanted = [piece for piece in entry.pieces if piece.offset + piece.size > start]
    if not wanted:
        return b""
    with ThreadPoolExecutor(_PARALLEL) as pool:
        parts = pool.map(lambda piece: remote.read(piece.name(entry.name)), wanted)
        content = b"".join(parts)
    return content[max(0, start - wanted[0].offset) :]


def _continued(base: Entry, candidates: list[tuple[Piece, Entry]]) -> Entry:
    """The file with the pieces that fit; where two begin at one place, with the longer."""
    by_start: dict[tuple[int, str], tuple[Piece, Entry]] = {}
    for piece, entry in sorted(candidates, key=lambda each: each[0].size):
        if 0 < piece.size <= _LARGEST:
            by_start[piece.offset, piece.head] = (piece, entry)
    size, sha1, last = base.size, base.sha1, base
    pieces = []
    while sha1 is not None and (size, sha1) in by_start:
        piece, last = by_start[size, sha1]
        pieces.append(piece)
        size, sha1 = size + piece.size, piece.whole
    if not pieces:
        return base
    return Grown(base.name, size, last.modified, sha1, last.info, base=base, pieces=tuple(pieces))


def _assemble(remote: Remote, entry: Grown, target: Path, progress: Progress | None) -> bool:
    """Writes the file aside and renames it; False where it is not there as it was listed."""
    aside = target.with_name(part_name())
    try:
        remote.fetch(entry.name, aside, progress=progress)
        rest = tail(remote, entry)
        digest = hashlib.sha1(usedforsecurity=False)
        with aside.open("rb+") as file:
            for block in iter(lambda: file.read(BLOCK), b""):
                digest.update(block)
            digest.update(rest)
            file.write(rest)
        if digest.hexdigest() != entry.sha1:
            return False
        os.utime(aside, (modified(entry), modified(entry)))
        aside.replace(target)
    except MissingError:
        return False
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()
    if progress:
        progress(len(rest))
    return True


def modified(entry: Entry) -> float:
    """When a stored file's content was last modified, as far as is known; epoch seconds."""
    try:
        millis = int((entry.info or {})[MTIME_INFO])
    except (KeyError, ValueError):  # other clients write what they like
        return entry.modified
    return millis / 1000 if abs(millis) < _MILLIS else entry.modified


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _missing(remote: Remote, name: str) -> MissingError:
    return MissingError(f"there is no {name} in {remote.url}")


def _changing(name: str) -> StorageError:
    return StorageError(
        f"{name} was written anew each time it was read", "try again once the run has ended"
    )
