"""Downloads by name and by id."""

from __future__ import annotations

import contextlib
import os
import re
from io import FileIO
from urllib.parse import unquote_plus

from ..api import Json, b2_quote
from ..blobs import CHUNK, ZEROS, Segment, cut
from ..errors import ApiError, Drop, bad, unauthorized
from ..model import Bucket, Version
from ..names import SPECIAL_INFO
from ..state import Emulator
from ..wire import Request

_AUTHORIZATION_SECONDS_MAX = 604_800


def get_download_authorization(emulator: Emulator, request: Request, params: Json) -> Json:
    prefix = params.get("fileNamePrefix")
    if prefix is None:
        raise bad("fileNamePrefix is required")
    key = emulator.authorize(request, "shareFiles", bucket=params.get("bucketId"), name=prefix)
    bucket_id = emulator.bucket(params.get("bucketId")).bucket_id
    seconds = int(params.get("validDurationInSeconds") or 0)
    if not 1 <= seconds <= _AUTHORIZATION_SECONDS_MAX:
        raise bad(f"validDurationInSeconds must be 1..{_AUTHORIZATION_SECONDS_MAX}")
    token = emulator.tokens.issue("download", key.key_id, seconds, bucket_id, prefix)
    return {"bucketId": bucket_id, "fileNamePrefix": prefix, "authorizationToken": token.text}


def _authorize(emulator: Emulator, request: Request, bucket: Bucket, name: str) -> None:
    if bucket.kind == "allPublic" and not request.headers.get("authorization"):
        return
    text = request.headers.get("authorization") or request.query.get("Authorization")
    token = emulator.tokens.find(text, "account", "download")
    if token.kind == "account":
        bucket_id = bucket.bucket_id
        emulator.authorize(request, "readFiles", bucket=bucket_id, name=name, token=token)
    elif token.target != bucket.bucket_id or not name.startswith(token.prefix or ""):
        raise unauthorized("download token is for another prefix")


def by_name(emulator: Emulator, request: Request) -> None:
    """Answers GET and HEAD of /file/BUCKET/NAME."""
    if request.method not in ("GET", "HEAD"):
        raise ApiError(405, "method_not_allowed", "use GET or HEAD")
    request.drain()
    _, _, bucket_name, name, *_ = (*map(unquote_plus, request.path.split("/", 3)), "")
    bucket = emulator.store.buckets_by_name.get(bucket_name)
    if bucket is None:
        emulator.tokens.find(request.headers.get("authorization"), "account", "download")
        raise ApiError(404, "not_found", f"Bucket does not exist: {bucket_name}")
    _authorize(emulator, request, bucket, name)
    with emulator.store.lock:
        version = bucket.visible(name)
    if version is None:
        raise ApiError(404, "not_found", "File with such name does not exist.")
    _send(emulator, request, version)


def by_id(emulator: Emulator, request: Request) -> None:
    file_id = request.params.get("fileId")
    if file_id not in emulator.store.files:
        emulator.authorize(request, "readFiles")
    version = emulator.file(file_id)
    _authorize(emulator, request, version.bucket, version.name)
    if version.action != "upload":
        raise ApiError(404, "not_found", f"File not present: {file_id}")
    _send(emulator, request, version)


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of a Range header; None for no range, or none that is understood."""
    match = re.match(r"^bytes=(\d*)-(\d*)$", (header or "").strip())
    if not match or not any(match.groups()):
        return None
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        headers = {"Content-Range": f"bytes */{size}"}
        raise ApiError(416, "range_not_satisfiable", "Range not satisfiable", headers)
    return start, end


def _headers(version: Version) -> list[tuple[str, str]]:
    headers = [
        ("Accept-Ranges", "bytes"),
        ("Content-Type", version.content_type or "application/octet-stream"),
        ("x-bz-file-id", version.file_id),
        ("x-bz-file-name", b2_quote(version.name)),
        ("x-bz-content-sha1", version.sha1 or "none"),
        ("X-Bz-Upload-Timestamp", str(version.timestamp)),
    ]
    for key, value in version.info.items():
        if key in SPECIAL_INFO:
            headers.append((SPECIAL_INFO[key], value))
        else:
            headers.append((f"x-bz-info-{key}", b2_quote(value)))
    if "b2-cache-control" not in version.info:
        headers.append(("Cache-Control", "max-age=0, no-cache, no-store"))
    return headers


def _send(emulator: Emulator, request: Request, version: Version) -> None:
    asked = _range(request.headers.get("range"), version.size)
    start, end = asked or (0, version.size - 1)
    size = end + 1 - start
    headers = [*_headers(version), ("Content-Length", str(size))]
    if asked:
        headers.append(("Content-Range", f"bytes {start}-{end}/{version.size}"))
    emulator.injector.after(request)
    emulator.lag()
    status = 206 if asked else 200
    if request.method == "HEAD":
        request.status = status
        request.connection.send_head(status, headers)
        return
    segments = cut(version.segments, start, end)
    with contextlib.ExitStack() as opened:
        # All are opened first: a version deleted meanwhile must not break the body.
        files: list[FileIO | None] = []
        try:
            for blob, _, _ in segments:
                path = emulator.store.blobs.path(blob)
                files.append(
                    None if blob == ZEROS else opened.enter_context(path.open("rb", buffering=0))
                )
        except OSError as error:
            message = f"File not present: {version.file_id}"
            raise ApiError(404, "not_found", message) from error
        request.status = status
        _send_body(emulator, request, headers, list(zip(segments, files, strict=True)), size)


def _send_body(
    emulator: Emulator,
    request: Request,
    headers: list[tuple[str, str]],
    sources: list[tuple[Segment, FileIO | None]],
    size: int,
) -> None:
    """Sends the head and the body, cut short or with a flipped byte if the fault says so."""
    limit, flip = size, None
    if size and request.fault == "truncate":
        limit = emulator.faults.random.randrange(size)
    elif size and request.fault == "corrupt":
        flip = emulator.faults.random.randrange(size)
    head, position = request.status, 0
    pending = bytearray()  # a short body goes out with the head
    for (_, offset, length), file in sources:
        done = 0
        while done < length and position < limit:
            count = min(CHUNK, length - done, limit - position)
            data = bytearray(os.pread(file.fileno(), count, offset + done) if file else count)
            if not data:
                raise Drop(rst=False)
            if flip is not None and position <= flip < position + len(data):
                data[flip - position] ^= 1
            done += len(data)
            position += len(data)
            if limit <= 65536:
                pending += data
                continue
            if head:
                request.connection.send_head(head, headers)
                head = 0
            request.connection.send_body(data)
            request.bytes_out += len(data)
    if head:
        request.connection.send_head(head, headers, bytes(pending))
        request.bytes_out += len(pending)
    if limit < size:
        raise Drop(rst=False)
