"""Pages of a bucket's names and versions, as the list calls answer them.

A page of 10,000 names costs a few ms, also with hundreds of thousands of files: names are kept
sorted, and a listing with a delimiter skips over a folder with a binary search. The caller holds
the store's lock.
"""

from __future__ import annotations

import bisect
import re
from json.encoder import encode_basestring_ascii as quoted
from typing import NamedTuple

from .errors import bad
from .model import Bucket, visible


class Page(NamedTuple):
    """Rendered entries, and where the next page starts."""

    entries: list[bytes]
    next_name: str | None = None
    next_id: str | None = None


def list_names(bucket: Bucket, start: str, count: int, prefix: str, delimiter: str) -> Page:
    """The visible files, hidden names and unfinished large files left out."""
    names = bucket.names
    entries: list[bytes] = []
    i = bisect.bisect_left(names, max(start, prefix))
    while i < len(names):
        name = names[i]
        if not name.startswith(prefix):
            break
        version = visible(bucket.versions[name])
        if version is None:
            i += 1
            continue
        if len(entries) >= count:
            return Page(entries, name)
        folder = _folder_of(name, prefix, delimiter)
        if folder:
            entries.append(_folder_entry(bucket, folder))
            i = _after_folder(names, folder, i)
        else:
            entries.append(version.json())
            i += 1
    return Page(entries)


def list_versions(
    bucket: Bucket, start: str, start_id: str | None, count: int, prefix: str, delimiter: str
) -> Page:
    """All versions, hide markers and unfinished large files too, newest first per name."""
    start_sequence = _sequence(start_id) if start_id else None
    names = bucket.names
    entries: list[bytes] = []
    i = bisect.bisect_left(names, max(start, prefix))
    while i < len(names):
        name = names[i]
        if not name.startswith(prefix):
            break
        folder = _folder_of(name, prefix, delimiter)
        if folder:
            if len(entries) >= count:
                return Page(entries, name, bucket.versions[name][-1].file_id)
            entries.append(_folder_entry(bucket, folder))
            i = _after_folder(names, folder, i)
            continue
        for version in reversed(bucket.versions[name]):
            if start_sequence is not None and name == start and version.sequence > start_sequence:
                continue
            if len(entries) >= count:
                return Page(entries, name, version.file_id)
            entries.append(version.json())
        i += 1
    return Page(entries)


def _sequence(file_id: str) -> int:
    # From the id, since the version itself may have been deleted meanwhile.
    match = re.match(r"^4_z[0-9a-f]+_f[0-9]([0-9a-f]{15})_", file_id)
    if not match:
        raise bad(f"Invalid startFileId: {file_id}", "invalid_file_id")
    return int(match.group(1), 16)


def _folder_of(name: str, prefix: str, delimiter: str) -> str | None:
    end = name.find(delimiter, len(prefix)) if delimiter else -1
    return name[: end + len(delimiter)] if end >= 0 else None


def _after_folder(names: list[str], folder: str, position: int) -> int:
    return bisect.bisect_left(names, folder[:-1] + chr(ord(folder[-1]) + 1), position)


def _folder_entry(bucket: Bucket, name: str) -> bytes:
    return (
        f'{{"accountId":"{bucket.account_id}","action":"folder","bucketId":"{bucket.bucket_id}",'
        '"contentLength":0,"contentMd5":null,"contentSha1":null,"contentType":null,"fileId":null,'
        f'"fileInfo":{{}},"fileName":{quoted(name)},"fileRetention":'
        '{"isClientAuthorizedToRead":false,"value":null},"legalHold":'
        '{"isClientAuthorizedToRead":false,"value":null},"serverSideEncryption":'
        '{"algorithm":null,"mode":null},"uploadTimestamp":0}'
    ).encode("ascii")
