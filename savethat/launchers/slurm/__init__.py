"""SLURM: what a job asks for, its submission, and what becomes of it.

- `options`, `known`, `limits`: resources as data, from configuration and command line
- `batch`: the batch script, and sbatch
- `queue`, `accounting`: one squeue for all of a user's runs, sacct for those it no longer knows
- `states`: SLURM's words for a job, in ours
- `output`: what jobs print, and their last words
- `commands`: SLURM's programs, and the name of this machine's cluster
- `shared`: answers shared between the user's processes
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from savethat.config import SlurmConfig
from savethat.launchers.slurm.commands import cluster_name, require_sbatch
from savethat.launchers.slurm.options import Request, Value, merge
from savethat.launchers.slurm.output import job_output, last_words
from savethat.launchers.slurm.shared import forget_answers
from savethat.run.record import Launch

__all__ = [
    "Request",
    "cluster_name",
    "forget_answers",
    "job_output",
    "last_words",
    "make_request",
    "require_sbatch",
    "script",
    "submit",
    "worker_command",
]


def make_request(
    config: SlurmConfig,
    *,
    preset: str = "",
    flags: Mapping[str, Value | None] | None = None,
    sbatch: Sequence[str] = (),
) -> Request:
    """What a job submitted from this machine asks for: see `options.merge`.

    Raises:
        UsageError: an option or a value that sbatch does not have, or an unknown preset.
        ConfigError: the same of an option in savethat.toml.
        SchedulerError: there are options for clusters, and SLURM did not say which this one is.
    """
    # The name is asked for only where it matters; a machine without SLURM is on no cluster.
    cluster = cluster_name(default="") if config.clusters else ""
    return merge(config, cluster=cluster, preset=preset or None, flags=flags, sbatch=sbatch)


def worker_command(folder: Path) -> list[str]:
    """The command of a job: the worker, in this Python, with the order in the launch's folder."""
    # Unbuffered: what it printed last is there even if it is killed.
    return [sys.executable, "-u", "-m", "savethat.worker", str(folder / "order.json")]


def script(
    launch: Launch,
    request: Request,
    *,
    command: Sequence[str],
    folder: Path,
    chdir: Path,
    max_parallel: int | None = None,
) -> str:
    """The batch script, exactly as `submit` hands it to sbatch. Writes nothing, asks nobody.

    Args:
        launch: its id is the job's name; more than one run make an array, in order.
        request: the resources.
        command: the worker's, with its arguments.
        folder: where the script and what the jobs print are kept, on the shared file system.
        chdir: where the jobs start.
        max_parallel: the most tasks of the array at a time.
    """
    # Imported here: it imports submitit.
    from savethat.launchers.slurm.batch import Batch

    return Batch(launch, request, folder, chdir, max_parallel).text(command)


def submit(
    launch: Launch,
    request: Request,
    *,
    command: Sequence[str],
    folder: Path,
    chdir: Path,
    max_parallel: int | None = None,
) -> str:
    """Submits a launch as one job, or as one job array; see `script` for the arguments.

    Returns:
        SLURM's job id.

    Raises:
        SchedulerError: no sbatch on this machine, it refused (its own words), or did not answer
            in time; then the job may exist all the same. A folder made here is gone again.
    """
    require_sbatch()
    # Imported here: it imports submitit.
    from savethat.launchers.slurm.batch import Batch

    return Batch(launch, request, folder, chdir, max_parallel).send(command)
