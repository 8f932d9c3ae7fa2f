"""Uploads to B2: small files from memory, larger ones streamed, the largest in parts.

b2sdk's own uploads are not used: they repeat what is hopeless, do not wait, and do not say whether
a try whose answer was lost may have worked.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from typing_extensions import override

from savethat.errors import StorageError
from savethat.remotes.b2_account import MTIME, Account, Version
from savethat.remotes.b2_engine import answered
from savethat.remotes.b2_errors import translated
from savethat.remotes.b2_failures import NoAnswerError, RefusalError
from savethat.remotes.b2_retry import NO_LIMIT, Tries, is_repeated
from savethat.remotes.b2_urls import Urls
from savethat.remotes.base import Progress, Stored
from savethat.remotes.source import FileSource

# B2 finds the type by the name's ending.
CONTENT_TYPE = "b2/x-auto"
# B2's limit for one version: https://www.backblaze.com/docs/cloud-storage-files#file-information
INFO_ENTRIES = 10

# Up to this size a file is read into memory, by as many threads as there are: then it cannot change
# while it is sent.
_IN_MEMORY = 256 * 1024

Answer = dict[str, Any]


def upload(
    account: Account,
    name: str,
    source: bytes | FileSource,
    info: Mapping[str, str],
    progress: Progress | None,
) -> Stored:
    """Writes a new version of the object `name` (in full) and gives back what was written.

    It is for what fits into one request, and notes in `account.doubts` what it may have left.
    """
    headers = dict(info)
    if isinstance(source, FileSource):
        add_time(headers, source)
        if source.size > _IN_MEMORY:
            return _send_streamed(account, name, source, headers, progress)
        data, sha1 = source.read()
    else:
        data, sha1 = source, hashlib.sha1(source, usedforsecurity=False).hexdigest()
    with account.pace:
        stored = _send(account, name, data, sha1, headers)
    if progress:
        progress(stored.size)
    return stored


def add_time(headers: dict[str, str], source: FileSource) -> None:
    """A file's modification time goes along as b2sdk and rclone do it, while there is room."""
    if len(headers) < INFO_ENTRIES - 1:
        headers.setdefault(MTIME, str(source.mtime_ns // 1_000_000))


def _send_streamed(
    account: Account,
    name: str,
    source: FileSource,
    headers: Mapping[str, str],
    progress: Progress | None,
) -> Stored:
    sha1 = source.sha1()
    with blamed(source, sha1):
        stored = _send(account, name, Body(source, 0, source.size, progress), sha1, headers)
    check_sent(account, source, stored)
    return stored


@contextlib.contextmanager
def blamed(source: FileSource, sha1: str) -> Iterator[None]:
    """Raises what was wrong with a file that could not be sent, if that was the cause.

    Args:
        source: the file.
        sha1: what it had when it began.
    """
    try:
        yield
    except StorageError as error:
        if source.failure:
            raise source.failure from error
        source.check(sha1)
        raise


def check_sent(account: Account, source: FileSource, stored: Stored) -> None:
    """Makes sure that what was sent is what the file holds; else takes it back.

    Args:
        account: where it is.
        source: what was sent.
        stored: what is there, its name in full.
    """
    try:
        source.check(stored.sha1)
    except StorageError:
        account.doubts.add_upload(stored.name, stored.sha1)
        account.delete(Version(stored.name, stored.version, stored.size, "upload"))
        raise


def _send(
    account: Account, name: str, data: bytes | Body, sha1: str, info: Mapping[str, str]
) -> Stored:
    headers = {
        "X-Bz-File-Name": quote(name),
        "Content-Type": CONTENT_TYPE,
        "Content-Length": str(len(data)),
        "X-Bz-Content-Sha1": sha1,
        **{f"X-Bz-Info-{key}": quote(value) for key, value in info.items()},
    }

    def send(url: str, token: str) -> Answer:
        if isinstance(data, Body):
            data.seek(0)
        return answered(
            account.engine.request("POST", url, {"Authorization": token, **headers}, data)
        )

    lost = account.engine.lost
    try:
        with translated(account.store, name):
            answer = sent(account, account.urls, send)
    finally:
        if account.engine.lost != lost:
            account.doubts.add_upload(name, sha1)
    return Stored(name, len(data), sha1, answer["fileId"])


def sent(account: Account, urls: Urls, send: Callable[[str, str], Answer]) -> Answer:
    """Sends something to an upload URL; to others, until there is an answer that counts.

    Args:
        account: whose patience counts.
        urls: where the URL comes from and, while it is good, goes back to.
        send: sends to it, once.
    """
    tries = Tries(account.patience, NO_LIMIT)
    while True:
        url, token = urls.take()
        try:
            answer = send(url, token)
        except (RefusalError, NoAnswerError) as failure:
            refused = failure if isinstance(failure, RefusalError) else None
            if refused and refused.status == 429:
                urls.keep(url, token)
            if refused and refused.status in (429, 503):
                account.pace.slow_down()
            if not is_repeated(failure):
                raise
            tries.wait(str(failure), refused.retry_after if refused else None)
            continue
        urls.keep(url, token)
        return answer


class Body(io.RawIOBase):
    """What is sent of a file: `size` bytes from `start`.

    Args:
        source: the file.
        start: where it begins.
        size: bytes.
        progress: told of bytes that go out for the first time.
        check: called before each block; ends the upload by raising.
    """

    def __init__(
        self,
        source: FileSource,
        start: int,
        size: int,
        progress: Progress | None,
        check: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._source, self._start, self._size = source, start, size
        self._progress, self._check = progress, check
        self._position = self._told = 0

    def __len__(self) -> int:
        return self._size

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = base[whence] + offset
        return self._position

    @override
    def tell(self) -> int:
        return self._position

    @override
    def read(self, size: int | None = -1) -> bytes:
        if self._check:
            self._check()
        rest = self._size - self._position
        count = rest if size is None or size < 0 else min(size, rest)
        if count <= 0:
            return b""
        block = self._source.read_at(self._start + self._position, count)
        self._position += len(block)
        if self._progress and self._position > self._told:
            self._progress(self._position - self._told)
            self._told = self._position
        return block
