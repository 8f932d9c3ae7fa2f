"""One file: its info, hiding it, deleting a version of it."""

from __future__ import annotations

import re

from ..api import Json
from ..errors import bad
from ..names import check_name
from ..state import Emulator
from ..wire import Request


def get_file_info(emulator: Emulator, request: Request, params: Json) -> bytes:
    version = emulator.file(params.get("fileId"))
    bucket_id = version.bucket.bucket_id
    emulator.authorize(request, "readFiles", bucket=bucket_id, name=version.name)
    return version.json()


def hide_file(emulator: Emulator, request: Request, params: Json) -> bytes:
    name = params.get("fileName") or ""
    emulator.authorize(request, "writeFiles", bucket=params.get("bucketId"), name=name)
    bucket = emulator.bucket(params.get("bucketId"))
    check_name(name, emulator.options.lenient_names)
    with emulator.store.lock:
        versions = bucket.finished(name)
        if not versions:
            raise bad(f"File not present: {name}", "no_such_file")
        if versions[-1].action == "hide":
            raise bad(f"File already hidden: {name}", "already_hidden")
        return emulator.store.hide(bucket, name).json()


def delete_file_version(emulator: Emulator, request: Request, params: Json) -> Json:
    name, file_id = params.get("fileName") or "", params.get("fileId") or ""
    version = emulator.store.files.get(file_id)
    match = re.match(r"^4_z([0-9a-f]{24})_", file_id)
    bucket_id = match.group(1) if match else None
    emulator.authorize(request, "deleteFiles", bucket=bucket_id, name=name)
    if version is None or version.name != name or not emulator.store.delete(version):
        raise bad(f"File not present: {name} {file_id}", "file_not_present")
    return {"fileId": file_id, "fileName": name}


def no_file_lock(emulator: Emulator, request: Request, params: Json) -> Json:
    emulator.authorize(request, "writeFileRetentions")
    raise bad("The bucket is not file lock enabled", "bucket_missing_file_lock")
