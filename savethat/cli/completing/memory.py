"""What completion remembers of a project's nodes: a file in the user's cache folder.

A memory that cannot be read or written costs completions only: nothing here raises.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import Any

from savethat import cache
from savethat.cli.completing.known import Flag, KnownModule, KnownNode


@dataclasses.dataclass(frozen=True)
class Memory:
    """What was known last.

    Args:
        modules: those with nodes, by name.
    """

    modules: dict[str, KnownModule] = dataclasses.field(default_factory=dict)


def recall(root: Path) -> Memory:
    """What is remembered of the project in this folder."""
    try:
        return _from_json(cache.read(_file(root)))
    # Another version's, or damaged.
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        return Memory()


def keep(root: Path, memory: Memory) -> None:
    """Remembers this instead."""
    cache.write(_file(root), dataclasses.asdict(memory))


def _file(root: Path) -> str:
    name = hashlib.blake2b(os.fsencode(os.path.realpath(root)), digest_size=12).hexdigest()
    return f"completion-{name}.json"


def _from_json(data: Any) -> Memory:
    return Memory(
        modules={
            name: KnownModule(
                nodes={cls: _node(node) for cls, node in module["nodes"].items()},
                files={file: (stamp[0], stamp[1]) for file, stamp in module["files"].items()},
            )
            for name, module in data["modules"].items()
        },
    )


def _node(data: Any) -> KnownNode:
    flags = (Flag(**{**flag, "values": tuple(flag["values"])}) for flag in data["flags"])
    return KnownNode(doc=data["doc"], flags=tuple(flags))
