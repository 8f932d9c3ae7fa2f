"""What is remembered between two commands, in the user's cache folder; losing it costs time only.

Nothing here raises: what cannot be read is not there, what cannot be written is not kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import platformdirs

from savethat.untrusted import JSON_LIMIT, read_json

# The latest facts of a kind that are kept.
_MOST = 10_000


def folder() -> Path:
    """The user's cache folder."""
    return platformdirs.user_cache_path("savethat")


def read(name: str) -> Any:
    """The JSON value kept under a name; None where there is none."""
    try:
        with (folder() / name).open("rb") as file:
            return read_json(file.read(JSON_LIMIT + 1))
    except (OSError, ValueError):
        return None


def write(name: str, content: object) -> None:
    """Keeps a JSON value under a name; written aside and renamed, readable by the user only."""
    import tempfile  # 5 ms, which reading does not need

    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=folder(), prefix=f".{name}-")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(content, file)
            Path(aside).replace(folder() / name)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise


def is_known(kind: str, fact: str, *, max_age: float) -> bool:
    """Whether a fact of a kind was noted in the last so many seconds."""
    noted = _facts(kind).get(fact)
    return isinstance(noted, float) and 0 <= time.time() - noted <= max_age


def note(kind: str, fact: str) -> None:
    """Remembers that a fact of a kind holds now; the latest ones are kept."""
    facts = {**_facts(kind), fact: time.time()}
    write(f"{kind}.json", dict(list(facts.items())[-_MOST:]))


def _facts(kind: str) -> dict[str, Any]:
    facts = read(f"{kind}.json")
    return facts if isinstance(facts, dict) else {}
