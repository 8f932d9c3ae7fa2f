"""The matrix: which deaths, at which moments, over which B2, by which scheduler."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

SLURM, QUEUE = "SLURM", "queue"
SCHEDULERS = (SLURM, QUEUE)

EXCEPTION = "exception"
EXIT = "os._exit"
SEGFAULT = "segfault"
KILL_CHILD = "SIGKILL of the child"
KILL_SUPERVISOR = "SIGKILL of the supervisor"
MEMORY = "out of memory"
TIME_LIMIT = "time limit"
CANCEL_PENDING = "scancel pending"
CANCEL_RUNNING = "scancel running"
PREEMPTION = "preemption"
PREEMPTION_ONCE = "preemption, no requeue"
NODE_DEATH = "node death"
NODE_DEATH_ONCE = "node death, no requeue"
RESTART = "slurmctld restart"
DISK_FULL = "disk full"

DEATHS = (
    *(EXCEPTION, EXIT, SEGFAULT, KILL_CHILD, KILL_SUPERVISOR, MEMORY, TIME_LIMIT, CANCEL_PENDING),
    *(CANCEL_RUNNING, PREEMPTION, PREEMPTION_ONCE, NODE_DEATH, NODE_DEATH_ONCE, RESTART, DISK_FULL),
)

BEFORE, RUNNING, CARRY_OUT, AFTER = (
    *("before the first line", "while running"),
    *("during carry-out", "after the result"),
)
MOMENTS = (BEFORE, RUNNING, CARRY_OUT, AFTER)

UP, DOWN, FAULTS = "up", "down", "10 % faults"
WEATHERS = (UP, DOWN, FAULTS)

# What strikes a process of savethat's, and not the node alone: after the result it strikes while
# the worker stores it, and no longer while it is pickled.
OUTER = frozenset(
    {
        *(KILL_SUPERVISOR, CANCEL_RUNNING, PREEMPTION, PREEMPTION_ONCE),
        *(NODE_DEATH, NODE_DEATH_ONCE, RESTART),
    }
)
# No supervisor lives on to store what is left.
SUDDEN = frozenset({KILL_SUPERVISOR, NODE_DEATH, NODE_DEATH_ONCE})
# What a node that can go on with its files outlives.
OUTLIVED = frozenset({PREEMPTION, NODE_DEATH})
# What takes a compute node, or all of it, for itself.
VIOLENT = frozenset({PREEMPTION, PREEMPTION_ONCE, NODE_DEATH, NODE_DEATH_ONCE})


@dataclasses.dataclass(frozen=True)
class Cell:
    """One square of the matrix."""

    death: str
    moment: str
    weather: str
    scheduler: str

    def __str__(self) -> str:
        return f"{self.death}, {self.moment}, B2 {self.weather}, {self.scheduler}"

    @property
    def resumes(self) -> bool:
        """Whether its node goes on in a second attempt."""
        return self.death in OUTLIVED

    @property
    def sudden(self) -> bool:
        """Whether nobody lives on to store what is left."""
        return self.death in SUDDEN

    @property
    def outer(self) -> bool:
        """Whether it strikes savethat's own processes, or the machine."""
        return self.death in OUTER

    @property
    def phase(self) -> int:
        """Cells of one phase may run at the same time.

        The kernel tells how many processes it has killed for lack of memory, not which; and a
        SLURM that restarts takes no jobs.
        """
        return {MEMORY: 1, RESTART: 2}.get(self.death, 0)


def why_not(cell: Cell) -> str:
    """Why a square of the matrix is empty; empty text where it is not."""
    if cell.death == CANCEL_PENDING and cell.moment != BEFORE:
        return "A run that is still pending has not begun."
    if cell.scheduler == QUEUE:
        if cell.death in (PREEMPTION, PREEMPTION_ONCE):
            return "The queue preempts nothing."
        if cell.death == TIME_LIMIT:
            return "The queue has no time limit."
    return ""


def squares() -> Iterator[Cell]:
    """All squares, the empty ones too."""
    for death in DEATHS:
        for scheduler in SCHEDULERS:
            for moment in MOMENTS:
                for weather in WEATHERS:
                    yield Cell(death, moment, weather, scheduler)


def cells() -> list[Cell]:
    """The matrix, those that can run at the same time together."""
    return sorted((cell for cell in squares() if not why_not(cell)), key=lambda cell: cell.phase)
