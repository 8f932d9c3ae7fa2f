"""What completion remembers of a project: a file in the user's cache folder.

A memory that cannot be read or written costs completions only: nothing here raises.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import platformdirs

from savethat.cli.completing.known import Flag, KnownModule, KnownNode

# About as many as a shell can still show, and as are read in no time.
MOST_KEYS = 2000


@dataclasses.dataclass(frozen=True)
class Memory:
    """What was known last.

    Args:
        modules: those with nodes, by name.
        keys: run keys, oldest first, with the status each had.
    """

    modules: dict[str, KnownModule] = dataclasses.field(default_factory=dict)
    keys: dict[str, str] = dataclasses.field(default_factory=dict)


def recall(root: Path) -> Memory:
    """What is remembered of the project in this folder."""
    try:
        return _from_json(json.loads(_file(root).read_bytes()))
    # Another version's, or damaged.
    except (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError):
        return Memory()


def keep(root: Path, memory: Memory) -> None:
    """Remembers this instead; written aside and renamed, readable by the user only."""
    import tempfile  # 5 ms, which completion itself does not need

    file = _file(root)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
        try:
            with os.fdopen(handle, "w") as stream:
                json.dump(dataclasses.asdict(memory), stream)
            Path(aside).replace(file)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise


def by_time(key: str) -> list[str]:
    """Orders run keys, which are a node, a time and a suffix."""
    return key.rsplit("_", 2)[1:]


def _file(root: Path) -> Path:
    name = hashlib.blake2b(os.fsencode(os.path.realpath(root)), digest_size=12).hexdigest()
    return platformdirs.user_cache_path("savethat") / f"completion-{name}.json"


def _from_json(data: Any) -> Memory:
    return Memory(
        modules={
            name: KnownModule(
                nodes={cls: _node(node) for cls, node in module["nodes"].items()},
                files={file: (stamp[0], stamp[1]) for file, stamp in module["files"].items()},
            )
            for name, module in data["modules"].items()
        },
        keys={str(key): str(status) for key, status in data["keys"].items()},
    )


def _node(data: Any) -> KnownNode:
    flags = (Flag(**{**flag, "values": tuple(flag["values"])}) for flag in data["flags"])
    return KnownNode(doc=data["doc"], flags=tuple(flags))
