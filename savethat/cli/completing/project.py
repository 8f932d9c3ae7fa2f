"""A project's nodes and run keys, as far as they can be known at once: see `memory`, `sources`."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

from savethat.cli.completing import sources
from savethat.cli.completing.known import KnownNode
from savethat.cli.completing.memory import MOST_KEYS, by_time, recall
from savethat.cli.completing.modules import find_modules
from savethat.run.key import parse_key

# What reading source may cost: a person waits for it.
_MOST_MODULES = 300
_MOST_SECONDS = 0.2


def known_nodes(root: Path, package: str) -> dict[str, KnownNode]:
    """A package's nodes by dotted name: as remembered, and as files show that changed since."""
    modules = {
        name: module
        for name, module in recall(root).modules.items()
        if f"{name}.".startswith(f"{package}.") and module.exists
    }
    found = {name: dict(module.nodes) for name, module in modules.items()}
    until = time.monotonic() + _MOST_SECONDS
    for name, path in itertools.islice(find_modules(root, package, until), _MOST_MODULES):
        if name in modules and modules[name].is_current:
            continue
        before = found.get(name, {})
        nodes = sources.read(path, before)
        if nodes is not None:
            found[name] = {cls: _join(node, before.get(cls)) for cls, node in nodes.items()}
    return {f"{name}.{cls}": node for name, nodes in found.items() for cls, node in nodes.items()}


def known_keys(root: Path, local_path: Path) -> dict[str, str]:
    """The latest run keys, with the status each had when last seen, if it was; latest first."""
    try:
        names = os.listdir(local_path)  # noqa: PTH208 # twice as fast, and there may be thousands
    except OSError:
        names = []
    known = dict.fromkeys(names, "") | recall(root).keys
    latest = (
        name
        for name in sorted(known, key=by_time, reverse=True)
        if parse_key(name) is not None  # not a data set
    )
    return {key: known[key] for key in itertools.islice(latest, MOST_KEYS)}


def _join(now: KnownNode, before: KnownNode | None) -> KnownNode:
    """What a file shows of a node, and what it may not show: arguments from other modules."""
    if before is None:
        return now
    shown = {flag.name for flag in now.flags}
    return KnownNode(now.doc, now.flags + tuple(f for f in before.flags if f.name not in shown))
