"""A part of the death matrix and of the thousand runs, as `make test` has time for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deaths import cells, report
from tests.deaths.cells import (
    AFTER,
    BEFORE,
    CARRY_OUT,
    DOWN,
    FAULTS,
    QUEUE,
    RUNNING,
    SLURM,
    UP,
    Cell,
)
from tests.deaths.matrix import run_matrix
from tests.deaths.site import unable
from tests.deaths.thousand import run_many

pytestmark = pytest.mark.b2

ON_THE_QUEUE = [
    Cell(cells.EXIT, CARRY_OUT, FAULTS, QUEUE),
    Cell(cells.KILL_CHILD, RUNNING, DOWN, QUEUE),
    Cell(cells.KILL_SUPERVISOR, RUNNING, UP, QUEUE),
    Cell(cells.CANCEL_RUNNING, AFTER, UP, QUEUE),
    Cell(cells.DISK_FULL, RUNNING, UP, QUEUE),
    Cell(cells.MEMORY, BEFORE, UP, QUEUE),
]
ON_SLURM = [
    Cell(cells.PREEMPTION, RUNNING, FAULTS, SLURM),
    Cell(cells.NODE_DEATH, RUNNING, UP, SLURM),
    Cell(cells.TIME_LIMIT, RUNNING, UP, SLURM),
    Cell(cells.EXCEPTION, AFTER, DOWN, SLURM),
    Cell(cells.SEGFAULT, BEFORE, UP, SLURM),
    Cell(cells.CANCEL_PENDING, BEFORE, UP, SLURM),
    Cell(cells.RESTART, RUNNING, UP, SLURM),
]


def assert_right(chosen: list[Cell], folder: Path, *, slurm: bool) -> None:
    impossible = unable()
    possible = [cell for cell in chosen if cell.death not in impossible]
    verdicts = run_matrix(possible, folder, jobs=len(chosen), slurm=slurm)
    assert [report.account(verdict) for verdict in verdicts if verdict.wrong] == []


def test_deaths_on_the_queue(tmp_path: Path) -> None:
    assert_right(ON_THE_QUEUE, tmp_path / "cells", slurm=False)


@pytest.mark.slurm
def test_deaths_on_slurm(tmp_path: Path) -> None:
    assert_right(ON_SLURM, tmp_path / "cells", slurm=True)


def test_thirty_runs_over_a_b2_that_fails(tmp_path: Path) -> None:
    figures = run_many(30, 0.1, tmp_path)
    assert figures.wrong == []
    assert figures.right == 30
    assert figures.faults > 0
