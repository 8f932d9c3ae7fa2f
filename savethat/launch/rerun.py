"""A new run of what ran before: the same node, arguments and code, linked to the run it repeats.

The node is not imported here: its code is that of the capsule, its packages those of another
environment.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from savethat.catalog.row import Row
from savethat.config import Config
from savethat.launch.destinations import Destination
from savethat.launch.here import FOREGROUND_GRACE, foreground_post
from savethat.launch.submit import submit_launch
from savethat.launchers.foreground import this_process
from savethat.run.key import new_key, node_of
from savethat.run.record import Launch, Place, PlannedRun
from savethat.worker.capsule import running_from
from savethat.worker.journal import Terminal
from savethat.worker.order import Order
from savethat.worker.process import ChildProcess
from savethat.worker.supervisor import supervise


def rerun(
    config: Config, row: Row, code: str, python: str, to: Destination, argv: Sequence[str]
) -> str:
    """Submits the run again; the new run's key.

    Args:
        config: the project's configuration.
        row: the run, with all of its arguments.
        code: the capsule to run from.
        python: the interpreter of the node.
        to: where it goes.
        argv: the command line that asked.

    Raises:
        SchedulerError: the scheduler refused it.
    """
    to.check()
    # A node that is not known here does not resume: only who asks for it has it started again.
    requeue = to.requeue(None, default=0)
    launch = _launch(config, row, code, to.place(), to.resources(requeue), argv)
    launch = dataclasses.replace(launch, requeue=requeue)
    return submit_launch(config, launch, to, argv, python=python).launch.id


def rerun_here(
    config: Config,
    row: Row,
    code: str,
    python: str,
    argv: Sequence[str],
    terminal: Terminal | None,
) -> str:
    """Runs it again in the foreground, in a child process; the new run's key."""
    launch = _launch(config, row, code, this_process(), {}, argv)
    post = foreground_post(config, launch)
    order = Order(launch, config, argv=tuple(argv), python=python)
    with running_from(order, post.credentials) as order:
        supervise(order, 0, post, ChildProcess(grace=FOREGROUND_GRACE), terminal=terminal)
    return launch.id


def _launch(
    config: Config,
    row: Row,
    code: str,
    place: Place,
    resources: Mapping[str, Any],
    argv: Sequence[str],
) -> Launch:
    now = datetime.now(timezone.utc)
    key = new_key(node_of(row.key), now, random.SystemRandom().choices)
    return Launch(
        id=key,
        created_at=now,
        place=place,
        runs=(PlannedRun(key, row.node, row.args),),
        root=str(config.root),
        resources=resources,
        tags=row.tags,
        code=code,
        argv=tuple(argv),
        reproduces=row.key,
    )
