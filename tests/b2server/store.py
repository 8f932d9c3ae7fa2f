"""The state that outlives the process: metadata in memory, kept by an append-only log.

DIR/meta.log holds JSON lines. It is replayed at start (a torn last line is dropped) and rewritten
at start when mostly dead. No fsync: it survives kill -9 of the emulator, not a power cut.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from .api import Json, dump, now_ms
from .blobs import ZEROS, Blobs, Segment
from .errors import bad
from .model import Bucket, Key, Part, Version


class Store:
    """Buckets, file versions and keys; callers that read and then write hold `lock`."""

    def __init__(self, directory: Path, account_id: str, timestamp_step_ms: int) -> None:
        self.lock = threading.RLock()
        self.account_id = account_id
        self.blobs = Blobs(directory / "blobs")
        self.buckets: dict[str, Bucket] = {}
        self.buckets_by_name: dict[str, Bucket] = {}
        self.files: dict[str, Version] = {}
        self.keys: dict[str, Key] = {}
        self.secret = _secret(directory / "secret")
        self._sequence = 0
        self._last_timestamp = 0
        self._timestamp_step_ms = timestamp_step_ms
        self._log_path = directory / "meta.log"
        if self._log_path.exists():
            self._replay()
        self._log_fd = os.open(self._log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    # ---- log

    def _log(self, *records: Json) -> None:
        os.write(self._log_fd, "".join(dump(record) + "\n" for record in records).encode("ascii"))

    def _replay(self) -> None:
        lines = size = 0
        with self._log_path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                try:
                    record = json.loads(line)
                except ValueError:
                    break
                size += len(line)
                lines += 1
                self._apply(record)
        os.truncate(self._log_path, size)
        live = len(self.files) + len(self.buckets) + len(self.keys)
        if lines > 1000 and lines > 2 * live:
            self._rewrite()
        self.blobs.sweep()

    def _rewrite(self) -> None:
        new = self._log_path.with_suffix(".new")
        with new.open("w") as file:
            for bucket in self.buckets.values():
                file.write(dump(bucket.record()) + "\n")
            for key in self.keys.values():
                file.write(dump(key.record()) + "\n")
            for version in self.files.values():
                file.write(dump(version.record()) + "\n")
                for number, part in version.parts.items():
                    file.write(dump(_part_record(version, number, part)) + "\n")
        new.replace(self._log_path)

    def _apply(self, record: Json) -> None:
        op = record["op"]
        if op == "file":
            self._apply_file(record)
        elif op == "bucket":
            bucket = self.buckets.get(record["id"])
            if bucket is None:
                bucket = Bucket(self.account_id, record["id"], record["name"], record["kind"])
                self.buckets[bucket.bucket_id] = self.buckets_by_name[bucket.name] = bucket
            bucket.kind, bucket.info, bucket.cors = record["kind"], record["info"], record["cors"]
            bucket.lifecycle, bucket.revision = record["lifecycle"], record["revision"]
        elif op == "delete_bucket":
            gone = self.buckets.pop(record["id"], None)
            if gone is not None:
                self.buckets_by_name.pop(gone.name, None)
        elif op == "key":
            self.keys[record["id"]] = Key.from_record(record)
        elif op == "delete_key":
            self.keys.pop(record["id"], None)
        else:
            self._apply_to_version(op, record)

    def _apply_file(self, record: Json) -> None:
        self._sequence = max(self._sequence, record["sequence"])
        self._last_timestamp = max(self._last_timestamp, record["time"])
        bucket = self.buckets.get(record["bucket"])
        if bucket is not None:
            version = Version.from_record(record, bucket)
            self.files[version.file_id] = version
            bucket.add(version)
            self.blobs.hold(version.segments)

    def _apply_to_version(self, op: str, record: Json) -> None:
        version = self.files.get(record["id"])
        if version is None:
            return
        if op == "delete":
            del self.files[version.file_id]
            version.bucket.remove(version)
            self.blobs.forget(_all_segments(version))
        elif op == "finish":
            version.finish()
        elif op == "part" and version.action == "start":
            part = Part.from_record(record["part"])
            old = version.parts.get(record["number"])
            version.parts[record["number"]] = part
            self.blobs.hold(part.segments)
            if old:
                self.blobs.forget(old.segments)

    # ---- file versions

    def _new_version(
        self,
        bucket: Bucket,
        name: str,
        action: str,
        size: int,
        sha1: str | None,
        content_type: str,
        info: dict[str, str],
        segments: list[Segment],
        timestamp: int,
        md5: str | None = None,
    ) -> Version:
        self._sequence += 1
        sequence = self._sequence
        when = time.gmtime(timestamp / 1000)
        file_id = (
            f"4_z{bucket.bucket_id}_f{2 if action == 'start' else 1}{sequence:015x}"
            f"_d{time.strftime('%Y%m%d', when)}_m{time.strftime('%H%M%S', when)}"
            f"_c001_v0001{sequence % 1000:03d}_t{sequence % 60:04d}_u{timestamp:017d}"
        )
        version = Version(
            file_id,
            name,
            bucket,
            action,
            size,
            sha1,
            content_type,
            info,
            timestamp,
            sequence,
            segments,
            md5,
        )
        self.files[file_id] = version
        bucket.add(version)
        return version

    def _next_timestamp(self) -> int:
        # B2 hands out whole seconds; versions within one second are ordered by arrival.
        step = self._timestamp_step_ms
        self._last_timestamp = max(now_ms() // step * step, self._last_timestamp)
        return self._last_timestamp

    def put(
        self,
        bucket: Bucket,
        name: str,
        action: str,
        *,
        size: int,
        sha1: str | None,
        content_type: str,
        info: dict[str, str],
        segments: list[Segment],
        timestamp: int | None = None,
        md5: str | None = None,
    ) -> Version:
        with self.lock:
            if self.buckets.get(bucket.bucket_id) is not bucket:
                raise bad(f"Bucket {bucket.bucket_id} does not exist", "bad_bucket_id")
            if timestamp is None:
                timestamp = self._next_timestamp()
            version = self._new_version(
                bucket, name, action, size, sha1, content_type, info, segments, timestamp, md5
            )
            self._log(version.record())
            self.blobs.hold(segments)
            return version

    def hide(self, bucket: Bucket, name: str) -> Version:
        return self.put(
            bucket,
            name,
            "hide",
            size=0,
            sha1=hashlib.sha1().hexdigest(),
            content_type="application/x-bz-hide-marker",
            info={},
            segments=[],
            md5=hashlib.md5().hexdigest(),
        )

    def delete(self, version: Version) -> bool:
        """Whether the version was still there."""
        with self.lock:
            if self.files.get(version.file_id) is not version:
                return False
            self._log({"op": "delete", "id": version.file_id})
            del self.files[version.file_id]
            version.bucket.remove(version)
            self.blobs.release(_all_segments(version))
            return True

    def add_part(self, version: Version, number: int, part: Part) -> None:
        with self.lock:
            if self.files.get(version.file_id) is not version or version.action != "start":
                raise bad(f"No active upload for: {version.file_id}")
            self._log(_part_record(version, number, part))
            old = version.parts.get(number)
            version.parts[number] = part
            self.blobs.hold(part.segments)
            if old:
                self.blobs.release(old.segments)

    def finish(self, version: Version) -> None:
        with self.lock:
            self._log({"op": "finish", "id": version.file_id})
            version.finish()

    def seed(
        self,
        bucket: Bucket,
        files: Sequence[tuple[str, dict[str, str]]],
        size: int,
        batch: int = 1000,
    ) -> None:
        """Adds zero-filled files, each a name and its info headers, without the calls."""
        segments = [(ZEROS, 0, size)]
        sha1 = self.blobs.sha1(segments)
        with self.lock:
            timestamp = self._next_timestamp()
            for start in range(0, len(files), batch):
                versions = [
                    self._new_version(
                        bucket,
                        name,
                        "upload",
                        size,
                        sha1,
                        "application/octet-stream",
                        info,
                        segments,
                        timestamp,
                    )
                    for name, info in files[start : start + batch]
                ]
                self._log(*(version.record() for version in versions))

    # ---- buckets and keys

    def save_bucket(self, bucket: Bucket) -> None:
        with self.lock:
            self._log(bucket.record())
            self.buckets[bucket.bucket_id] = self.buckets_by_name[bucket.name] = bucket

    def delete_bucket(self, bucket: Bucket) -> None:
        with self.lock:
            self._log({"op": "delete_bucket", "id": bucket.bucket_id})
            del self.buckets[bucket.bucket_id]
            del self.buckets_by_name[bucket.name]

    def save_key(self, key: Key) -> None:
        with self.lock:
            self._log(key.record())
            self.keys[key.key_id] = key

    def delete_key(self, key_id: str) -> Key | None:
        with self.lock:
            key = self.keys.pop(key_id, None)
            if key is not None:
                self._log({"op": "delete_key", "id": key_id})
            return key


def _secret(path: Path) -> bytes:
    """What tokens are signed with; kept, so that tokens outlive a restart."""
    if not path.exists():
        path.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()


def _part_record(version: Version, number: int, part: Part) -> Json:
    return {"op": "part", "id": version.file_id, "number": number, "part": part.record()}


def _all_segments(version: Version) -> list[Segment]:
    return [*version.segments, *(s for part in version.parts.values() for s in part.segments)]
