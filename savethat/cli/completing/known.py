"""What completion knows of a node, wherever it knows it from."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

# A file's time of modification, in nanoseconds, and its size.
Stamp = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Flag:
    """An option of a node.

    Args:
        name: in the field's own spelling, with its dashes: `--opt.lr`.
        help: one line.
        values: the words it takes, where they are few.
        is_path: whether it takes the name of a file.
        is_bare: whether it takes no value: `--no_amp`.
    """

    name: str
    help: str = ""
    values: tuple[str, ...] = ()
    is_path: bool = False
    is_bare: bool = False


@dataclasses.dataclass(frozen=True)
class KnownNode:
    """A node: the first line of its docstring, and its options."""

    doc: str
    flags: tuple[Flag, ...]


@dataclasses.dataclass(frozen=True)
class KnownModule:
    """A module's nodes.

    Args:
        nodes: by class name; all of them.
        files: the sources this was learned from as they were then, the module's own first.
    """

    nodes: Mapping[str, KnownNode]
    files: Mapping[str, Stamp]

    @property
    def exists(self) -> bool:
        """Whether the module is still there."""
        return stamp(next(iter(self.files), "")) is not None

    @property
    def is_current(self) -> bool:
        """Whether none of its sources has changed."""
        return all(stamp(file) == then for file, then in self.files.items())


def stamp(file: str) -> Stamp | None:
    """What tells that a file has changed; None where there is none."""
    try:
        found = os.stat(file)  # noqa: PTH116 # a Path for each would take as long as the call
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
