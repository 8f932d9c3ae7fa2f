"""Submits a launch, with as many sbatch calls as it takes; a kill at any moment leaves no doubt.

What was submitted is found again by the jobs' names, so nothing is written down of it; `locks` and
`leftovers` see to it that nobody submits beside or behind one who looks for them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from savethat.errors import SchedulerError
from savethat.launchers.slurm.arrays import chunks
from savethat.launchers.slurm.batch import Batch, RefusedByLimitError
from savethat.launchers.slurm.leftovers import UnansweredError
from savethat.launchers.slurm.options import Request
from savethat.launchers.slurm.waiting import Waiting, write_waiting
from savethat.run.record import Launch


@dataclasses.dataclass(frozen=True)
class Submitted:
    """What became of a launch.

    Args:
        jobs: SLURM's ids, in the order of submission.
        waiting: positions that SLURM does not take yet.
        why: in SLURM's words, where some wait.
    """

    jobs: tuple[str, ...] = ()
    waiting: tuple[int, ...] = ()
    why: str = ""


def submit(
    launch: Launch,
    positions: Sequence[int],
    request: Request,
    *,
    command: Callable[[int], Sequence[str]],
    folder: Path,
    chdir: Path,
    after: Sequence[str] = (),
    hidden: Sequence[str] = (),
) -> Submitted:
    """Submits runs of a launch; call it while `submitting`.

    One sbatch a job array. Where the launch allows only so many runs at a time, each array begins
    when those before it have ended. What a limit of the site refuses is halved until it is taken,
    and what is not taken waits.

    Args:
        launch: the launch, recorded.
        positions: of the runs.
        request: the resources.
        command: the worker's, for the position of an array's index 0.
        folder: the launch's, on the shared file system.
        chdir: where the jobs start.
        after: ids of live jobs that count into the launch's limit.
        hidden: environment variables that the jobs are not to get.

    Raises:
        UnansweredError: sbatch did not answer in time.
        SchedulerError: sbatch refused the first job for another reason; then none was submitted.
    """
    todo = chunks(launch.id, positions, launch.array_size)
    jobs: list[str] = []
    before = list(after) if launch.max_parallel else []
    why = ""
    while todo:
        chunk = todo[0]
        batch = Batch(chunk, request, folder, chdir, launch.max_parallel, before, hidden)
        try:
            job = batch.send(command(chunk.offset))
        except RefusedByLimitError as error:
            why = error.message
            halves = chunk.halves()
            if len(launch.runs) == 1:
                raise
            if len(halves) == 1:
                break
            todo[:1] = halves
            continue
        except UnansweredError:
            raise
        except SchedulerError as error:
            if not jobs:
                raise
            why = error.message
            break
        jobs.append(job)
        if launch.max_parallel:
            before.append(job)
        todo.pop(0)
    waiting = tuple(position for chunk in todo for position in chunk.positions)
    write_waiting(folder, Waiting(waiting, why) if waiting else None)
    return Submitted(tuple(jobs), waiting, why if waiting else "")
