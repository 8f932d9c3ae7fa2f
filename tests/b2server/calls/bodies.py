"""The bodies of uploads: received to disk, and judged by their SHA-1."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from ..blobs import PACKED_MAX, Segment
from ..errors import ApiError, bad
from ..state import Emulator
from ..wire import Request

_SIZE_MAX = 5 * 1024**3
_SHA1_LENGTH = 40
_UNVERIFIED = "unverified:"


class Body(NamedTuple):
    """A received body; its segments are held once, for the caller to release."""

    segments: list[Segment]
    size: int
    sha1: str
    md5: str | None


def receive(emulator: Emulator, request: Request) -> Body:
    """Reads an upload's body to disk; refuses one whose SHA-1 is not the announced one."""
    announced = request.headers.get("x-bz-content-sha1")
    if not announced:
        raise bad("Missing header: X-Bz-Content-Sha1")
    if "content-length" not in request.headers:
        raise ApiError(411, "bad_request", "Content-Length is required")
    size = request.length - (_SHA1_LENGTH if announced == "hex_digits_at_end" else 0)
    if size < 0:
        raise bad("body too short for hex_digits_at_end")
    if size > _SIZE_MAX:
        raise bad("Upload is too large")
    if size <= PACKED_MAX:
        data = request.body()
        data, tail = data[:size], data[size:]
        sha1 = _judge(announced, tail, hashlib.sha1(data).hexdigest())
        segment = emulator.store.blobs.append(data)
        return Body([segment], size, sha1, hashlib.md5(data).hexdigest())
    return _receive_file(emulator, request, announced, size)


def _receive_file(emulator: Emulator, request: Request, announced: str, size: int) -> Body:
    sha1, md5 = hashlib.sha1(), hashlib.md5() if emulator.options.md5 else None
    blobs = emulator.store.blobs
    blob = blobs.new()
    left, tail = size, b""
    try:
        with blobs.path(blob).open("wb", buffering=0) as file:
            for piece in request.chunks():
                data = piece[:left]
                sha1.update(data)
                if md5:
                    md5.update(data)
                file.write(data)
                left -= len(data)
                tail += bytes(piece[len(data) :])
        judged = _judge(announced, tail, sha1.hexdigest())
    except BaseException:
        blobs.path(blob).unlink(missing_ok=True)
        raise
    segments = [(blob, 0, size)]
    blobs.hold(segments)
    return Body(segments, size, judged, md5.hexdigest() if md5 else None)


def _judge(announced: str, tail: bytes, received: str) -> str:
    """The SHA-1 to record for a body."""
    if announced == "do_not_verify":
        return _UNVERIFIED + received
    if announced.startswith(_UNVERIFIED):
        return announced
    expected = tail.decode("latin-1") if announced == "hex_digits_at_end" else announced
    if not re.match(r"^[0-9a-f]{40}$", expected.lower()):
        raise bad(f"Invalid X-Bz-Content-Sha1: {expected}")
    if expected.lower() != received:
        raise bad("Sha1 did not match data received")
    return received
