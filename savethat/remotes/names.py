"""Object names: what every remote takes, what B2 takes, and the names of files being written."""

from __future__ import annotations

import re
import secrets

from savethat.errors import StorageError

# Files being written have this name until they are whole; no listing shows them.
PART = ".savethat-part-"

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# B2's own limit is 1,024 bytes; b2sdk stops at these.
_NAME_BYTES = 1000
_SEGMENT_BYTES = 250


def part_name() -> str:
    """A new name for a file that is being written, beside the one it will become."""
    return PART + secrets.token_hex(8)


def is_part(name: str) -> bool:
    """Whether the last segment of `name` is that of a file being written."""
    return name.rpartition("/")[2].startswith(PART)


def check_name(name: str) -> None:
    """Refuses a name that could reach outside the remote, or that is not a file's.

    Raises:
        StorageError: absolute, with an empty segment, `.`, `..` or a control character, or one
            kept for files being written.
    """
    if any(segment in ("", ".", "..") for segment in name.split("/")):
        raise _unusable(name, "it is empty, absolute, or has an empty, . or .. part")
    if _CONTROL.search(name):
        raise _unusable(name, "it has a control character")
    if is_part(name):
        raise _unusable(name, f"names beginning with {PART} are kept for files being written")


def check_prefix(prefix: str) -> None:
    """Refuses a prefix that could reach outside the remote.

    Raises:
        StorageError: absolute, or with a `..` part.
    """
    if prefix.startswith("/") or ".." in prefix.split("/")[:-1] or "\0" in prefix:
        raise _unusable(prefix, "it is absolute or has a .. part")


def check_b2_name(full: str) -> None:
    """Refuses a full object name that B2 (or b2sdk) does not take, before anything is sent.

    Source: https://www.backblaze.com/docs/cloud-storage-files#file-names

    Raises:
        StorageError: not UTF-8, with a backslash, or too long.
    """
    check_name(full)
    if "\\" in full:
        raise _unusable(full, "B2 takes no backslash")
    try:
        encoded = full.encode()
    except UnicodeEncodeError as error:
        raise _unusable(full, "B2 takes only UTF-8") from error
    if len(encoded) > _NAME_BYTES:
        raise _unusable(full, f"B2 takes at most {_NAME_BYTES} bytes, it has {len(encoded)}")
    if any(len(segment) > _SEGMENT_BYTES for segment in encoded.split(b"/")):
        raise _unusable(full, f"B2 takes at most {_SEGMENT_BYTES} bytes between two slashes")


def too_large(name: str, limit: int) -> StorageError:
    """The error for an object of which no more than `limit` bytes are wanted."""
    return StorageError(f"{name} has more than {limit} bytes", "it is not savethat's: remove it")


def _unusable(name: str, why: str) -> StorageError:
    return StorageError(f"{name!r} cannot be stored under this name: {why}", "rename the file")
