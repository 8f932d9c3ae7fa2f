"""How each death comes about, at exactly its moment."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from tests.deaths import cells
from tests.deaths.cells import AFTER, CARRY_OUT, DOWN, SLURM
from tests.deaths.lab import Lab
from tests.deaths.site import SLOW_LINK, SYNC_EVERY, Site

# Nobody launches anything while the controller is away.
CONTROLLER = threading.Lock()


def strike(site: Site, key: str, lab: Lab | None) -> float:
    """Brings the death of a cell about; when that was, seconds since the epoch."""
    cell = site.cell
    if cell.death == cells.CANCEL_PENDING:
        at = time.time()
        site.project.run("cancel", key, code=None)
        return at
    told = _await_moment(site)
    at = time.time()
    _blow(site, key, told, lab)
    if cell.weather != DOWN:
        site.b2.config(bandwidth_mbps=0)
    return at


def _await_moment(site: Site) -> dict[str, Any]:
    """Waits for the cell's moment; what the node told of its processes."""
    cell, finishing = site.cell, site.cell.moment == AFTER and site.cell.outer
    if cell.moment != CARRY_OUT and not finishing:
        return site.hear("moment")
    told = site.hear("settled")
    if cell.weather != DOWN:
        site.b2.config(bandwidth_mbps=SLOW_LINK)
    site.tell("go")
    if finishing:
        folder, result = Path(told["folder"]), Path(told["folder"]) / "results.pickle"
        site.wait(lambda: result.exists() or not folder.exists(), "the result")
        return told
    told = site.hear("moment")
    if cell.weather == DOWN:
        time.sleep(1.5 * SYNC_EVERY)  # nothing shows from outside that it tries to send
    else:
        site.wait(site.uploading, "an upload")
    return told


def _blow(site: Site, key: str, told: dict[str, Any], lab: Lab | None) -> None:
    death, project = site.cell.death, site.project
    if site.cell.scheduler == SLURM:
        assert lab is not None
        if death == cells.CANCEL_RUNNING:
            lab.cancel(key)
            return
        if death == cells.TIME_LIMIT:
            lab.limit(key)
            return
        if death in (cells.PREEMPTION, cells.PREEMPTION_ONCE):
            lab.preempt(site.node)
            return
        if death in (cells.NODE_DEATH, cells.NODE_DEATH_ONCE):
            lab.kill_node(site.node)
            lab.revive_node(site.node)
            return
        if death == cells.RESTART:
            with CONTROLLER:
                lab.restart_controller()
    elif death == cells.CANCEL_RUNNING:
        project.run("cancel", key, code=None)
        return
    elif death in (cells.NODE_DEATH, cells.NODE_DEATH_ONCE):
        project.kill_all()
        return
    elif death == cells.RESTART:
        (runner,) = project.runners()
        os.kill(runner, signal.SIGKILL)
    if death in (cells.KILL_CHILD, cells.KILL_SUPERVISOR):
        victim = "child" if death == cells.KILL_CHILD else "supervisor"
        with contextlib.suppress(ProcessLookupError):  # it was done a moment ago
            os.kill(told[victim], signal.SIGKILL)
        return
    site.tell("strike")
