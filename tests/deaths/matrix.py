"""Runs cells of the matrix, several at a time."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.deaths import report
from tests.deaths.cells import Cell
from tests.deaths.lab import Lab
from tests.deaths.trial import Verdict, try_cell


def run_matrix(
    cells: Sequence[Cell],
    folder: Path,
    *,
    jobs: int,
    slurm: bool,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Verdict]:
    """Tries cells, those of one phase at a time.

    Args:
        cells: in the order of their phases.
        folder: where they may work; what a cell that was right leaves there is removed.
        jobs: how many cells at a time.
        slurm: whether any of them needs SLURM.
        tell: called with a line about each cell that is done.
    """
    lab = Lab() if slurm else None
    verdicts = []
    numbers = itertools.count()
    for _, phase in itertools.groupby(cells, key=lambda cell: cell.phase):
        with ThreadPoolExecutor(jobs) as pool:
            futures = {
                pool.submit(try_cell, cell, place, lab): place
                for cell in phase
                for place in [folder / f"cell-{next(numbers)}"]
            }
            for future in as_completed(futures):
                verdict = future.result()
                verdicts.append(verdict)
                tell(f"[{len(verdicts)}/{len(cells)}] {report.account(verdict)}")
                if not verdict.wrong:
                    shutil.rmtree(futures[future], ignore_errors=True)
    return verdicts
