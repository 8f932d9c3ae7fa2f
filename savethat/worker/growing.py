"""Sends one file: whole, or, where it only grew, what was added to it.

A file that begins with exactly what the remote has of it (its bytes are read again for it, through
one descriptor) grew. Then, of `n` bytes that are there:

- from `Remote.extends_from` on, the remote itself adds to the object;
- below that, what was added is an object of its own, a piece (`savethat.remotes.pieces`);
- below 16 KB the file is sent whole: a request with its answer is some kilobytes itself, so a piece
  would save next to nothing, and cost whoever reads the file one more request.

When 64 pieces are there, those that were not merged yet are merged into one, so that a reader has
few to fetch; in a day of one piece a minute that sends each byte once more. In the end the file is
sent whole. Pieces go after the object that takes their place is there.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from savethat.remotes.base import Entry, Remote, Stored
from savethat.remotes.pieces import MTIME_INFO, Grown, Piece
from savethat.remotes.source import BLOCK, FileSource

# Bytes; see above.
WHOLE_BELOW = 16 * 1024
MOST_PIECES = 64
# Where merging would bring no more than this, the file is sent whole.
_FEW = 8
# The longest name, in bytes, that leaves room for a piece's: B2 takes 1,000 with the prefix.
_LONGEST = 500


@dataclasses.dataclass(frozen=True)
class Held:
    """What the remote holds of a file.

    Args:
        size: as it reads, bytes.
        sha1: as it reads, hexadecimal; empty where it is not known.
        base: the object; None where an earlier attempt wrote it, whose version is not known.
        pieces: what continues it.
        merged: how many of the pieces are several made one.
    """

    size: int
    sha1: str
    base: Stored | None = None
    pieces: tuple[Piece, ...] = ()
    merged: int = 0

    @classmethod
    def listed(cls, entry: Entry) -> Held:
        """What an earlier attempt left of a file."""
        found = entry.pieces if isinstance(entry, Grown) else ()
        return cls(entry.size, entry.sha1 or "", None, found)

    def reads_as(self, entry: Entry) -> bool:
        """Whether a listed file is this, as far as the listing says."""
        return self.size == entry.size and entry.sha1 in (self.sha1, None)

    def piece_names(self, file: str) -> tuple[str, ...]:
        """The objects that hold the pieces, of a file of that name."""
        return tuple(piece.name(file) for piece in self.pieces)


@dataclasses.dataclass(frozen=True)
class Sent:
    """What a sending did: what the remote holds now, and names of pieces that are to go."""

    held: Held
    obsolete: tuple[str, ...] = ()


def send(
    remote: Remote, name: str, path: Path, held: Held | None, *, in_pieces: bool = True
) -> Sent:
    """Sees to it that the remote has a state of the file that it had during this call.

    Args:
        remote: where to.
        name: the object's.
        path: the file.
        held: what the remote holds of it; None where that is nothing.
        in_pieces: whether pieces may be there afterwards.

    Raises:
        MissingError: the file is gone, or what the remote held was removed by someone else.
        StorageError: it could not be sent, or changed while it was read.
    """
    if held is None or not held.sha1:
        return _whole(remote, name, path, held)
    with FileSource(path) as file:
        digest = _head(file, held)
        if digest is None:
            return _whole(remote, name, path, held)
        if file.size == held.size:
            file.check(held.sha1)
            if in_pieces or not held.pieces:
                return Sent(held)
        elif held.base is not None and not held.pieces and held.size >= remote.extends_from:
            stored = remote.extend(name, path, held.base)
            return Sent(Held(stored.size, stored.sha1, stored))
        elif in_pieces and _suits(remote, name, file.size, held):
            return _piece(remote, name, file, held, digest)
    return _whole(remote, name, path, held)


def matches(path: Path, held: Held) -> bool:
    """Whether the file is now what the remote holds of it, byte by byte.

    Raises:
        StorageError: it cannot be read.
    """
    with FileSource(path) as file:
        return file.size == held.size and file.sha1() == held.sha1


def _head(file: FileSource, held: Held) -> hashlib._Hash | None:
    """The hash of what the remote holds, where the file begins with it; else None."""
    if file.size < held.size:
        return None
    digest = hashlib.sha1(usedforsecurity=False)
    position = 0
    while position < held.size:
        block = file.read_at(position, min(BLOCK, held.size - position))
        digest.update(block)
        position += len(block)
    return digest if digest.hexdigest() == held.sha1 else None


def _suits(remote: Remote, name: str, size: int, held: Held) -> bool:
    """Whether what was added is to be a piece."""
    return (
        held.size >= WHOLE_BELOW
        and size < remote.extends_from
        and held.merged < MOST_PIECES - _FEW
        and len(name.encode(errors="replace")) <= _LONGEST
    )


def _whole(remote: Remote, name: str, path: Path, held: Held | None) -> Sent:
    if held is not None and held.base is None:
        stored = remote.replace(name, path)
    else:
        stored = remote.put(name, path, previous=held.base if held else None)
    obsolete = held.piece_names(name) if held else ()
    return Sent(Held(stored.size, stored.sha1, stored), obsolete)


def _piece(remote: Remote, name: str, file: FileSource, held: Held, digest: hashlib._Hash) -> Sent:
    merges = len(held.pieces) >= MOST_PIECES
    keep = held.merged if merges else len(held.pieces)
    kept, going = held.pieces[:keep], held.pieces[keep:]
    offset, head = (going[0].offset, going[0].head) if going else (held.size, held.sha1)
    data = _bytes(file, offset)
    digest.update(data[held.size - offset :])
    file.check(digest.hexdigest())
    piece = Piece(offset, head, digest.hexdigest(), len(data))
    remote.put(piece.name(name), data, info={MTIME_INFO: str(file.mtime_ns // 1_000_000)})
    now = Held(file.size, piece.whole, held.base, (*kept, piece), held.merged + merges)
    return Sent(now, tuple(old.name(name) for old in going))


def _bytes(file: FileSource, offset: int) -> bytes:
    parts = []
    while offset < file.size:
        parts.append(file.read_at(offset, file.size))
        offset += len(parts[-1])
    return b"".join(parts)
