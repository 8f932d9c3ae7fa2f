"""One cell of the matrix, from the launch to the verdict."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
import traceback
from pathlib import Path
from typing import Any

from tests.deaths import cells, oracle
from tests.deaths.cells import DOWN, FAULTS, SLURM, UP, Cell
from tests.deaths.expectations import expected
from tests.deaths.lab import Lab
from tests.deaths.site import FAULTS as KINDS
from tests.deaths.site import PATIENCE, TIMEOUT, Site, site
from tests.deaths.strikes import CONTROLLER, strike

OVER = ("completed", "failed", "cancelled", "lost")
RATE = 0.1
# Whose reason no supervisor could write into the log: there was none, or no room.
SPEECHLESS = (cells.CANCEL_PENDING, cells.DISK_FULL)


@dataclasses.dataclass
class Verdict:
    """What became of a cell.

    Args:
        cell: the cell.
        wrong: what was not as it must be; empty where all was.
        files: how many files were compared with what the node wrote.
        leftovers: what a worker that was killed left half done in the bucket until `rm`.
        faults: how many calls to B2 failed on purpose.
        seconds: how long it took.
        shown: the row that `ls` showed in the end.
    """

    cell: Cell
    wrong: list[str] = dataclasses.field(default_factory=list)
    files: int = 0
    leftovers: int = 0
    faults: int = 0
    seconds: float = 0.0
    shown: dict[str, Any] = dataclasses.field(default_factory=dict)


def try_cell(cell: Cell, folder: Path, lab: Lab | None) -> Verdict:
    """Runs a cell in a folder of its own; whatever goes wrong is in the verdict."""
    verdict = Verdict(cell)
    begin = time.monotonic()
    try:
        with site(folder, cell, lab) as place:
            _try(place, verdict, lab)
    # One cell must not end the others, whatever is wrong with it or with us.
    except Exception as error:
        verdict.wrong.append(f"{type(error).__name__}: {str(error)[-1500:]}")
        frame = traceback.extract_tb(error.__traceback__)[-1]
        verdict.wrong[-1] += f" (at {Path(frame.filename).name}:{frame.lineno})"
    verdict.seconds = time.monotonic() - begin
    return verdict


def _try(place: Site, verdict: Verdict, lab: Lab | None) -> None:
    cell, project = place.cell, place.project
    if cell.weather == FAULTS:
        place.b2.faults(rate=RATE, kinds=list(KINDS), timeout_s=TIMEOUT, retry_after=1)
    if cell.weather == DOWN:
        place.b2.stop()
    with CONTROLLER if cell.death == cells.RESTART else contextlib.nullcontext():
        key = place.launch()
    try:
        at = strike(place, key, lab)
        verdict.shown = _await_end(place, key, lab)
    finally:
        if lab is not None:
            lab.cancel(key)
    if cell.weather == FAULTS:
        verdict.faults = place.b2.fault_plan()["fired"]
        place.b2.faults()
    if cell.weather == DOWN:
        place.b2.restart()
    if cell.weather != UP:
        project.run("sync")
    row = verdict.shown = project.ls()[key]
    verdict.wrong += expected(cell).wrong(row)
    if row["status"] != "lost" and row["synced"] is not True:
        verdict.wrong.append(f"synced is {row['synced']}")
    found = oracle.look(place, key, at)
    verdict.wrong += found.wrong
    verdict.files, verdict.leftovers = found.files, found.leftovers
    says = row["status"] in ("failed", "cancelled") and cell.death not in SPEECHLESS
    if says and str(row["reason"]) not in found.log:
        verdict.wrong.append(f"output.log does not say {row['reason']!r}")
    project.run("rm", "--force", key)
    left = [name for name in oracle.names(place) if key in name]
    if left:
        verdict.wrong.append(f"rm left {left}")


def _await_end(place: Site, key: str, lab: Lab | None) -> dict[str, Any]:
    """Looks with `ls` until the run is over; its row."""
    end = time.monotonic() + 2 * PATIENCE
    row: dict[str, Any] = {}
    while time.monotonic() < end:
        if place.cell.scheduler == SLURM and place.cell.resumes:
            assert lab is not None
            lab.start_soon(key)
        # Where B2 is down it says so by its exit code.
        lines = place.project.run("ls", "--json", code=None).stdout.splitlines()
        rows = {found["key"]: found for found in map(json.loads, lines)}
        row = rows.get(key, row)
        if row and row["status"] in OVER:
            return row
        time.sleep(1)
    raise TimeoutError(f"it is not over: {row}")
