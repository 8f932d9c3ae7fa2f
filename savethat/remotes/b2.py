"""Backblaze B2 as a remote, or any server that speaks its native API.

B2 keeps every version of a name. What rewrites an object here deletes the version before it, but an
upload whose answer was lost is sent again and leaves one more: `delete_prefix` takes them all.
"""

from __future__ import annotations

import bisect
import contextlib
import io
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from typing_extensions import override

from savethat.config.credentials import Credentials
from savethat.errors import MissingError, StorageError
from savethat.remotes.base import Deleted, Entry, Progress, Remote, Stored
from savethat.remotes.names import check_b2_name, check_prefix, part_name

if TYPE_CHECKING:
    from savethat.remotes.b2_account import Account, Version

_DELETIONS = 32


class B2Remote(Remote):
    """Objects below a prefix in a bucket.

    Nothing is asked before the first call that needs an answer; that one authorizes.

    Args:
        bucket: the bucket's name.
        prefix: the folder in the bucket, without a slash at either end; may be empty.
        realm: `production`, or the URL of a server that speaks the B2 native API.
        key_id: the application key's id.
        key: the application key. It is in no message, no `repr`, and a remote cannot be pickled.
    """

    def __init__(self, bucket: str, prefix: str, realm: str, key_id: str, key: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._realm = realm
        self._credentials = Credentials(key_id, key)
        self._lock = threading.Lock()
        self._connected: Account | None = None
        self._attempts = 0
        self._failure: StorageError | None = None

    def __repr__(self) -> str:
        return f"B2Remote({self.url!r})"

    @property
    @override
    def url(self) -> str:
        return f"b2://{self._bucket}/{self._prefix}".rstrip("/")

    @override
    def check(self) -> None:
        self._account().check_rights(self._prefix)

    @override
    def now(self) -> float:
        connected = self._connected
        offset = connected.session.clock_offset if connected else None
        return time.time() + (offset or 0.0)

    @override
    def list(self, prefix: str = "", *, start: str = "", stop: str = "") -> Iterator[Entry]:
        from savethat.remotes.b2_account import BILLED, PAGE

        check_prefix(prefix)
        full = self._prefix + prefix
        first = self._prefix + start if start else ""
        # A page goes on beyond `stop`: a small one wastes less.
        size = BILLED if stop else PAGE
        for page in self._account().names(full, first, page=size):
            for item in page:
                entry = self._entry(item)
                if stop and entry.name >= stop:
                    return
                yield entry

    @override
    def folders(self, prefix: str = "") -> Iterator[str]:
        """The folders directly below the folder `prefix`.

        b2sdk has no call with B2's delimiter. Instead names are listed from after the last folder
        found: a folder costs at most one page, whatever it holds.
        """
        from savethat.remotes.b2_account import BILLED, PAGE

        check_prefix(prefix)
        account = self._account()
        full = self._prefix + prefix
        start, size = full, BILLED
        while True:
            page = next(account.names(full, start, page=size))
            rests = (item["fileName"][len(full) :] for item in page)
            found = dict.fromkeys(rest.partition("/")[0] for rest in rests if "/" in rest)
            yield from filter(None, found)
            if len(page) < size:
                return
            # Many small folders: larger pages; a large folder: pages that cost least.
            size = PAGE if len(found) > 1 else BILLED
            # What follows the last name, or all names of its folder ("0" comes after "/").
            folder, slash, _ = page[-1]["fileName"][len(full) :].partition("/")
            start = full + folder + ("0" if slash else "\x20")

    @override
    def put(
        self,
        name: str,
        source: Path | bytes,
        *,
        info: Mapping[str, str] | None = None,
        previous: Stored | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        full = self._full(name)
        from savethat.remotes.b2_upload import upload

        stored = upload(self._account(), full, source, info or {}, progress)
        stored = Stored(name, stored.size, stored.sha1, stored.version)
        if previous is not None and not self.forget(previous):
            self.forget(stored)
            raise MissingError(f"{name} is no longer there: it was removed or replaced meanwhile")
        return stored

    @override
    def replace(
        self,
        name: str,
        source: Path | bytes,
        *,
        info: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        stored = self.put(name, source, info=info, progress=progress)
        self._delete(v for v in self._versions_of([name]) if v.id != stored.version)
        return stored

    @override
    def read(self, name: str) -> bytes:
        full = self._full(name)
        from savethat.remotes.b2_download import download

        content = io.BytesIO()
        download(self._account(), full, lambda: contextlib.nullcontext(content), None)
        return content.getvalue()

    @override
    def fetch(self, name: str, target: Path, *, progress: Progress | None = None) -> None:
        """Brings an object to a local file, which gets the time its content was last modified.

        Raises:
            MissingError: there is no such object; then no folder is made either.
        """
        full = self._full(name)
        from savethat.remotes.b2_download import download

        aside = target.with_name(part_name())

        def create() -> BinaryIO:
            target.parent.mkdir(parents=True, exist_ok=True)
            return aside.open("wb+")

        try:
            modified = download(self._account(), full, create, progress)
            os.utime(aside, ns=(modified, modified))
            aside.replace(target)
        except OSError as error:
            raise StorageError(f"{target} cannot be written: {error.strerror or error}") from error
        finally:
            with contextlib.suppress(OSError):
                aside.unlink()

    @override
    def forget(self, stored: Stored) -> bool:
        from savethat.remotes.b2_account import Version

        full = self._full(stored.name)
        return self._account().delete(Version(full, stored.version, stored.size, "upload"))

    @override
    def delete(self, names: Iterable[str]) -> Deleted:
        return self._delete(self._versions_of(names))

    @override
    def delete_prefix(self, prefix: str) -> Deleted:
        return self._delete(self._versions_below(prefix))

    @override
    def left(self, prefix: str) -> Deleted:
        sizes = [version.size for version in self._versions_below(prefix)]
        return Deleted(len(sizes), sum(sizes))

    def _account(self) -> Account:
        attempts = self._attempts
        with self._lock:
            if self._connected is not None:
                return self._connected
            if self._failure is not None and self._attempts > attempts:
                # Another thread failed while this one waited; else all would wait, one by one.
                raise self._failure
            from savethat.remotes.b2_account import Account  # b2sdk: a third of a second

            store = f"bucket {self._bucket} with key {self._credentials.key_id}"
            try:
                self._connected = Account(store, self._bucket, self._realm, self._credentials)
            except StorageError as error:
                self._attempts, self._failure = attempts + 1, error
                raise
            return self._connected

    def _full(self, name: str) -> str:
        full = self._prefix + name
        check_b2_name(full)
        return full

    def _entry(self, item: Mapping[str, Any]) -> Entry:
        info = item.get("fileInfo") or {}
        sha1 = item.get("contentSha1") or ""
        # Files sent in parts have none of their own; some clients leave it unverified.
        sha1 = info.get("large_file_sha1") if sha1 in ("", "none") else sha1.rpartition(":")[2]
        return Entry(
            name=item["fileName"][len(self._prefix) :],
            size=item["contentLength"],
            modified=item["uploadTimestamp"] / 1000,
            sha1=sha1,
            info=info,
        )

    def _versions_below(self, prefix: str) -> Iterator[Version]:
        check_prefix(prefix)
        for page in self._account().versions(self._prefix + prefix):
            yield from page

    def _versions_of(self, names: Iterable[str]) -> Iterator[Version]:
        """Every version of these names: what lies near is listed together, gaps are jumped over."""
        from savethat.remotes.b2_account import BILLED

        wanted = sorted({self._full(name) for name in names})
        known = set(wanted)
        while wanted:
            for page in self._account().versions(self._prefix, wanted[0], page=BILLED):
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

    def _delete(self, versions: Iterator[Version]) -> Deleted:
        """Deletes versions in parallel, as they are listed; the first error after all others."""
        account = self._account()

        def delete(version: Version) -> int | None:
            return version.size if account.delete(version) else None

        with ThreadPoolExecutor(_DELETIONS) as pool:
            futures = [pool.submit(delete, version) for version in versions]
        sizes = [size for future in futures if (size := future.result()) is not None]
        return Deleted(len(sizes), sum(sizes))
