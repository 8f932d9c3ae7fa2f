"""Large files: uploaded by parts, then finished or cancelled."""

from __future__ import annotations

import json

from ..api import Json, dump, now_ms
from ..errors import bad
from ..model import Part, Version
from ..names import check_info, check_name, content_type
from ..state import Emulator
from ..tokens import Token
from ..wire import Request
from .bodies import receive
from .lists import transactions

_PARTS_MAX = 10_000
_UNFINISHED_PAGE = 100


def start(emulator: Emulator, request: Request, params: Json) -> bytes:
    name = params.get("fileName") or ""
    emulator.authorize(request, "writeFiles", bucket=params.get("bucketId"), name=name)
    bucket = emulator.bucket(params.get("bucketId"))
    check_name(name, emulator.options.lenient_names)
    if not params.get("contentType"):
        raise bad("contentType is required")
    timestamp = params.get("customUploadTimestamp") or params.get("custom_upload_timestamp")
    return emulator.store.put(
        bucket,
        name,
        "start",
        size=0,
        sha1="none",
        content_type=content_type(params["contentType"], name),
        info=check_info(name, params.get("fileInfo") or {}),
        segments=[],
        timestamp=int(timestamp) if timestamp else None,
    ).json()


def get_upload_part_url(emulator: Emulator, request: Request, params: Json) -> Json:
    version = emulator.unfinished(params.get("fileId"))
    file_id = version.file_id
    key = _authorize(emulator, request, version)
    token = emulator.tokens.issue("part", key, emulator.upload_token_ttl, file_id)
    url = emulator.upload_url(
        lambda n: f"/b2api/{request.version}/b2_upload_part/{file_id}/{n % 60:04d}"
    )
    return {"fileId": file_id, "uploadUrl": url, "authorizationToken": token.text}


def part_number(given: object) -> int:
    try:
        number = int(str(given))
    except ValueError as error:
        raise bad("Missing or bad part number") from error
    if not 1 <= number <= _PARTS_MAX:
        raise bad(f"Part number must be 1..{_PARTS_MAX}")
    return number


def upload_part(emulator: Emulator, request: Request, token: Token) -> bytes:
    version = emulator.unfinished(token.target)
    number = part_number(request.headers.get("x-bz-part-number"))
    body = receive(emulator, request)
    part = Part(body.segments, body.size, body.sha1, body.md5, now_ms())
    try:
        emulator.store.add_part(version, number, part)
    finally:
        emulator.store.blobs.release(body.segments)
    return dump(part.answer(version.file_id, number)).encode()


def finish(emulator: Emulator, request: Request, params: Json) -> bytes:
    version = emulator.unfinished(params.get("fileId"))
    _authorize(emulator, request, version)
    sha1s = params.get("partSha1Array")
    if not isinstance(sha1s, list) or not sha1s:
        raise bad("partSha1Array is required")
    with emulator.store.lock:
        version = emulator.unfinished(version.file_id)
        _check_parts(version, sha1s, emulator.options.min_part_size)
        emulator.store.finish(version)
    return version.json()


def _check_parts(version: Version, sha1s: list[str], min_part_size: int) -> None:
    count, parts = len(sha1s), version.parts
    for number in range(1, count + 1):
        if number not in parts:
            raise bad(f"Part number {number} has not been uploaded", "missing_part")
    if len(parts) != count:
        raise bad(f"partSha1Array has {count} entries for {len(parts)} parts")
    for number, sha1 in enumerate(sha1s, 1):
        if parts[number].sha1.removeprefix("unverified:") != str(sha1).lower():
            raise bad(f"Sha1 of part {number} does not match", "part_sha1_mismatch")
    for number in range(1, count):
        if parts[number].size < min_part_size:
            raise bad(f"Part number {number} is smaller than {min_part_size} bytes")


def cancel(emulator: Emulator, request: Request, params: Json) -> Json:
    version = emulator.unfinished(params.get("fileId"))
    _authorize(emulator, request, version)
    emulator.store.delete(version)
    return {
        "accountId": emulator.account_id,
        "bucketId": version.bucket.bucket_id,
        "fileId": version.file_id,
        "fileName": version.name,
    }


def list_unfinished(emulator: Emulator, request: Request, params: Json) -> Json:
    prefix = params.get("namePrefix") or ""
    emulator.authorize(request, "listFiles", bucket=params.get("bucketId"), name=prefix)
    bucket = emulator.bucket(params.get("bucketId"))
    count = min(int(params.get("maxFileCount") or _UNFINISHED_PAGE), _UNFINISHED_PAGE)
    with emulator.store.lock:
        first = emulator.store.files.get(params.get("startFileId") or "")
        found = sorted(
            (
                version
                for version in bucket.unfinished.values()
                if version.name.startswith(prefix)
                and (first is None or version.sequence >= first.sequence)
            ),
            key=lambda version: version.sequence,
        )
        files = [json.loads(version.json()) for version in found[:count]]
    request.items = len(files)
    following = found[count].file_id if len(found) > count else None
    return {"files": files, "nextFileId": following, "nextFileName": None}


def list_parts(emulator: Emulator, request: Request, params: Json) -> Json:
    version = emulator.unfinished(params.get("fileId"))
    _authorize(emulator, request, version)
    count = min(int(params.get("maxPartCount") or 100), _PARTS_MAX)
    first = int(params.get("startPartNumber") or 1)
    with emulator.store.lock:
        found = [(number, part) for number, part in sorted(version.parts.items())]
    found = [(number, part) for number, part in found if number >= first]
    parts = [part.answer(version.file_id, number) for number, part in found[:count]]
    request.items = len(parts)
    request.transactions = transactions(request.items)
    return {"parts": parts, "nextPartNumber": found[count][0] if len(found) > count else None}


def _authorize(emulator: Emulator, request: Request, version: Version) -> str:
    """The id of the key, which may write the file."""
    bucket_id, name = version.bucket.bucket_id, version.name
    return emulator.authorize(request, "writeFiles", bucket=bucket_id, name=name).key_id
