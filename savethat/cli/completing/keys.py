"""The run keys that completion knows at once: those remembered, and those that have a folder here.

They are remembered in a file a project in the user's cache folder, a line a key: JSON would take
longer to import than this takes to read, and a shell waits for it.
"""

from __future__ import annotations

import binascii
import os
from collections.abc import Mapping
from pathlib import Path

from savethat import cache

# About as many as a shell can still show, and as are read in no time.
MOST_KEYS = 2000
# A key has at most 230 bytes, a status 9.
_LIMIT = MOST_KEYS * 240 + 10_000


def known_keys(root: Path, local_path: Path) -> dict[str, str]:
    """The latest run keys, with how each ended, if that is known; latest first."""
    try:
        names = os.listdir(local_path)  # noqa: PTH208 # twice as fast, and there may be thousands
    except OSError:
        names = []
    known = recall_keys(root)
    new = [name for name in names if name not in known]
    if new:
        from savethat.run.key import parse_key

        new = [name for name in new if parse_key(name) is not None]  # not a data set
    return latest({**dict.fromkeys(new, ""), **known}) if new else known


def recall_keys(root: Path) -> dict[str, str]:
    """The keys remembered of the project in this folder, latest first, with how each ended.

    That is empty for those that had not ended when they were seen last.
    """
    place, name = _place(root)
    try:
        first, *lines = (cache.read_bytes(name, limit=_LIMIT) or b"").decode().split("\n")
    except ValueError:
        return {}  # damaged
    # Two projects' files may have one name.
    if first != place:
        return {}
    pairs = (line.partition(" ") for line in lines if line.isprintable())
    return {key: status for key, _, status in pairs if key}


def keep_keys(root: Path, keys: Mapping[str, str]) -> None:
    """Remembers these keys instead."""
    place, name = _place(root)
    lines = (f"{key} {status}" for key, status in keys.items())
    cache.write_bytes(name, "\n".join((place, *lines)).encode())


def latest(keys: Mapping[str, str]) -> dict[str, str]:
    """As many of these keys as are kept, latest first."""
    found = sorted(keys, key=_by_time, reverse=True)[:MOST_KEYS]
    return {key: keys[key] for key in found}


def _by_time(key: str) -> list[str]:
    """Orders run keys, which are a node, a time and a suffix."""
    return key.rsplit("_", 2)[1:]


def _place(root: Path) -> tuple[str, str]:
    """The project's folder as a line of ASCII, and the name of its file."""
    place = ascii(os.path.realpath(root))
    return place, f"keys-{binascii.crc32(place.encode()):08x}.txt"
