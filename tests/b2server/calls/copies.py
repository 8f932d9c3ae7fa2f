"""Copies on the server, which share the source's bytes."""

from __future__ import annotations

from ..api import Json, now_ms
from ..blobs import cut_range
from ..errors import ApiError, bad
from ..model import Part, Version
from ..names import check_info, check_name, content_type
from ..state import Emulator
from ..wire import Request
from .large_files import part_number

_SIZE_MAX = 5 * 10**9


def _source(emulator: Emulator, request: Request, params: Json) -> Version:
    version = emulator.file(params.get("sourceFileId"))
    if version.action != "upload":
        raise bad("source file is not an upload")
    bucket_id = version.bucket.bucket_id
    emulator.authorize(request, "readFiles", bucket=bucket_id, name=version.name)
    return version


def _metadata(source: Version, name: str, params: Json) -> tuple[str, dict[str, str]]:
    """Content type and info of the copy."""
    directive = params.get("metadataDirective") or "COPY"
    if directive == "COPY":
        if params.get("contentType") or params.get("fileInfo"):
            raise bad("contentType and fileInfo need metadataDirective REPLACE")
        return source.content_type or "", dict(source.info)
    if directive != "REPLACE":
        raise bad(f"Invalid metadataDirective: {directive}")
    if not params.get("contentType"):
        raise bad("contentType is required for REPLACE")
    info = check_info(name, params.get("fileInfo") or {})
    return content_type(params["contentType"], name), info


def copy_file(emulator: Emulator, request: Request, params: Json) -> bytes:
    source = _source(emulator, request, params)
    bucket, store = source.bucket, emulator.store
    if params.get("destinationBucketId"):
        bucket = emulator.bucket(params["destinationBucketId"])
    name = params.get("fileName") or ""
    emulator.authorize(request, "writeFiles", bucket=bucket.bucket_id, name=name)
    check_name(name, emulator.options.lenient_names)
    mime, info = _metadata(source, name, params)
    segments, size = cut_range(source.segments, source.size, params.get("range"))
    if size > _SIZE_MAX:
        raise bad(f"Copy source too big: {size}", "source_too_large")
    whole = size == source.size
    sha1 = source.sha1 if whole else store.blobs.sha1(segments)
    with store.lock:
        if store.files.get(source.file_id) is not source:
            raise ApiError(404, "not_found", "source is gone")
        copy = store.put(
            bucket,
            name,
            "upload",
            size=size,
            sha1=sha1,
            content_type=mime,
            info=info,
            segments=segments,
            md5=source.md5 if whole else None,
        )
    # The answer says "copy", listings say "upload" afterwards.
    return copy.json().replace(b'"action":"upload"', b'"action":"copy"', 1)


def copy_part(emulator: Emulator, request: Request, params: Json) -> Json:
    source = _source(emulator, request, params)
    target = emulator.unfinished(params.get("largeFileId"))
    emulator.authorize(request, "writeFiles", bucket=target.bucket.bucket_id, name=target.name)
    number = part_number(params.get("partNumber"))
    segments, size = cut_range(source.segments, source.size, params.get("range"))
    part = Part(segments, size, emulator.store.blobs.sha1(segments), None, now_ms())
    emulator.store.add_part(target, number, part)
    return part.answer(target.file_id, number)
