"""The contract of a remote: a flat store of named objects. `tests/remotes/` holds each one to it.

Names are relative to the remote's prefix, separated by `/`, without a leading or trailing one.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

# Called with a number of bytes just transferred.
Progress = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One object of a listing.

    Args:
        name: relative to the remote's prefix.
        size: bytes.
        modified: when it was written, seconds since the epoch by the server's clock.
        sha1: hexadecimal; None where the remote does not say.
        info: the info headers it was written with; None where the remote keeps none and the
            object itself must be read.
    """

    name: str
    size: int
    modified: float
    sha1: str | None = None
    info: Mapping[str, str] | None = None


@dataclasses.dataclass(frozen=True)
class Stored:
    """What `put` wrote: bytes, SHA-1 (hexadecimal) and the remote's own id of this version."""

    name: str
    size: int
    sha1: str
    version: str


@dataclasses.dataclass(frozen=True)
class Deleted:
    """What a removal did: versions deleted (hide markers and unfinished uploads too) and bytes."""

    versions: int = 0
    bytes: int = 0


class Remote(abc.ABC):
    """A store of named objects; safe to use from several threads.

    Every method raises `UnreachableError` where the store could not be asked, `DeniedError` where
    it refused, and `StorageError` for all else that went wrong: never one of a library's own.
    """

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """Names the remote for people: `b2://bucket/prefix`, or the folder."""

    @abc.abstractmethod
    def check(self) -> None:
        """Asks whether the store is there and may be used; raises where not."""

    @abc.abstractmethod
    def now(self) -> float:
        """Seconds since the epoch, by the server's clock (as of its latest answer)."""

    @abc.abstractmethod
    def list(self, prefix: str = "", *, start: str = "", stop: str = "") -> Iterator[Entry]:
        """Objects whose name starts with `prefix` (any string, not a folder), sorted by name.

        Args:
            prefix: where the name must start so.
            start: the first name wanted, inclusive; the store is not asked for earlier ones.
            stop: where to end, exclusive; empty for no end.
        """

    @abc.abstractmethod
    def folders(self, prefix: str = "") -> Iterator[str]:
        """The folders directly below the folder `prefix` ("" or ending in `/`), without a `/`."""

    @abc.abstractmethod
    def put(
        self,
        name: str,
        source: Path | bytes,
        *,
        info: Mapping[str, str] | None = None,
        previous: Stored | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        """Writes an object, whole or not at all.

        What is stored is one true state of the file: a file cut short while it is read fails,
        one that grows is stored at the length it had.

        Args:
            name: where.
            source: a file, or its content.
            info: what a listing is to carry (at most 10 entries, 7,000 bytes with the name).
            previous: what an earlier `put` of the same name gave back: that version is deleted.
            progress: told how many bytes went out.

        Raises:
            MissingError: `previous` is no longer there: someone removed it. Then nothing is left
                of this object either.
        """

    @abc.abstractmethod
    def replace(
        self,
        name: str,
        source: Path | bytes,
        *,
        info: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        """Writes an object and deletes whatever versions were there before, known or not."""

    @abc.abstractmethod
    def read(self, name: str) -> bytes:
        """An object's content.

        Raises:
            MissingError: there is no such object.
        """

    @abc.abstractmethod
    def fetch(self, name: str, target: Path, *, progress: Progress | None = None) -> None:
        """Brings an object to a local file, written aside and renamed; its SHA-1 is checked.

        Raises:
            MissingError: there is no such object.
        """

    @abc.abstractmethod
    def forget(self, stored: Stored) -> bool:
        """Deletes that one version; False where it was not there any more."""

    @abc.abstractmethod
    def delete(self, names: Iterable[str]) -> Deleted:
        """Deletes objects with all their versions; names that are not there are passed over."""

    @abc.abstractmethod
    def delete_prefix(self, prefix: str) -> Deleted:
        """Deletes every version, hide marker and unfinished upload below `prefix` (any string)."""

    @abc.abstractmethod
    def left(self, prefix: str) -> Deleted:
        """What is still there below `prefix`, counted as `delete_prefix` would count it."""
