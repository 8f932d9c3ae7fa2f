"""What must be shown of a run after each death: the contract, in one table.

From the states and reasons that users are promised (docs/explanation/status.md), and not from what
the program does.
"""

from __future__ import annotations

import dataclasses
import re

from tests.deaths import cells
from tests.deaths.cells import AFTER, DOWN, QUEUE, Cell


@dataclasses.dataclass(frozen=True)
class Expected:
    """What `ls` must show, once the run is over.

    Args:
        status: one of these states.
        reason: a regular expression for the whole reason.
        attempts: one of these.
    """

    status: tuple[str, ...]
    reason: str
    attempts: tuple[int, ...] = (1,)

    def wrong(self, row: dict[str, object]) -> list[str]:
        """What a row of `ls --json` has wrong."""
        found = []
        if row["status"] not in self.status:
            found.append(f"status {row['status']}, not {' or '.join(self.status)}")
        if not re.fullmatch(self.reason, str(row["reason"] or "")):
            found.append(f"reason {row['reason']!r}, not {self.reason!r}")
        if row["attempt"] not in self.attempts:
            found.append(f"attempt {row['attempt']}, not {self.attempts}")
        return found


COMPLETED = Expected(("completed",), "")
# Of a SIGKILL nothing but the exit code is known where no supervisor saw it: 128 + 9.
KILLED = r"exit code 137|(its worker was )?killed( by SIGKILL)?"

BY_DEATH = {
    cells.EXCEPTION: Expected(("failed",), r".*ValueError: struck"),
    cells.EXIT: Expected(("failed",), r"exit code 3"),
    cells.SEGFAULT: Expected(("failed",), r"killed by SIGSEGV"),
    cells.KILL_CHILD: Expected(("failed",), r"killed by SIGKILL"),
    cells.KILL_SUPERVISOR: Expected(("lost",), KILLED),
    cells.MEMORY: Expected(("failed",), r"out of memory"),
    cells.TIME_LIMIT: Expected(("failed",), r"timeout"),
    cells.CANCEL_PENDING: Expected(("cancelled",), r".*cancelled.*"),
    cells.CANCEL_RUNNING: Expected(("cancelled",), r".*(cancelled|SIGTERM).*"),
    cells.PREEMPTION: Expected(("completed",), "", (2,)),
    cells.PREEMPTION_ONCE: Expected(("failed",), r"preempted"),
    cells.NODE_DEATH: Expected(("completed",), "", (2,)),
    cells.NODE_DEATH_ONCE: Expected(("lost",), r"node failure"),
    cells.RESTART: COMPLETED,
    cells.DISK_FULL: Expected(("failed",), r".*No space left on device.*"),
}


def expected(cell: Cell) -> Expected:
    """What must be shown in a cell."""
    found = BY_DEATH[cell.death]
    if cell.death == cells.NODE_DEATH_ONCE and cell.scheduler == QUEUE:
        # A reboot: nobody knows more than that the processes are gone.
        found = Expected(("lost",), KILLED)
    if cell.death == cells.DISK_FULL and cell.weather == DOWN and cell.scheduler == QUEUE:
        # No place is left that would take a mark: the queue itself tells why.
        found = Expected(("failed", "lost"), found.reason)
    if cell.moment != AFTER or not cell.outer:
        return found
    if not cell.sudden:
        # The result was there: what is left is to store it, and that is done.
        attempts = (1, 2) if cell.resumes else (1,)
        return dataclasses.replace(COMPLETED, attempts=attempts)
    # The last byte may have gone out a moment before the blow.
    return Expected(
        tuple(dict.fromkeys((*found.status, "completed"))),
        rf"{found.reason}|",
        (1, 2) if cell.resumes else (1,),
    )
