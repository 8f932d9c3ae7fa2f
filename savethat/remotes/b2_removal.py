"""Versions on B2: finding those of many names, and deleting many at once."""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from savethat.errors import StorageError
from savethat.remotes.b2_account import BILLED, Account, Version
from savethat.remotes.base import Deleted, Stored

_DELETIONS = 32


def versions_below(account: Account, prefix: str) -> Iterator[Version]:
    """Every version below `prefix` (in full), by name, the newest first."""
    for page in account.versions(prefix):
        yield from page


def versions_of(account: Account, prefix: str, names: Iterable[str]) -> Iterator[Version]:
    """Every version of these names: what lies near is listed together, gaps are jumped over.

    Args:
        account: where.
        prefix: of all of the names.
        names: in full.
    """
    wanted = sorted(set(names))
    known = set(wanted)
    if len(wanted) == 1:
        prefix = wanted[0]  # a busy prefix costs nothing then
    while wanted:
        for page in account.versions(prefix, wanted[0], page=BILLED):
            if not page:
                continue
            yield from (version for version in page if version.name in known)
            last = page[-1].name
            wanted = wanted[bisect.bisect_left(wanted, last) :]
            # The last name of a page may go on in the next.
            if not wanted or wanted[0] != last:
                break
        else:
            return


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


def settle(account: Account, prefix: str, stored: Stored, previous: str | None) -> bool:
    """Deletes what a version just written replaces, and what lost answers have left beside it.

    Args:
        account: where.
        prefix: of the remote.
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
        others = (v for v in versions_of(account, prefix, [name]) if v.id != stored.version)
        # Where someone else has replaced it, only what is surely ours.
        doubled = (v for v in others if stays or v.sha1 in doubtful)
        # What cannot be done now, the next one of this name does, or `prune`.
        with contextlib.suppress(StorageError):
            delete_versions(account, doubled)
            doubts.settle(name)
    return stays


def delete_versions(account: Account, versions: Iterable[Version]) -> Deleted:
    """Deletes versions in parallel, as they are listed; raises the first error after all others."""

    def delete(version: Version) -> int | None:
        return version.size if account.delete(version) else None

    with ThreadPoolExecutor(_DELETIONS) as pool:
        futures = [pool.submit(delete, version) for version in versions]
    sizes = [size for future in futures if (size := future.result()) is not None]
    return Deleted(len(sizes), sum(sizes))
