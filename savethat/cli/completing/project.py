"""A project's nodes, as far as they can be known at once: see `memory` and `sources`."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from savethat.cli.completing import sources
from savethat.cli.completing.known import KnownNode
from savethat.cli.completing.memory import recall
from savethat.cli.completing.modules import find_modules

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


def _join(now: KnownNode, before: KnownNode | None) -> KnownNode:
    """What a file shows of a node, and what it may not show: arguments from other modules."""
    if before is None:
        return now
    shown = {flag.name for flag in now.flags}
    return KnownNode(now.doc, now.flags + tuple(f for f in before.flags if f.name not in shown))
