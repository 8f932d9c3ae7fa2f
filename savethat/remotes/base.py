"""The contract of a remote: a flat store of named objects. `tests/remotes/` holds each one to it.

Names are relative to the remote's prefix, separated by `/`, without a leading or trailing one.
"""

from __future__ import annotations

import abc
import dataclasses
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from savethat.errors import StorageError

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
        version: the remote's own id of what is there now, which nothing else ever has; empty where
            it has none.
    """

    name: str
    size: int
    modified: float
    sha1: str | None = None
    info: Mapping[str, str] | None = None
    version: str = ""


@dataclasses.dataclass(frozen=True)
class Page:
    """A part of a listing, which need not be read where it says what it said before.

    Args:
        digest: the same only for pages that say the same.
        read: the objects, and the name that the next part begins with; None where it is the last.
    """

    digest: str
    read: Callable[[], tuple[Iterable[Entry], str | None]]


@dataclasses.dataclass(frozen=True)
class Stored:
    """What `put` wrote: bytes, SHA-1 (hexadecimal) and the remote's own id of this version."""

    name: str
    size: int
    sha1: str
    version: str


@dataclasses.dataclass(frozen=True)
class Deleted:
    """What a removal did: versions deleted (hide markers and unfinished uploads too) and bytes.

    `failure` is why there may be more, where one thing of several could not be removed.
    """

    versions: int = 0
    bytes: int = 0
    failure: StorageError | None = None


class Remote(abc.ABC):
    """A store of named objects; safe to use from several threads.

    Every method raises `UnreachableError` where the store could not be asked, `DeniedError` where
    it refused, and `StorageError` for all else that went wrong: never one of a library's own.
    """

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """Names the remote for people: `b2://bucket/prefix`, or the folder."""

    # Whether listings come in pages, with versions of what is listed: what was read of them can be
    # kept.
    has_pages = False

    @property
    @abc.abstractmethod
    def extends_from(self) -> int:
        """From this size of `previous` on, `extend` sends less than `put`; bytes.

        It is `sys.maxsize` where it never does.
        """

    @abc.abstractmethod
    def check(self) -> Sequence[str]:
        """Asks whether the store is there and may be used; raises where not.

        Returns:
            What the credentials allow beyond what is needed: one sentence each, for people.
        """

    @abc.abstractmethod
    def hurry(self, until: float | None) -> None:
        """Sets a moment that no call of this remote goes on past, from any thread.

        What is under way then ends with `UnreachableError`, as does what would have to wait longer
        than that before it tries again. A name look-up or a connection that is just being made ends
        by its own time limit.

        Args:
            until: by `time.monotonic()`; None: there is no hurry.
        """

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

    def open(self) -> None:
        """Does what the first call would have to do first. Only where the remote has pages."""
        raise NotImplementedError

    def page(self, prefix: str, start: str = "") -> Page:
        """The objects that `list` begins with: as many as the remote tells of at a time.

        Only where the remote has pages.

        Args:
            prefix: where the name must start so.
            start: the first name wanted, inclusive; empty for the first of all.
        """
        raise NotImplementedError

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
    def extend(
        self,
        name: str,
        source: Path,
        previous: Stored,
        *,
        info: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        """Like `put` with `previous`, for a file that has only grown since that was sent.

        Where the remote can, it sends only what was appended (`extends_from`). That the file begins
        as it did is made sure of: what is stored is one true state of it.

        Args:
            name: where.
            source: a file.
            previous: what an earlier call for this name gave back: that version is deleted.
            info: what a listing is to carry (at most 10 entries, 7,000 bytes with the name).
            progress: told how many bytes went out.

        Raises:
            MissingError: `previous` is no longer there: someone removed it. Then nothing is left
                of this object either.
        """

    @abc.abstractmethod
    def read(self, name: str, *, limit: int = sys.maxsize) -> bytes:
        """An object's content.

        Args:
            name: where.
            limit: the most bytes it may have: what others may have written can be of any size.

        Raises:
            MissingError: there is no such object.
            StorageError: it is larger than the limit; no more than that of it was read.
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
    def delete_below(self, prefixes: Collection[str]) -> dict[str, Deleted]:
        """As `delete_prefix` for many at once, none of which starts with another or is empty.

        Returns:
            What became of each; what failed is told there, and raised by none.
        """

    @abc.abstractmethod
    def prune(self, prefix: str) -> Deleted:
        """Deletes what no listing shows below `prefix`, where the remote keeps such things.

        They are every version but the newest of a name, all versions of a name that was hidden,
        and unfinished uploads: what a writer that was killed left behind. Nobody may be writing
        there meanwhile.
        """

    @abc.abstractmethod
    def left(self, prefix: str) -> Deleted:
        """What is still there below `prefix`, counted as `delete_prefix` would count it."""

    @abc.abstractmethod
    def left_below(self, prefixes: Collection[str]) -> dict[str, Deleted]:
        """As `left` for many at once; as of `delete_below`, what failed is told there."""


def whole(deleted: Iterable[Deleted]) -> Deleted:
    """What became of several things together.

    Raises:
        StorageError: one of them failed.
    """
    versions = size = 0
    for each in deleted:
        if each.failure is not None:
            raise each.failure
        versions, size = versions + each.versions, size + each.bytes
    return Deleted(versions, size)
