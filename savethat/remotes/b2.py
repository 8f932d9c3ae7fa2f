"""Backblaze B2 as a remote, or any server that speaks its native API.

B2 keeps every version of a name. What rewrites an object here deletes the version before it, and
what lost answers may have left beside it. What is asked again, and for how long, states `b2_retry`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from typing_extensions import override

from savethat.config import Credentials
from savethat.errors import MissingError, StorageError
from savethat.remotes.base import Deleted, Entry, Page, Progress, Remote, Stored, whole
from savethat.remotes.names import check_b2_name, check_prefix, part_name, too_large
from savethat.remotes.patience import Patience
from savethat.remotes.source import FileSource

if TYPE_CHECKING:
    from savethat.remotes.b2_account import Account
    from savethat.remotes.ranges import Range

# The least B2 takes as a part of a large file, unless it says otherwise.
_LEAST_PART = 5_000_000


class B2Remote(Remote):
    """Objects below a prefix in a bucket.

    Nothing is asked before the first call that needs an answer; that one authorizes, unless an
    authorization was kept.

    Args:
        bucket: the bucket's name.
        prefix: the folder in the bucket, without a slash at either end; may be empty.
        realm: `production`, or the URL of a server that speaks the B2 native API.
        key_id: the application key's id.
        key: the application key. It is in no message, no `repr`, and a remote cannot be pickled.
    """

    has_pages = True

    def __init__(self, bucket: str, prefix: str, realm: str, key_id: str, key: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._realm = realm
        self._credentials = Credentials(key_id, key)
        self._patience = Patience()
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

    @property
    @override
    def extends_from(self) -> int:
        connected = self._connected
        return connected.min_part_size if connected else _LEAST_PART

    @override
    def check(self) -> Sequence[str]:
        return self._account().check_rights(self._prefix)

    @override
    def hurry(self, until: float | None) -> None:
        self._patience.hurry(until)

    @override
    def now(self) -> float:
        connected = self._connected
        offset = connected.engine.clock_offset if connected else None
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
    def open(self) -> None:
        self._account()

    @override
    def page(self, prefix: str, start: str = "") -> Page:
        from savethat.remotes.b2_account import read_page

        check_prefix(prefix)
        account = self._account()
        full = self._prefix + prefix
        answer = account.page(full, self._prefix + start if start else "")

        def read() -> tuple[Iterable[Entry], str | None]:
            items, place = read_page(account.store, full, answer)
            # What comes next is below the same prefix.
            return map(self._entry, items), place and place.name[len(self._prefix) :]

        return Page(hashlib.sha256(answer.data).hexdigest(), read)

    @override
    def folders(self, prefix: str = "") -> Iterator[str]:
        check_prefix(prefix)
        full = self._prefix + prefix
        for page in self._account().names(full, delimiter="/"):
            for item in page:
                if item["action"] == "folder" and (name := item["fileName"][len(full) : -1]):
                    yield name

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
        from savethat.remotes.b2_large import upload_large
        from savethat.remotes.b2_upload import upload

        account = self._account()
        if isinstance(source, bytes):
            stored = upload(account, full, source, info or {}, progress)
        else:
            with FileSource(source) as file:
                store = upload_large if file.size > account.part_size else upload
                stored = store(account, full, file, info or {}, progress)
        return self._settled(account, stored, previous)

    @override
    def extend(
        self,
        name: str,
        source: Path,
        previous: Stored,
        *,
        info: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        """Like `put` with `previous`, sending only what was appended.

        B2 makes a large file of the version before and the rest. It costs one class C transaction
        (b2_copy_part) for each GB of the version before.

        Raises:
            MissingError: `previous` is no longer there. Then nothing is left of this object either.
        """
        full = self._full(name)
        from savethat.remotes.b2_large import CannotCopyError, upload_large

        account = self._account()
        with FileSource(source) as file:
            if account.min_part_size <= previous.size < file.size:
                with contextlib.suppress(CannotCopyError):
                    try:
                        stored = upload_large(
                            account, full, file, info or {}, progress, previous=previous
                        )
                    except MissingError as error:
                        raise _gone(name) from error
                    return self._settled(account, stored, previous)
        return self.put(name, source, info=info, previous=previous, progress=progress)

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
        full, account = self._full(name), self._account()
        from savethat.remotes import ranges
        from savethat.remotes.b2_removal import delete_versions, versions_in

        there = versions_in(account, [ranges.of_name(full)])
        delete_versions(account, (v for _, v in there if v.id != stored.version))
        return stored

    @override
    def read(self, name: str, *, limit: int = sys.maxsize) -> bytes:
        full = self._full(name)
        from savethat.remotes.b2_download import download

        content = io.BytesIO()
        arrived = 0

        def bounded(count: int) -> None:
            nonlocal arrived
            arrived += count
            if arrived > limit:
                raise too_large(name, limit)

        download(self._account(), full, lambda: contextlib.nullcontext(content), bounded)
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
        wanted = [self._full(name) for name in names]
        from savethat.remotes import ranges
        from savethat.remotes.b2_removal import delete_in

        deleted = delete_in(self._account(), {name: ranges.of_name(name) for name in wanted})
        return whole(deleted.values())

    @override
    def delete_prefix(self, prefix: str) -> Deleted:
        check_prefix(prefix)
        from savethat.remotes.b2_removal import delete_versions, versions_below

        account = self._account()
        return delete_versions(account, versions_below(account, self._prefix + prefix))

    @override
    def delete_below(self, prefixes: Collection[str]) -> dict[str, Deleted]:
        from savethat.remotes.b2_removal import delete_in

        return delete_in(self._account(), self._ranges(prefixes))

    @override
    def prune(self, prefix: str) -> Deleted:
        check_prefix(prefix)
        from savethat.remotes.b2_removal import delete_versions, superseded, versions_below

        account = self._account()
        there = versions_below(account, self._prefix + prefix)
        return delete_versions(account, superseded(there))

    @override
    def left(self, prefix: str) -> Deleted:
        check_prefix(prefix)
        from savethat.remotes.b2_removal import versions_below

        sizes = [v.size for v in versions_below(self._account(), self._prefix + prefix)]
        return Deleted(len(sizes), sum(sizes))

    @override
    def left_below(self, prefixes: Collection[str]) -> dict[str, Deleted]:
        from savethat.remotes.b2_removal import left_in

        return left_in(self._account(), self._ranges(prefixes))

    def _ranges(self, prefixes: Collection[str]) -> dict[str, Range]:
        """The names in the bucket that start with each of these."""
        from savethat.remotes.ranges import of_prefix

        for prefix in prefixes:
            check_prefix(prefix)
        return {prefix: of_prefix(self._prefix + prefix) for prefix in prefixes}

    def _settled(self, account: Account, stored: Stored, previous: Stored | None) -> Stored:
        """What `put` gives back of a version just written (its name in full)."""
        from savethat.remotes.b2_removal import settle

        name = stored.name[len(self._prefix) :]
        if not settle(account, stored, previous.version if previous else None):
            raise _gone(name)
        return dataclasses.replace(stored, name=name)

    def _account(self) -> Account:
        attempts = self._attempts
        with self._lock:
            if self._connected is not None:
                return self._connected
            if self._failure is not None and self._attempts > attempts:
                # Another thread failed while this one waited; else all would wait, one by one.
                raise self._failure
            from savethat.remotes.b2_contact import first_contact  # it brings urllib3

            store = f"bucket {self._bucket} with key {self._credentials.key_id}"
            try:
                self._connected = first_contact(
                    store, self._bucket, self._realm, self._credentials, self._patience
                )
            except StorageError as error:
                self._attempts, self._failure = attempts + 1, error
                raise
            return self._connected

    def _full(self, name: str) -> str:
        full = self._prefix + name
        check_b2_name(full)
        return full

    def _entry(self, item: Mapping[str, Any]) -> Entry:
        from savethat.remotes.b2_account import sha1_of

        return Entry(
            name=item["fileName"][len(self._prefix) :],
            size=item["contentLength"],
            modified=item["uploadTimestamp"] / 1000,
            sha1=sha1_of(item),
            info=item.get("fileInfo") or {},
            version=item["fileId"] or "",
        )


def _gone(name: str) -> MissingError:
    return MissingError(f"{name} is no longer there: it was removed or replaced meanwhile")
