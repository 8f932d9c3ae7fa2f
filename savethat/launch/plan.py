"""What a user asks for, as the record of a launch."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from savethat.args import to_json
from savethat.config import Config, Credentials, credentials
from savethat.launch.early import new_stem
from savethat.node import Node, dotted_name, resumes
from savethat.run.key import member_keys
from savethat.run.record import Launch, Place, PlannedRun


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a user asked to be run.

    Args:
        node: the node's class.
        points: the arguments of each run, instances of its argument class.
        argv: the command line that asked, for provenance.
        tags: the user's words for it.
        sweep: the sweep's id; empty where it is none.
        max_parallel: the most of these runs at a time; 0 for no limit of their own.
        code: in a sweep, the capsule that a run must have run from to count; empty for any.
        requeue: how often each run may be started again when it was ended from outside; None: as
            its node and the place it goes to say.
    """

    node: type[Node[Any, Any]]
    points: Sequence[Any]
    argv: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    sweep: str = ""
    max_parallel: int = 0
    code: str = ""
    requeue: int | None = None


def plan(
    config: Config,
    asked: Asked,
    place: Place,
    *,
    resources: Mapping[str, Any],
    array_size: int = 0,
    requeue: int = 0,
    stem: str = "",
) -> Launch:
    """The record of a launch of new runs; nothing is written yet.

    Args:
        config: the project's configuration.
        asked: the runs.
        place: where they go.
        resources: what each asks for.
        array_size: the most in one job array; 0 where there is none.
        requeue: how often each may be started again.
        stem: what the keys of its runs start with, where that was chosen already.
    """
    stem = stem or new_stem(asked.node.__name__)
    node, resumable = dotted_name(asked.node), resumes(asked.node)
    keys = member_keys(stem, len(asked.points))
    runs = tuple(
        PlannedRun(key, node, to_json(point), position=position, resumable=resumable)
        for position, (key, point) in enumerate(zip(keys, asked.points, strict=True))
    )
    return Launch(
        id=stem,
        created_at=datetime.now(timezone.utc),
        place=place,
        runs=runs,
        root=str(config.root),
        resources=resources,
        tags=asked.tags,
        sweep=asked.sweep,
        array_size=array_size if len(runs) > 1 else 0,
        max_parallel=asked.max_parallel,
        argv=asked.argv,
        requeue=requeue,
    )


def describe(asked: Asked) -> list[str]:
    """What is asked for, a line a run."""
    node = dotted_name(asked.node)
    return [f"{node} {json.dumps(to_json(point))}" for point in asked.points]


def bucket_key(config: Config) -> Credentials | None:
    """The key of the project's bucket; None for a local-only project.

    Raises:
        ConfigError: there is a bucket and no key.
    """
    return credentials(config) if config.b2 is not None else None
