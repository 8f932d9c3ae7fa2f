"""Launches and references to their jobs, as the tests of SLURM need them."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

from savethat.launch.destinations import refs
from savethat.launchers.foreground import login_name
from savethat.run.key import member_keys, new_key
from savethat.run.record import SLURM, Launch, Place, PlannedRun

__all__ = ["CLUSTER", "a_launch", "refs"]

CLUSTER = "lab"


def a_launch(
    runs: int = 1, *, age: float = 0.0, node: str = "Fit", max_parallel: int = 0
) -> Launch:
    """A launch of this user on the tests' cluster, made `age` seconds ago."""
    now = datetime.now(timezone.utc) - timedelta(seconds=age)
    stem = new_key(node, now, random.SystemRandom().choices)
    planned = tuple(
        PlannedRun(key, "experiments.nodes.Fit", {}, position=position)
        for position, key in enumerate(member_keys(stem, runs))
    )
    size = 101 if runs > 1 else 0
    place = Place(SLURM, CLUSTER, login_name())
    return Launch(stem, now, place, planned, array_size=size, max_parallel=max_parallel)
