"""The file in a capsule that says what else is in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from savethat.errors import StorageError
from savethat.untrusted import read_json

NAME = ".savethat-capsule.json"
PACKAGES = ".savethat-packages"
_FORMAT = 1


def written(
    paths: Sequence[str], packages: Sequence[dict[str, Any]], warnings: Sequence[str]
) -> bytes:
    """The manifest.

    Args:
        paths: what belongs on `sys.path` for the project itself, relative to the capsule.
        packages: `name`, `version`, `captured` and the `paths` of other local packages.
        warnings: what is not as it was on the machine of the launch.
    """
    content = {
        "format": _FORMAT,
        "paths": list(paths),
        "packages": list(packages),
        "warnings": list(warnings),
    }
    return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"


def import_paths(code: Path) -> tuple[Path, ...]:
    """What belongs on `sys.path` for an unpacked capsule: the project's own, then the others'.

    Raises:
        StorageError: it has no manifest, or one of another savethat's.
    """
    try:
        content = read_json((code / NAME).read_bytes())
        if content["format"] != _FORMAT:
            raise StorageError(
                f"the code capsule {code.name} was made by another version of savethat",
                "install that version here",
            )
        paths = [*content["paths"], *(path for one in content["packages"] for path in one["paths"])]
        if any(PurePosixPath(path).is_absolute() or ".." in path.split("/") for path in paths):
            raise ValueError("a path leads out of it")
        return tuple(code / path for path in dict.fromkeys(paths))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{code} is not an unpacked code capsule: {error}") from error
