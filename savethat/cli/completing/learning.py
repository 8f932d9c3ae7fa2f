"""What commands that know better leave for completion: the nodes they imported, the runs they met.

It is a courtesy of theirs: nothing here raises, and nothing is written where nothing changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from savethat.cli.completing.keys import keep_keys, latest, recall_keys
from savethat.run.layout import ENDINGS

if TYPE_CHECKING:
    from savethat.discovery import NodeClass

# What was queued or running when it was seen last need not be any more.
_LASTING = (*ENDINGS, "lost")


def remember_nodes(root: Path, nodes: Iterable[NodeClass], *, whole: bool = False) -> None:
    """Remembers these nodes, and the others of their modules.

    Args:
        root: the project's.
        nodes: imported ones.
        whole: whether they are all there are: then every other is forgotten.
    """
    from savethat.cli.completing.classes import look_into
    from savethat.cli.completing.memory import Memory, keep, recall

    memory = recall(root)
    modules = {} if whole else dict(memory.modules)
    for name in dict.fromkeys(cls.__module__ for cls in nodes):
        known = memory.modules.get(name)
        # Describing nodes takes some milliseconds, which a run of a known one need not spend.
        module = known if known and known.is_current and not whole else look_into(name)
        if module is not None:
            modules[name] = module
    if modules != memory.modules:
        keep(root, Memory(modules))


def remember_keys(root: Path, statuses: Mapping[str, str], *, whole: bool = False) -> None:
    """Remembers runs; the latest are kept.

    Args:
        root: the project's.
        statuses: by run key.
        whole: whether they are all there are: then every other is forgotten.
    """
    known = recall_keys(root)
    seen = {key: status if status in _LASTING else "" for key, status in statuses.items()}
    _keep(root, seen if whole else {**known, **seen}, known)


def forget_keys(root: Path, keys: Iterable[str]) -> None:
    """Forgets runs that are no more."""
    known = recall_keys(root)
    gone = set(keys)
    _keep(root, {key: status for key, status in known.items() if key not in gone}, known)


def _keep(root: Path, keys: Mapping[str, str], known: Mapping[str, str]) -> None:
    kept = latest(keys)
    if kept != known:
        keep_keys(root, kept)
