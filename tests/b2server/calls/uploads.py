"""Uploads: their URLs, and the rules of these."""

from __future__ import annotations

from urllib.parse import unquote_plus

from ..api import Json
from ..errors import ApiError, bad, unauthorized
from ..names import check_info, check_name, content_type
from ..state import Emulator
from ..tokens import Token
from ..wire import Request
from . import large_files
from .bodies import receive


def get_upload_url(emulator: Emulator, request: Request, params: Json) -> Json:
    key = emulator.authorize(request, "writeFiles", bucket=params.get("bucketId"))
    bucket_id = emulator.bucket(params.get("bucketId")).bucket_id
    token = emulator.tokens.issue(
        "upload", key.key_id, emulator.upload_token_ttl, bucket_id, key.prefix
    )
    url = emulator.upload_url(
        lambda n: (
            f"/b2api/{request.version}/b2_upload_file/{bucket_id}"
            f"/c001_v0001{n % 1000:03d}_t{n % 60:04d}"
        )
    )
    return {"bucketId": bucket_id, "uploadUrl": url, "authorizationToken": token.text}


def upload(emulator: Emulator, request: Request) -> None:
    """Answers `b2_upload_file` and `b2_upload_part`."""
    token = emulator.tokens.find(
        request.headers.get("authorization"),
        "upload" if request.call == "b2_upload_file" else "part",
    )
    if token.target != (*request.path.split("/"), "")[4]:
        raise ApiError(401, "bad_auth_token", "the upload token is for another URL")
    if token.spoiled:
        raise ApiError(503, "service_unavailable", "this upload URL failed before; get a new one")
    with emulator.tokens.lock:
        busy, token.busy = token.busy, True
    if busy:
        message = f"more than one upload using auth token {token.text}"
        raise bad(message, "auth_token_limit")
    try:
        answer = (
            _upload_file(emulator, request, token)
            if token.kind == "upload"
            else large_files.upload_part(emulator, request, token)
        )
        emulator.injector.after(request)
    finally:
        token.busy = False
    emulator.lag()
    request.answer(answer)


def _upload_file(emulator: Emulator, request: Request, token: Token) -> bytes:
    bucket = emulator.bucket(token.target)
    headers = request.headers
    name = unquote_plus(headers.get("x-bz-file-name", ""))
    check_name(name, emulator.options.lenient_names)
    if token.prefix and not name.startswith(token.prefix):
        raise unauthorized(f"key is restricted to the prefix {token.prefix}")
    if not headers.get("content-type"):
        raise bad("Missing header: Content-Type")
    prefix = "x-bz-info-"
    info = {k[len(prefix) :]: unquote_plus(v) for k, v in headers.items() if k.startswith(prefix)}
    info = check_info(name, info)
    timestamp = headers.get("x-bz-custom-upload-timestamp")
    body = receive(emulator, request)
    try:
        version = emulator.store.put(
            bucket,
            name,
            "upload",
            size=body.size,
            sha1=body.sha1,
            content_type=content_type(headers["content-type"], name),
            info=info,
            segments=body.segments,
            timestamp=int(timestamp) if timestamp else None,
            md5=body.md5,
        )
    finally:
        emulator.store.blobs.release(body.segments)
    return version.json()
