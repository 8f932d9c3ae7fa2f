"""A run in the foreground, begun before it is known whether there is such a node.

Its process takes as long to start as a command takes to find the node, to read its arguments and to
plan the run: so both do it at the same time.
"""

from __future__ import annotations

import dataclasses
import random
from datetime import datetime, timezone

from savethat.config import Config
from savethat.run.key import new_key
from savethat.worker.spawn import Child, start_child


@dataclasses.dataclass(frozen=True)
class Early:
    """What there is of a run: nothing, if nobody goes on with it.

    Args:
        key: the run's.
        child: the process that is to run the node.
    """

    key: str
    child: Child


def begin(config: Config, node: str) -> Early | None:
    """Begins the run of a node; None where its name can be no node's.

    Args:
        config: the project's configuration.
        node: as `find_node` takes it.
    """
    name = node.rpartition(".")[2]
    if not name.isidentifier():
        return None
    key = new_stem(name)
    return Early(key, start_child(key, 1, config.root))


def new_stem(node: str) -> str:
    """What the keys of a new launch's runs start with: of no other launch's do they.

    Args:
        node: the name of the node's class.

    Raises:
        UsageError: it cannot be part of a key.
    """
    return new_key(node, datetime.now(timezone.utc), random.SystemRandom().choices)
