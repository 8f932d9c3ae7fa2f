"""SLURM: what a job asks for, its submission, and what becomes of it.

- `options`, `known`, `limits`: resources as data, from configuration and command line
- `arrays`: a launch as job arrays
- `batch`: one batch script, and sbatch
- `submission`, `waiting`: all jobs of a launch, and those that SLURM does not take yet
- `queue`, `accounting`: one squeue for all of a user's runs, sacct for those it no longer knows
- `states`: SLURM's words for a job, in ours
- `commands`: SLURM's programs, and what this machine's cluster is like
- `shared`: answers shared between the user's processes
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from savethat.config import SlurmConfig
from savethat.launchers.slurm.commands import cluster_name, max_array_size, require_sbatch
from savethat.launchers.slurm.options import Request, Value, merge, over, with_requeue
from savethat.run.record import Launch

__all__ = [
    "Request",
    "cluster_name",
    "make_request",
    "max_array_size",
    "over",
    "require_sbatch",
    "scripts",
    "with_requeue",
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


def worker_command(folder: Path, offset: int) -> list[str]:
    """The command of a job: the worker, in this Python, with the order in the launch's folder.

    Args:
        folder: the launch's.
        offset: the position in the launch of the job array's index 0.
    """
    # Unbuffered: what it printed last is there even if it is killed.
    worker = [sys.executable, "-u", "-m", "savethat.worker.slurm"]
    return [*worker, str(folder / "order.json"), str(offset)]


def scripts(launch: Launch, request: Request, *, folder: Path, chdir: Path) -> list[str]:
    """The batch scripts of a launch, as they are handed to sbatch. Writes nothing, asks nobody.

    Args:
        launch: the launch.
        request: the resources.
        folder: the launch's, on the shared file system.
        chdir: where the jobs start.
    """
    # Imported here: it imports submitit.
    from savethat.launchers.slurm.arrays import chunks
    from savethat.launchers.slurm.batch import Batch

    return [
        Batch(chunk, request, folder, chdir, launch.max_parallel).text(
            worker_command(folder, chunk.offset)
        )
        for chunk in chunks(launch.id, [run.position for run in launch.runs], launch.array_size)
    ]
