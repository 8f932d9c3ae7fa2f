"""Listing files and their versions."""

from __future__ import annotations

import json
import math
import re

from ..api import Json, dump
from ..errors import bad
from ..listing import Page, list_names, list_versions
from ..state import Emulator
from ..wire import Request

_COUNT, _COUNT_MAX = 100, 10_000


def transactions(returned: int) -> int:
    """What a list call costs, in class C transactions."""
    return max(1, math.ceil(returned / 1000))


def list_file_names(emulator: Emulator, request: Request, params: Json) -> bytes:
    count, prefix, delimiter = _page_of(params)
    emulator.authorize(request, "listFiles", bucket=params.get("bucketId"), name=prefix)
    bucket = emulator.bucket(params.get("bucketId"))
    start = params.get("startFileName") or ""
    with emulator.store.lock:
        page = list_names(bucket, start, count, prefix, delimiter)
    if emulator.options.loose_next and len(page.entries) == count and not delimiter:
        # Legal too: a name that need not exist, and a possibly empty last page.
        page = page._replace(next_name=json.loads(page.entries[-1])["fileName"] + " ")
    return _answer(request, page, {"nextFileName": page.next_name})


def list_file_versions(emulator: Emulator, request: Request, params: Json) -> bytes:
    count, prefix, delimiter = _page_of(params)
    emulator.authorize(request, "listFiles", bucket=params.get("bucketId"), name=prefix)
    bucket = emulator.bucket(params.get("bucketId"))
    start, start_id = params.get("startFileName") or "", params.get("startFileId")
    if start_id and not start:
        raise bad("startFileId needs startFileName")
    with emulator.store.lock:
        page = list_versions(bucket, start, start_id, count, prefix, delimiter)
    return _answer(request, page, {"nextFileName": page.next_name, "nextFileId": page.next_id})


def _page_of(params: Json) -> tuple[int, str, str]:
    """Count, prefix and delimiter of the page that is asked for."""
    try:
        count = int(params.get("maxFileCount") or 0)
    except ValueError as error:
        raise bad("maxFileCount is not a number", "out_of_range") from error
    if not 0 <= count <= _COUNT_MAX:
        raise bad(f"maxFileCount out of range: {count}", "out_of_range")
    delimiter = params.get("delimiter") or ""
    if len(delimiter.encode()) > 10:
        raise bad("delimiter too long")
    return count or _COUNT, params.get("prefix") or "", delimiter


def _answer(request: Request, page: Page, following: Json) -> bytes:
    request.items = len(page.entries)
    request.transactions = transactions(request.items)
    files = b",".join(page.entries)
    if request.version == "v1":  # rclone reads `size`, restic `contentLength`
        files = re.sub(rb'"contentLength":(\d+)', rb'"contentLength":\1,"size":\1', files)
    return b'{"files":[' + files + b"]," + dump(following)[1:].encode()
