"""What a launcher that was killed may have left behind: an sbatch under way, and its script.

sbatch outlives the launcher that called it. It runs under a lock of the launch (see `batch`), so
that whoever goes on with the launch can wait for it; and one that has not begun by then finds its
script gone.
"""

from __future__ import annotations

from pathlib import Path

from savethat.errors import RefusedError, SchedulerError
from savethat.launchers.locks import lock

# A busy controller makes sbatch wait; what it has accepted by then is found by the job's name.
SUBMIT_TIMEOUT = 120
SBATCH_LOCK = "sbatch.lock"
SCRIPT_PREFIX = ".submission_file_"


class UnansweredError(SchedulerError):
    """sbatch did not answer in time: the job may exist all the same."""


def settle(folder: Path) -> None:
    """Sees to it that no sbatch of an earlier launcher submits anything any more.

    Call it while `submitting`, before SLURM is asked which jobs there are.

    Raises:
        SchedulerError: one does not end.
    """
    try:
        with lock(folder / SBATCH_LOCK, "", timeout=SUBMIT_TIMEOUT):
            for script in folder.glob(f"{SCRIPT_PREFIX}*"):
                script.unlink(missing_ok=True)
    except RefusedError:
        raise SchedulerError(
            f"an sbatch of {folder.name} does not end", "see whether sinfo answers"
        ) from None
