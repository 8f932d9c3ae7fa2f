"""What commands that know better leave for completion: the nodes they imported, the runs they met.

It is a courtesy of theirs: nothing here raises, and nothing is written where nothing changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from savethat.cli.completing.memory import MOST_KEYS, by_time, keep, recall

if TYPE_CHECKING:
    from savethat.discovery import NodeClass


def remember_nodes(root: Path, nodes: Iterable[NodeClass], *, whole: bool = False) -> None:
    """Remembers these nodes, and the others of their modules.

    Args:
        root: the project's.
        nodes: imported ones.
        whole: whether they are all there are: then every other is forgotten.
    """
    from savethat.cli.completing.classes import look_into

    memory = recall(root)
    modules = {} if whole else dict(memory.modules)
    for name in dict.fromkeys(cls.__module__ for cls in nodes):
        known = memory.modules.get(name)
        # Describing nodes takes some milliseconds, which a run of a known one need not spend.
        module = known if known and known.is_current and not whole else look_into(name)
        if module is not None:
            modules[name] = module
    if modules != memory.modules:
        keep(root, dataclasses.replace(memory, modules=modules))


def remember_keys(root: Path, statuses: Mapping[str, str], *, whole: bool = False) -> None:
    """Remembers runs; the latest 2,000 are kept.

    Args:
        root: the project's.
        statuses: by run key.
        whole: whether they are all there are: then every other is forgotten.
    """
    memory = recall(root)
    known = dict(statuses) if whole else {**memory.keys, **statuses}
    latest = sorted(known, key=by_time)[-MOST_KEYS:]
    keys = {key: known[key] for key in latest}
    if keys != memory.keys:
        keep(root, dataclasses.replace(memory, keys=keys))


def forget_keys(root: Path, keys: Iterable[str]) -> None:
    """Forgets runs that are no more."""
    memory = recall(root)
    gone = set(keys)
    left = {key: status for key, status in memory.keys.items() if key not in gone}
    if left != memory.keys:
        keep(root, dataclasses.replace(memory, keys=left))
