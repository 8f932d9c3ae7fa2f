"""Launches and references to their jobs, as the tests of SLURM need them."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

from savethat.launchers.base import JobRef
from savethat.launchers.foreground import login_name
from savethat.run.key import new_keys
from savethat.run.record import SLURM, Launch, Place, PlannedRun

CLUSTER = "lab"


def a_launch(runs: int = 1, *, age: float = 0.0, node: str = "Fit") -> Launch:
    """A launch of this user on the tests' cluster, made `age` seconds ago."""
    now = datetime.now(timezone.utc) - timedelta(seconds=age)
    keys = new_keys(node, now, runs, random.SystemRandom().choices)
    place = Place(SLURM, CLUSTER, login_name())
    planned = tuple(PlannedRun(key, "experiments.nodes.Fit", {}) for key in keys)
    return Launch(keys[0], now, place, planned)


def refs(launch: Launch) -> list[JobRef]:
    """A reference to each job of a launch."""
    return [JobRef(launch.id, position, launch.place) for position in range(len(launch.runs))]
