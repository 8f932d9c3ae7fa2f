"""Uploads to B2: small files from memory, larger ones streamed, the largest in b2sdk's parts."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from b2sdk import v2

from savethat.errors import StorageError
from savethat.remotes.b2_account import Account, Version
from savethat.remotes.b2_errors import translated
from savethat.remotes.base import Progress, Stored
from savethat.remotes.source import FileSource

# Up to this size a file is read into memory: then it cannot change while it is sent.
_IN_MEMORY = 1024 * 1024
# B2's limit for one version: https://www.backblaze.com/docs/cloud-storage-files#file-information
_INFO_ENTRIES = 10


def upload(
    account: Account,
    name: str,
    source: Path | bytes,
    info: Mapping[str, str],
    progress: Progress | None,
) -> Stored:
    """Writes a new version of the object `name` (in full) and gives back what was written.

    A file's modification time goes along as b2sdk and rclone do it, while there is room.
    """
    headers = dict(info)
    if isinstance(source, bytes):
        return _send(account, name, v2.UploadSourceBytes(source), headers, progress)
    with FileSource(source) as file:
        if len(headers) < _INFO_ENTRIES - 1:
            headers.setdefault(v2.SRC_LAST_MODIFIED_MILLIS, str(file.mtime_ns // 1_000_000))
        if file.size <= _IN_MEMORY:
            data, sha1 = file.read()
            return _send(account, name, v2.UploadSourceBytes(data, sha1), headers, progress)
        return _send_streamed(account, name, file, headers, progress)


def _send_streamed(
    account: Account,
    name: str,
    file: FileSource,
    headers: dict[str, str],
    progress: Progress | None,
) -> Stored:
    # b2sdk would read the file for it anyway. B2 itself knows none of a file sent in parts: there
    # b2sdk keeps it as a header.
    sha1 = file.sha1()
    source = v2.UploadSourceStream(file.open, file.size, sha1)
    try:
        stored = _send(account, name, source, headers, progress)
    except StorageError as error:
        if file.failure:
            raise file.failure from error
        file.check(sha1)
        raise
    finally:
        if file.size > account.part_size:
            # Those of a killed process, too. What cannot be done now, `delete_prefix` does.
            with contextlib.suppress(StorageError):
                account.cancel_unfinished(name)
    try:
        file.check(stored.sha1)
    except StorageError:
        account.delete(Version(name, stored.version, stored.size, "upload"))
        raise
    return stored


def _send(
    account: Account,
    name: str,
    source: v2.AbstractUploadSource,
    headers: dict[str, str],
    progress: Progress | None,
) -> Stored:
    listener = Listener(progress) if progress else None
    with translated(account.store, name):
        version = account.bucket.upload(source, name, file_info=headers, progress_listener=listener)
    return Stored(name, version.size, version.get_content_sha1(), version.id_)


class Listener(v2.AbstractProgressListener):  # type: ignore[misc] # b2sdk has no types
    """Turns b2sdk's totals, which fall when it starts again, into what is new."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._told = 0

    def set_total_bytes(self, total_byte_count: int) -> None:
        """The total is known to the caller."""

    def bytes_completed(self, byte_count: int) -> None:
        """Passes on what goes beyond the most that was told."""
        if byte_count > self._told:
            self._progress(byte_count - self._told)
            self._told = byte_count
