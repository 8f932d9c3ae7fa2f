"""Tar headers: POSIX ustar, and pax where that cannot say it.

`tarfile` writes them too, but not the same bytes in every version of Python, and the name of a
capsule must not depend on that.
"""

from __future__ import annotations

import os

BLOCK = 512
END = bytes(2 * BLOCK)

_NAME_LIMIT = 100
_FILE, _LINK, _PAX = b"0", b"2", b"x"


def file_header(name: str, size: int, mode: int) -> bytes:
    """What stands before the content of a file, which is to be padded to whole blocks."""
    return _entry(name, _FILE, mode, size, "")


def link_entry(name: str, target: str) -> bytes:
    """A symbolic link."""
    return _entry(name, _LINK, 0o777, 0, target)


def padding(size: int) -> bytes:
    """What follows a content of this size."""
    return bytes(-size % BLOCK)


def _entry(name: str, kind: bytes, mode: int, size: int, target: str) -> bytes:
    path, link = os.fsencode(name), os.fsencode(target)
    long = {}
    if len(path) > _NAME_LIMIT or not path.isascii():
        long[b"path"] = path
    if len(link) > _NAME_LIMIT or not link.isascii():
        long[b"linkpath"] = link
    header = _block(path[:_NAME_LIMIT], kind, mode, size, link[:_NAME_LIMIT])
    return _pax(long) + header if long else header


def _pax(values: dict[bytes, bytes]) -> bytes:
    try:
        for value in values.values():
            value.decode()
    except UnicodeDecodeError:
        values = {b"hdrcharset": b"BINARY", **values}
    records = b"".join(_record(key, value) for key, value in values.items())
    return _block(b"././@PaxHeader", _PAX, 0, len(records), b"") + records + padding(len(records))


def _record(key: bytes, value: bytes) -> bytes:
    """A pax record, which begins with its own length."""
    rest = b" %b=%b\n" % (key, value)
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d%b" % (length, rest)


def _block(name: bytes, kind: bytes, mode: int, size: int, link: bytes) -> bytes:
    def filled(checksum: bytes) -> bytes:
        return b"".join(
            (
                name.ljust(100, b"\0"),
                b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, 0, 0, size, 0),
                checksum,
                kind,
                link.ljust(100, b"\0"),
                b"ustar\00000",
                bytes(247),
            )
        )

    # The sum is taken with spaces in its own place.
    return filled(b"%06o\0 " % sum(filled(b" " * 8)))
