"""Downloads from B2, checked against the SHA-1 that was stored with them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO

import requests
from b2sdk.v2 import exception as b2

from savethat.remotes.b2_account import Account
from savethat.remotes.b2_errors import translated
from savethat.remotes.b2_upload import Listener
from savethat.remotes.base import Progress
from savethat.remotes.source import BLOCK

# b2sdk itself asks again where no answer came; these are for one that broke off or arrived damaged.
_TRIES = 3
# From this size on content is written by position, so that b2sdk can take it up again midway.
_RESUMABLE = 1024 * 1024


def download(
    account: Account,
    name: str,
    create: Callable[[], AbstractContextManager[BinaryIO]],
    progress: Progress | None,
) -> int:
    """Writes the object `name` (in full) to the file `create` makes, once the object is found.

    Returns:
        When the content was last modified, as far as is known; nanoseconds since the epoch.
    """
    listener = Listener(progress) if progress else None
    file: BinaryIO | None = None
    with translated(account.store, name), contextlib.ExitStack() as stack:
        for tries_left in reversed(range(_TRIES)):
            try:
                found = account.bucket.download_file_by_name(name, progress_listener=listener)
                file = file or stack.enter_context(create())
                file.seek(0)
                file.truncate()
                version = found.download_version
                found.save(file, allow_seeking=version.content_length >= _RESUMABLE)
                # B2 knows no SHA-1 of a file sent in parts, and b2sdk checks none.
                if version.content_sha1 == "none" and (sha1 := version.get_content_sha1()):
                    _check(file, sha1)
                break
            except (b2.ChecksumMismatch, b2.TruncatedOutput, requests.RequestException):
                if not tries_left:
                    raise
        return int(version.mod_time_millis) * 1_000_000


def _check(file: BinaryIO, sha1: str) -> None:
    digest = hashlib.sha1(usedforsecurity=False)
    file.seek(0)
    for block in iter(lambda: file.read(BLOCK), b""):
        digest.update(block)
    if digest.hexdigest() != sha1:
        raise b2.ChecksumMismatch("sha1", sha1, digest.hexdigest())
