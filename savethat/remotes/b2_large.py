"""Large files on B2: sent in parts, several at a time, or made of a version before and the rest.

The SHA-1 of each part is known before it goes: B2 compares it with what arrives, and what B2 copies
by itself is compared here. So what is joined in the end is the one state of the file whose SHA-1
goes along as `large_file_sha1`, which B2 itself knows none of.

An upload that ended because nobody answered, or because there was no time left, stays unfinished.
The next one of the same content goes on with the parts that are there, in whatever process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections.abc import Iterable, Mapping, Sequence

from savethat.errors import MissingError, StorageError, UnreachableError
from savethat.remotes.b2_account import BILLED, LARGE_SHA1, Account, Version
from savethat.remotes.b2_errors import translated
from savethat.remotes.b2_failures import RefusalError
from savethat.remotes.b2_upload import (
    CONTENT_TYPE,
    INFO_ENTRIES,
    Answer,
    Body,
    add_time,
    blamed,
    check_sent,
    sent,
)
from savethat.remotes.b2_urls import Urls
from savethat.remotes.base import Progress, Stored
from savethat.remotes.source import FileSource

# B2's limit, and what it copies in one call well within its time.
_MOST_PARTS = 10_000
_COPIED = 1_000_000_000


class CannotCopyError(Exception):
    """The version before is not what was expected, or B2 does not copy it; a whole upload helps."""


@dataclasses.dataclass(frozen=True)
class _Part:
    number: int
    start: int
    size: int
    sha1: str
    # The id of the version it is copied from, from the same position.
    copied: str | None


def upload_large(
    account: Account,
    name: str,
    source: FileSource,
    info: Mapping[str, str],
    progress: Progress | None,
    *,
    previous: Stored | None = None,
) -> Stored:
    """Writes a new version of `name` (in full) in parts.

    On failure nothing of it is left, unless B2 could not be reached: see above.

    Args:
        account: where to.
        name: in full.
        source: a file beyond the size of one part.
        info: goes along.
        progress: told of bytes that go out, from several threads.
        previous: a version that the file begins with, which B2 copies by itself; the same name.

    Raises:
        CannotCopyError: with `previous`: it does not begin with it, or B2 does not copy.
        MissingError: `previous` is not there any more.
    """
    beginning = previous.size if previous else 0
    part_size = max(account.part_size, source.size // (_MOST_PARTS // 2))
    full, rest = divmod(source.size - beginning, part_size)
    # The last may be of any size, no other less than B2's least.
    sizes = [*_cut(beginning), *[part_size] * full, *[rest] * (rest > 0)]
    sha1, part_sha1s = source.sha1s(sizes)
    parts = []
    start = 0
    for number, (size, part_sha1) in enumerate(zip(sizes, part_sha1s, strict=True), 1):
        copied = previous.version if previous and start < beginning else None
        parts.append(_Part(number, start, size, part_sha1, copied))
        start += size
    # What is mostly copied is soon copied again.
    unfinished = {} if previous else _unfinished(account, name)
    begun = next((file_id for file_id, of in unfinished.items() if of == sha1), None)
    headers = _headers(info, source, sha1)
    with blamed(source, sha1):
        stored = _store(account, name, source, sha1, parts, headers, progress, begun)
    check_sent(account, source, stored)
    # What cannot be done now, `delete_prefix` does.
    with contextlib.suppress(StorageError):
        for file_id in unfinished.keys() - {begun}:
            account.delete(Version(name, file_id, 0, "start"))
    return stored


def _headers(info: Mapping[str, str], source: FileSource, sha1: str) -> dict[str, str]:
    headers = dict(info)
    add_time(headers, source)
    if len(headers) < INFO_ENTRIES:
        headers[LARGE_SHA1] = sha1
    return headers


def _cut(size: int) -> list[int]:
    """Cuts what is copied into pieces of about the same size."""
    count = -(-size // _COPIED)
    return [size * (i + 1) // count - size * i // count for i in range(count)]


def _store(
    account: Account,
    name: str,
    source: FileSource,
    sha1: str,
    parts: Sequence[_Part],
    headers: dict[str, str],
    progress: Progress | None,
    begun: str | None,
) -> Stored:
    lost = account.engine.lost
    file_id = begun
    try:
        there = {} if begun is None else _parts_of(account, name, begun)
        if file_id is None or max(there, default=0) > len(parts):  # it was cut otherwise
            with translated(account.store, name), account.sdk.made() as calls:
                answer = calls.start_large_file(
                    *account.who, account.bucket_id, name, CONTENT_TYPE, headers
                )
                file_id = answer["fileId"]
                if account.engine.lost != lost:
                    account.doubts.add_upload(name, sha1)  # it may have been started twice
        missing = [part for part in parts if there.get(part.number) != part.sha1]
        _send_parts(account, name, file_id, source, missing, progress)
        with translated(account.store, name):
            _finish(account, file_id, [part.sha1 for part in parts])
    except BaseException as error:
        cancelled = False
        goes_on = isinstance(error, UnreachableError) and not any(part.copied for part in parts)
        if file_id is not None and not goes_on:
            with contextlib.suppress(StorageError):
                cancelled = account.delete(Version(name, file_id, 0, "start"))
        # One that cannot be cancelled may be finished: its answer was lost.
        if not cancelled and (file_id is not None or account.engine.lost != lost):
            account.doubts.add_upload(name, sha1)
        raise
    return Stored(name, source.size, sha1, file_id)


def _send_parts(
    account: Account,
    name: str,
    file_id: str,
    source: FileSource,
    parts: Iterable[_Part],
    progress: Progress | None,
) -> None:
    """Brings all parts there.

    Raises:
        StorageError: the first error; what is under way is broken off.
    """
    stop = threading.Event()

    def ask() -> Answer:
        with account.sdk.made() as calls:
            answer: Answer = calls.get_upload_part_url(*account.who, file_id)
            return answer

    urls = Urls(ask)

    def check() -> None:
        if stop.is_set():
            raise StorageError(f"{name}: another part failed")

    def bring(part: _Part) -> None:
        check()
        if part.copied is not None:
            _copy(account, name, file_id, part)
        else:
            with translated(account.store, name):
                _send(account, urls, part, Body(source, part.start, part.size, progress, check))

    # They read from the file, which is closed next.
    account.together([functools.partial(bring, part) for part in parts], stop)


def _send(account: Account, urls: Urls, part: _Part, body: Body) -> None:
    def send(url: str, token: str) -> Answer:
        with account.sdk.made() as calls:
            answer: Answer = calls.upload_part(url, token, part.number, part.size, part.sha1, body)
            return answer

    sent(account, urls, send)


def _copy(account: Account, name: str, file_id: str, part: _Part) -> None:
    end = part.start + part.size - 1
    try:
        with translated(account.store, name), account.sdk.made() as calls:
            answer = calls.copy_part(
                *account.who, part.copied, file_id, part.number, (part.start, end)
            )
    except MissingError:
        if account.doubts.may_have_deleted(part.copied or ""):
            raise CannotCopyError from None
        raise
    except StorageError as error:
        if isinstance(error.__cause__, RefusalError) and error.__cause__.status == 400:
            raise CannotCopyError from error
        raise
    if answer["contentSha1"] != part.sha1:
        raise CannotCopyError


def _finish(account: Account, file_id: str, sha1s: list[str]) -> None:
    lost = account.engine.lost
    try:
        with account.sdk.made() as calls:
            calls.finish_large_file(*account.who, file_id, sha1s)
    except RefusalError as refused:
        # It was asked again after an answer was lost: the first time may have done it.
        if refused.status != 400 or account.engine.lost == lost:
            raise
        if account.call("b2_get_file_info", fileId=file_id).get("action") != "upload":
            raise


def _unfinished(account: Account, name: str) -> dict[str, str]:
    """The large uploads of `name` that were never finished: SHA-1 of the whole file, by id."""
    found: dict[str, str] = {}
    start: str | None = None
    while True:
        with translated(account.store, name), account.sdk.made() as calls:
            answer = calls.list_unfinished_large_files(
                *account.who, account.bucket_id, start, None, name
            )
        for item in answer["files"]:
            if item["fileName"] == name:
                found[item["fileId"]] = (item.get("fileInfo") or {}).get(LARGE_SHA1, "")
        start = answer["nextFileId"]
        if start is None:
            return found


def _parts_of(account: Account, name: str, file_id: str) -> dict[int, str]:
    """The parts that an unfinished large upload has: SHA-1 by number."""
    found: dict[int, str] = {}
    start: int | None = None
    while True:
        with translated(account.store, name), account.sdk.made() as calls:
            answer = calls.list_parts(*account.who, file_id, start, BILLED)
        found |= {part["partNumber"]: part["contentSha1"] for part in answer["parts"]}
        start = answer["nextPartNumber"]
        if start is None:
            return found
