"""B2's rules for file names, file info and content types."""

from __future__ import annotations

import mimetypes
import re

from .api import Json, b2_quote
from .errors import bad

_INFO_KEY = re.compile(r"^[A-Za-z0-9\-_.`~!#$%^&*'|+]{1,50}$")
_INFO_COUNT, _INFO_BYTES, _NAME_BYTES = 10, 7000, 1024

SPECIAL_INFO = {
    "b2-content-disposition": "Content-Disposition",
    "b2-content-language": "Content-Language",
    "b2-expires": "Expires",
    "b2-cache-control": "Cache-Control",
    "b2-content-encoding": "Content-Encoding",
}
"""The file info that a download answers as a header of its own."""


def check_name(name: str, lenient: bool) -> None:
    if not name:
        raise bad("File name is required")
    try:
        encoded = name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise bad("File names must be valid UTF-8") from error
    if len(encoded) > _NAME_BYTES:
        raise bad(f"File name too long (max {_NAME_BYTES} bytes)")
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise bad("File names must not contain control characters")
    if not lenient:
        if "\\" in name:
            raise bad("File names must not contain a backslash")
        if name[0] == "/" or name[-1] == "/" or "//" in name:
            raise bad("File names must not start or end with '/' or contain '//'")


def check_info(name: str, info: Json) -> dict[str, str]:
    """The info with its keys in lower case, as B2 keeps it."""
    if not isinstance(info, dict):
        raise bad("fileInfo must be an object")
    if len(info) > _INFO_COUNT:
        raise bad(f"Too many file info headers: {len(info)} (max {_INFO_COUNT})")
    total = len(b2_quote(name)) + len("x-bz-file-name")
    checked = {}
    for key, value in info.items():
        if not _INFO_KEY.match(key):
            raise bad(f"Invalid file info key: {key}")
        if not isinstance(value, str):
            raise bad("file info values must be strings")
        key = key.lower()
        if key.startswith("b2-") and key != "b2-content-type" and key not in SPECIAL_INFO:
            raise bad(f"Unknown file info key starting with b2-: {key}")
        total += len(key) + len("x-bz-info-") + len(b2_quote(value))
        checked[key] = value
    if total > _INFO_BYTES:
        raise bad(f"File name and info headers are too large: {total} > {_INFO_BYTES} bytes")
    return checked


def content_type(given: str | None, name: str) -> str:
    if given in (None, "", "b2/x-auto"):
        return mimetypes.guess_type(name)[0] or "application/octet-stream"
    return given
