"""Who carries runs out, and who is asked about them: this process, this machine's queue, SLURM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from savethat.launchers.base import Scheduler


def schedulers() -> Mapping[str, Scheduler]:
    """All schedulers this machine may ask, by the name a run's place gives."""
    from savethat.launchers.foreground import Foreground
    from savethat.launchers.queue.scheduler import Queue
    from savethat.launchers.slurm.queue import Slurm
    from savethat.run.record import FOREGROUND, QUEUE, SLURM

    return {FOREGROUND: Foreground(), QUEUE: Queue(), SLURM: Slurm()}
