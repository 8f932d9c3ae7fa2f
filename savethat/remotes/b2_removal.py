"""Versions on B2: finding those of many names, and deleting many at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from savethat.errors import StorageError
from savethat.remotes.b2_account import Account, Version
from savethat.remotes.base import Deleted, Stored, whole
from savethat.remotes.ranges import Place, Range, common_prefix, of_name, parts, walk

# At a time; together not more than an engine keeps connections.
_DELETIONS = 64
_LISTINGS = 8
# So many ranges at least are worth a listing of their own.
_RANGES = 8
# Versions that wait for their deletion, at most: whoever lists them waits.
_WAITING = 1_000


def versions_below(account: Account, prefix: str) -> Iterator[Version]:
    """Every version below `prefix` (in full), by name, the newest first."""
    place: Place | None = Place(prefix)
    while place is not None:
        page = account.versions(prefix, place)
        yield from page.items
        place = page.next


def versions_in(account: Account, wanted: Sequence[Range]) -> Iterator[tuple[int, Version]]:
    """Every version in sorted ranges (of names in full), each with its range's index."""
    prefix = common_prefix(wanted)
    yield from walk(wanted, lambda place, size: account.versions(prefix, place, size))


def superseded(versions: Iterable[Version]) -> Iterator[Version]:
    """Of all versions, by name and the newest first, those that no listing shows.

    They are every version but the newest of a name, all of a name that is hidden, and uploads that
    were never finished.
    """
    seen = ""
    for version in versions:
        if version.action == "start":
            yield version
            continue
        if version.name == seen or version.action != "upload":
            yield version
        seen = version.name


def settle(account: Account, stored: Stored, previous: str | None) -> bool:
    """Deletes what a version just written replaces, and what lost answers have left beside it.

    Args:
        account: where.
        stored: the version; its name in full.
        previous: the id of the one that it replaces, if any.

    Returns:
        Whether it stays: where someone else has deleted `previous`, it goes, too.

    Raises:
        StorageError: what became of `previous` could not be learnt.
    """
    name, doubts = stored.name, account.doubts
    stays = True
    try:
        if previous is not None:
            stays = account.delete(Version(name, previous, 0, "upload"))
        if not stays:
            account.delete(Version(name, stored.version, stored.size, "upload"))
    except StorageError:
        # Whoever tries again settles this one, too.
        doubts.add_upload(name, stored.sha1)
        raise
    if doubtful := doubts.uploads(name):
        there = (version for _, version in versions_in(account, [of_name(name)]))
        others = (v for v in there if v.id != stored.version)
        # Where someone else has replaced it, only what is surely ours.
        doubled = (v for v in others if stays or v.sha1 in doubtful)
        # What cannot be done now, the next one of this name does, or `prune`.
        with contextlib.suppress(StorageError):
            delete_versions(account, doubled)
            doubts.settle(name)
    return stays


def delete_versions(account: Account, versions: Iterable[Version]) -> Deleted:
    """Deletes versions in parallel, as they are listed; raises the first error after all others."""
    tally = _Tally()
    with _Deletions(account) as deletions:
        for version in versions:
            deletions.add(version, tally)
    return whole([tally.so_far()])


def delete_in(account: Account, wanted: Mapping[str, Range]) -> dict[str, Deleted]:
    """Deletes every version in ranges, none within another; what became of each, by its name."""
    with _Deletions(account) as deletions:
        tallies = _list_apart(account, wanted, deletions.add)
    return {name: tally.so_far() for name, tally in tallies.items()}


def left_in(account: Account, wanted: Mapping[str, Range]) -> dict[str, Deleted]:
    """What is still there in ranges, none within another, by their names."""
    tallies = _list_apart(account, wanted, lambda version, tally: tally.add(version.size))
    return {name: tally.so_far() for name, tally in tallies.items()}


def _list_apart(
    account: Account, wanted: Mapping[str, Range], found: Callable[[Version, _Tally], None]
) -> dict[str, _Tally]:
    """Calls `found` with every version in ranges, listing several parts of them at a time.

    Returns:
        The ranges' tallies, by name. Those that could not be listed to their end say so.
    """
    stopped = threading.Event()
    names = sorted(wanted, key=wanted.__getitem__)
    tallies = {name: _Tally() for name in names}

    def list_part(part: Sequence[str]) -> None:
        at = 0
        try:
            for at, version in versions_in(account, [wanted[name] for name in part]):
                if stopped.is_set():
                    return
                found(version, tallies[part[at]])
        except StorageError as error:
            for name in part[at:]:
                tallies[name].fail(error)

    with ThreadPoolExecutor(_LISTINGS) as pool:
        futures = [pool.submit(list_part, part) for part in parts(names, _LISTINGS, _RANGES)]
        try:
            for future in futures:
                future.result()
        finally:
            stopped.set()  # when interrupted, the others are still listing
    return tallies


class _Tally:
    """Counts what is there or was deleted, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._versions = self._bytes = 0
        self._failure: StorageError | None = None

    def add(self, size: int) -> None:
        with self._lock:
            self._versions += 1
            self._bytes += size

    def fail(self, error: StorageError) -> None:
        with self._lock:
            self._failure = self._failure or error

    def so_far(self) -> Deleted:
        return Deleted(self._versions, self._bytes, self._failure)


class _Deletions:
    """Deletes versions, many at a time; its end waits for all that were added."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._pool = ThreadPoolExecutor(_DELETIONS)
        self._free = threading.Semaphore(_WAITING)
        self._bug: BaseException | None = None

    def __enter__(self) -> _Deletions:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._pool.shutdown(cancel_futures=error is not None)
        if error is None and self._bug is not None:
            raise self._bug

    def add(self, version: Version, tally: _Tally) -> None:
        """Has a version deleted, and told to the tally if it was there; waits for its turn."""
        self._free.acquire()
        self._pool.submit(self._delete, version, tally)

    def _delete(self, version: Version, tally: _Tally) -> None:
        try:
            if self._account.delete(version):
                tally.add(version.size)
        except StorageError as error:
            tally.fail(error)
        except BaseException as error:
            self._bug = error
        finally:
            self._free.release()
