"""What Python code calls to launch runs: `savethat.submit` and `savethat.sweep`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from savethat.args import make_grid
from savethat.catalog import open_catalog
from savethat.catalog.run import Run, Runs, open_run
from savethat.config import Config, load
from savethat.errors import UsageError
from savethat.launch import sweep as sweeps
from savethat.launch.destinations import Destination, ToQueue, slurm_destination
from savethat.launch.plan import Asked
from savethat.launch.submit import submit as submit_asked
from savethat.node import Node, args_type


class Sweep(Runs):
    """The runs of a sweep's points, in their order; `wait()` waits for all of them.

    Args:
        id: the sweep's, as `savethat ls --sweep ID` takes it.
    """

    def __init__(self, id: str, runs: Sequence[Run]) -> None:  # noqa: A002 # its name everywhere
        super().__init__(runs)
        self.id = id


def submit(
    node: Node[Any, Any],
    *,
    slurm: Mapping[str, Any] | None = None,
    gpus: int | None = None,
    cpus: int = 0,
    tags: Sequence[str] = (),
    requeue: int | None = None,
) -> Run:
    """Submits a node and returns its run, which can be waited for.

    Args:
        node: made with its arguments.
        slurm: sbatch options by their long names: `{"partition": "gpu", "time": "4h"}`; None: the
            run goes into this machine's queue.
        gpus: in the queue, GPUs of its own; None: one, where the machine has any.
        cpus: in the queue, cores of its own; 0: it shares them all.
        tags: the user's words for it.
        requeue: how often it may be started again when it was ended from outside: preempted, out
            of time, its machine gone. None: three times where the node resumes, else never.

    Raises:
        SchedulerError: SLURM refused it.
        UsageError: an option that sbatch does not have; a node that a job cannot import.
    """
    config = load()
    asked = Asked(type(node), [node.args], tags=tuple(tags), requeue=_times(requeue))
    done = submit_asked(config, asked, _destination(config, slurm, gpus=gpus, cpus=cpus))
    return open_run(config, done.launch.id)


def sweep(
    node: type[Node[Any, Any]],
    points: Sequence[Any] = (),
    *,
    grid: Mapping[str, Any] | None = None,
    zipped: bool = False,
    slurm: Mapping[str, Any] | None = None,
    gpus: int | None = None,
    cpus: int = 0,
    max_parallel: int = 0,
    tags: Sequence[str] = (),
    fresh: bool = False,
    requeue: int | None = None,
) -> Sweep:
    """Launches a node with many arguments; those that have a run already are not run again.

    Args:
        node: the node's class.
        points: the arguments of each run, instances of the node's argument class.
        grid: or, by argument, a value or a list of values: every combination is a point.
        zipped: pair the grid's lists instead of crossing them.
        slurm: as for `submit`.
        gpus: as for `submit`.
        cpus: as for `submit`.
        tags: as for `submit`.
        max_parallel: the most of these runs at a time; 0 for no limit of their own.
        fresh: run all points again.
        requeue: as for `submit`.

    Returns:
        The runs of all points, those there were already included.

    Raises:
        ArgumentError: a point is wrong; then nothing was launched.
        StorageError: the runs there are could not be listed whole; then nothing was launched.
        SchedulerError: the scheduler refused.
    """
    if (grid is None) == (not points):
        raise UsageError(
            "sweep takes either a list of arguments or a grid",
            f"savethat.sweep({node.__name__}, grid={{...}})",
        )
    chosen = make_grid(args_type(node), grid, zipped=zipped).points() if grid else list(points)
    # Making each node checks that its arguments are of its class.
    nodes = [node(args) for args in chosen]
    config = load()
    asked = Asked(
        node,
        [each.args for each in nodes],
        tags=tuple(tags),
        max_parallel=max_parallel,
        requeue=_times(requeue),
    )
    to = _destination(config, slurm, gpus=gpus, cpus=cpus)
    swept = sweeps.sweep(config, asked, to, fresh=fresh)
    catalog = open_catalog(config)
    rows = {row.key: row for row in catalog.list(node=node.__name__).rows}
    return Sweep(swept.id, [Run(catalog, rows[key]) for key in swept.keys if key in rows])


def _times(requeue: int | None) -> int | None:
    if requeue is not None and requeue < 0:
        raise UsageError(f"requeue={requeue}: a run cannot be started again less than never")
    return requeue


def _destination(
    config: Config, slurm: Mapping[str, Any] | None, *, gpus: int | None, cpus: int
) -> Destination:
    if slurm is None:
        return ToQueue(config, cpus=cpus, gpus=gpus)
    return slurm_destination(config, flags=slurm)
