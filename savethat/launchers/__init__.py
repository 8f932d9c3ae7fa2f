"""Who carries runs out, and who is asked about them: this process (`foreground`) and SLURM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from savethat.launchers.base import Scheduler


def schedulers() -> Mapping[str, Scheduler]:
    """All schedulers this machine may ask, by the name a run's place gives."""
    from savethat.launchers.foreground import Foreground
    from savethat.launchers.slurm.queue import Slurm
    from savethat.run.record import FOREGROUND, SLURM

    return {FOREGROUND: Foreground(), SLURM: Slurm()}
