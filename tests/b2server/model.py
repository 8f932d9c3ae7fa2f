"""What B2 keeps: file versions, parts of large files, buckets and application keys.

Each has a `record`, the JSON line that the store's log keeps of it.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as quoted

from .api import NO_ENCRYPTION, Json, dump
from .blobs import Segment

_LOCK_FIELDS = (
    ',"fileRetention":{"isClientAuthorizedToRead":true,"value":{"mode":null,'
    '"retainUntilTimestamp":null}},"legalHold":{"isClientAuthorizedToRead":true,"value":null},'
    '"replicationStatus":null,"serverSideEncryption":{"algorithm":null,"mode":null}'
)


@dataclass
class Part:
    """One uploaded part of an unfinished large file."""

    segments: list[Segment]
    size: int
    sha1: str
    md5: str | None
    timestamp: int

    def record(self) -> Json:
        return {
            "segments": self.segments,
            "size": self.size,
            "sha1": self.sha1,
            "md5": self.md5,
            "time": self.timestamp,
        }

    @classmethod
    def from_record(cls, record: Json) -> Part:
        return cls(
            [(blob, offset, length) for blob, offset, length in record["segments"]],
            record["size"],
            record["sha1"],
            record["md5"],
            record["time"],
        )

    def answer(self, file_id: str, number: int) -> Json:
        return {
            "fileId": file_id,
            "partNumber": number,
            "contentLength": self.size,
            "contentSha1": self.sha1,
            "contentMd5": self.md5,
            "serverSideEncryption": NO_ENCRYPTION,
            "uploadTimestamp": self.timestamp,
        }


@dataclass(slots=True, eq=False)
class Version:
    """One file version; its action is `upload`, `hide` or `start` (unfinished large file)."""

    file_id: str
    name: str
    bucket: Bucket
    action: str
    size: int
    sha1: str | None
    content_type: str | None
    info: dict[str, str]
    timestamp: int
    sequence: int
    segments: list[Segment]
    md5: str | None = None
    parts: dict[int, Part] = field(default_factory=dict)
    _json: bytes | None = None

    def json(self) -> bytes:
        """The version as B2 answers it; rendered once, as listings are mostly this."""
        if self._json is None:
            md5 = f'"{self.md5}"' if self.md5 else "null"
            sha1 = quoted(self.sha1) if self.sha1 else "null"
            content_type = quoted(self.content_type) if self.content_type else "null"
            self._json = (
                f'{{"accountId":"{self.bucket.account_id}","action":"{self.action}",'
                f'"bucketId":"{self.bucket.bucket_id}","contentLength":{self.size},'
                f'"contentMd5":{md5},"contentSha1":{sha1},"contentType":{content_type},'
                f'"fileId":"{self.file_id}","fileInfo":{dump(self.info) if self.info else "{}"},'
                f'"fileName":{quoted(self.name)}{"" if self.action == "hide" else _LOCK_FIELDS},'
                f'"uploadTimestamp":{self.timestamp}}}'
            ).encode("ascii")
        return self._json

    def finish(self) -> None:
        """Turns an unfinished large file into an upload made of its parts."""
        parts = [self.parts[number] for number in sorted(self.parts)]
        self.segments = [segment for part in parts for segment in part.segments]
        self.size = sum(part.size for part in parts)
        self.action, self.parts, self._json = "upload", {}, None
        self.bucket.unfinished.pop(self.file_id, None)

    def record(self) -> Json:
        return {
            "op": "file",
            "id": self.file_id,
            "name": self.name,
            "bucket": self.bucket.bucket_id,
            "action": self.action,
            "size": self.size,
            "sha1": self.sha1,
            "md5": self.md5,
            "type": self.content_type,
            "info": self.info,
            "time": self.timestamp,
            "sequence": self.sequence,
            "segments": self.segments,
        }

    @classmethod
    def from_record(cls, record: Json, bucket: Bucket) -> Version:
        return cls(
            record["id"],
            record["name"],
            bucket,
            record["action"],
            record["size"],
            record["sha1"],
            record["type"],
            record["info"],
            record["time"],
            record["sequence"],
            [(blob, offset, length) for blob, offset, length in record["segments"]],
            record["md5"],
        )


def visible(versions: Sequence[Version]) -> Version | None:
    """The version a name shows, of all its versions (oldest first)."""
    for version in reversed(versions):
        if version.action == "upload":
            return version
        if version.action == "hide":
            return None
    return None


@dataclass(eq=False)
class Bucket:
    account_id: str
    bucket_id: str
    name: str
    kind: str
    info: dict[str, str] = field(default_factory=dict)
    cors: list[Json] = field(default_factory=list)
    lifecycle: list[Json] = field(default_factory=list)
    revision: int = 1
    names: list[str] = field(default_factory=list)  # by code point, which is UTF-8 byte order
    versions: dict[str, list[Version]] = field(default_factory=dict)  # by name, oldest first
    unfinished: dict[str, Version] = field(default_factory=dict)  # by file id

    def add(self, version: Version) -> None:
        if version.action == "start":
            self.unfinished[version.file_id] = version
        versions = self.versions.get(version.name)
        if versions is None:
            self.versions[version.name] = [version]
            if not self.names or version.name > self.names[-1]:
                self.names.append(version.name)
            else:
                bisect.insort(self.names, version.name)
            return
        in_order = versions[-1].sequence < version.sequence
        versions.append(version)
        if not in_order:
            versions.sort(key=lambda version: version.sequence)

    def remove(self, version: Version) -> None:
        self.unfinished.pop(version.file_id, None)
        versions = self.versions[version.name]
        versions.remove(version)
        if not versions:
            del self.versions[version.name]
            del self.names[bisect.bisect_left(self.names, version.name)]

    def visible(self, name: str) -> Version | None:
        return visible(self.versions.get(name, ()))

    def finished(self, name: str) -> list[Version]:
        """The versions of a name that are no unfinished large files, oldest first."""
        return [v for v in self.versions.get(name, ()) if v.action != "start"]

    def record(self) -> Json:
        return {
            "op": "bucket",
            "id": self.bucket_id,
            "name": self.name,
            "kind": self.kind,
            "info": self.info,
            "cors": self.cors,
            "lifecycle": self.lifecycle,
            "revision": self.revision,
        }

    def answer(self) -> Json:
        def readable(value: Json) -> Json:
            return {"isClientAuthorizedToRead": True, "value": value}

        return {
            "accountId": self.account_id,
            "bucketId": self.bucket_id,
            "bucketInfo": self.info,
            "bucketName": self.name,
            "bucketType": self.kind,
            "corsRules": self.cors,
            "defaultServerSideEncryption": readable(NO_ENCRYPTION),
            "fileLockConfiguration": readable(
                {"defaultRetention": {"mode": None, "period": None}, "isFileLockEnabled": False}
            ),
            "lifecycleRules": self.lifecycle,
            "options": ["s3"],
            "replicationConfiguration": readable(
                {"asReplicationSource": None, "asReplicationDestination": None}
            ),
            "revision": self.revision,
        }


@dataclass
class Key:
    """An application key; `buckets` (ids) and `prefix` restrict it, `expires` is in ms."""

    key_id: str
    secret: str
    name: str
    capabilities: list[str]
    buckets: list[str] | None = None
    prefix: str | None = None
    expires: int | None = None

    def record(self) -> Json:
        return {
            "op": "key",
            "id": self.key_id,
            "secret": self.secret,
            "name": self.name,
            "capabilities": self.capabilities,
            "buckets": self.buckets,
            "prefix": self.prefix,
            "expires": self.expires,
        }

    @classmethod
    def from_record(cls, record: Json) -> Key:
        return cls(
            record["id"],
            record["secret"],
            record["name"],
            record["capabilities"],
            record["buckets"],
            record["prefix"],
            record["expires"],
        )
