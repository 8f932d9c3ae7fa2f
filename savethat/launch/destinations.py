"""Where runs can be sent: SLURM, and this machine's queue."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from savethat.config import KEY_VARIABLES, Config, in_environment_only
from savethat.errors import UsageError
from savethat.launchers.foreground import this_process
from savethat.run.record import QUEUE, SLURM, Launch, Place
from savethat.worker.order import Order

if TYPE_CHECKING:
    from savethat.launchers.base import JobRef
    from savethat.launchers.slurm import Request


# How often a run whose node resumes may be started again, where its launch says nothing else.
REQUEUES = 3


@dataclasses.dataclass(frozen=True)
class Sent:
    """What became of runs that were sent.

    Args:
        positions: those the scheduler has now, and had not before.
        jobs: SLURM's ids of their jobs; empty for the queue.
        waiting: positions that the scheduler does not take yet; `why` in its words.
    """

    positions: tuple[int, ...] = ()
    jobs: tuple[str, ...] = ()
    waiting: tuple[int, ...] = ()
    why: str = ""


class Destination(abc.ABC):
    """Where runs are sent, and what each asks for."""

    name: str

    @property
    def setup(self) -> tuple[str, ...]:
        """Shell lines before the worker."""
        return ()

    @abc.abstractmethod
    def check(self) -> None:
        """Sees to it that something can be sent from this machine.

        Raises:
            SchedulerError: nothing can.
        """

    @abc.abstractmethod
    def place(self) -> Place:
        """Where a launch of this process goes."""

    def requeue(self, asked: int | None, default: int) -> int:
        """How often a run may be started again: as was asked, else as the place's options say."""
        return default if asked is None else asked

    @abc.abstractmethod
    def resources(self, requeue: int) -> Mapping[str, Any]:
        """What each run asks for, as the launch record keeps it.

        Args:
            requeue: how often it may be started again.
        """

    @abc.abstractmethod
    def array_size(self, runs: int) -> int:
        """The most runs in one job array, of a launch of so many; 0 where there are no arrays."""


@dataclasses.dataclass(frozen=True)
class ToSlurm(Destination):
    """To the cluster of this machine.

    Args:
        request: the resources.
        dry: whether nothing is to be submitted, so that a SLURM that does not answer is no error.
    """

    request: Request
    dry: bool = False
    name = SLURM

    @property
    @override
    def setup(self) -> tuple[str, ...]:
        return self.request.setup

    @override
    def check(self) -> None:
        from savethat.launchers import slurm

        slurm.require_sbatch()

    @override
    def place(self) -> Place:
        from savethat.errors import SchedulerError
        from savethat.launchers import slurm

        here = this_process()
        try:
            cluster = slurm.cluster_name(default=SLURM if self.dry else None)
        except SchedulerError:
            if not self.dry:
                raise
            cluster = SLURM
        return Place(SLURM, cluster, here.user, here.host)

    @override
    def requeue(self, asked: int | None, default: int) -> int:
        if asked is None and "requeue" in self.request.options:
            return REQUEUES
        return super().requeue(asked, 0 if "no-requeue" in self.request.options else default)

    @override
    def resources(self, requeue: int) -> Mapping[str, Any]:
        from savethat.launchers.slurm import with_requeue

        return with_requeue(self.request.options, requeue > 0)

    @override
    def array_size(self, runs: int) -> int:
        from savethat.errors import SchedulerError
        from savethat.launchers import slurm

        if runs == 1:
            return 0
        try:
            return slurm.max_array_size()
        except SchedulerError:
            if not self.dry:
                raise
            return runs


@dataclasses.dataclass(frozen=True)
class ToQueue(Destination):
    """To the queue of this machine.

    Args:
        config: the project's configuration.
        cpus: cores of each run's own; 0: it shares them all.
        gpus: GPUs of each run's own; None: one, where the machine has any.

    Raises:
        UsageError: the machine has not so many.
    """

    config: Config
    cpus: int = 0
    gpus: int | None = None
    devices: tuple[int, ...] = dataclasses.field(init=False)
    name = QUEUE

    def __post_init__(self) -> None:
        from savethat.launchers.queue.devices import cores, gpus_of

        devices = gpus_of(self.config.queue)
        object.__setattr__(self, "devices", devices)
        if (self.gpus or 0) > len(devices):
            raise UsageError(
                f"--gpus {self.gpus}: this machine's queue has {len(devices)}",
                "[queue] gpus = [0, 1] in savethat.toml says which it may hand out",
            )
        if self.cpus > len(cores()):
            raise UsageError(f"--cpus {self.cpus}: this machine has {len(cores())}")

    @override
    def check(self) -> None:
        pass

    @override
    def place(self) -> Place:
        here = this_process()
        return Place(QUEUE, QUEUE, here.user, here.host, here.machine)

    @override
    def resources(self, requeue: int) -> Mapping[str, Any]:
        gpus = self.gpus if self.gpus is not None else min(1, len(self.devices))
        limit = self.config.queue.max_parallel or 0
        return {"cpus": self.cpus, "gpus": gpus, "devices": self.devices, "queue_limit": limit}

    @override
    def array_size(self, runs: int) -> int:
        return 0


def slurm_destination(
    config: Config,
    *,
    preset: str = "",
    flags: Mapping[str, Any] | None = None,
    sbatch: Sequence[str] = (),
    dry: bool = False,
) -> ToSlurm:
    """SLURM, with the resources of defaults, cluster, preset and flags, each over those before.

    Raises:
        UsageError: an option or a value that sbatch does not have, or an unknown preset.
        SchedulerError: there are options for clusters, and SLURM did not say which this one is.
    """
    from savethat.launchers import slurm

    request = slurm.make_request(config.slurm, preset=preset, flags=flags, sbatch=sbatch)
    return ToSlurm(request, dry)


def hand_over(
    launch: Launch,
    positions: Sequence[int],
    order: Order,
    folder: Path,
    *,
    again: bool,
    after: Sequence[str] = (),
) -> Sent:
    """Gives runs of a recorded launch to its scheduler; call it while `submitting`.

    Args:
        launch: the launch, recorded.
        positions: of the runs.
        order: as written in the folder.
        folder: the launch's.
        again: whether another process may have given it some of them already.
        after: ids of SLURM jobs that count into the launch's limit on runs at a time.

    Raises:
        SchedulerError: it refused all of them, or could not be asked.
    """
    if launch.place.scheduler == QUEUE:
        return _to_queue(launch, positions, folder)
    return _to_slurm(launch, positions, order, folder, again=again, after=after)


def _to_queue(launch: Launch, positions: Sequence[int], folder: Path) -> Sent:
    import sys

    from savethat.launchers.queue import Batch, Needs, enqueue

    wanted = set(positions)
    runs = [(run.key, run.attempt, run.position) for run in launch.runs if run.position in wanted]
    needs = Needs(max_parallel=launch.max_parallel, **launch.resources)
    batch = Batch(launch.id, folder, sys.executable, needs, launch.requeue)
    new = enqueue(batch, runs)
    return Sent(tuple(new))


def _to_slurm(
    launch: Launch,
    positions: Sequence[int],
    order: Order,
    folder: Path,
    *,
    again: bool,
    after: Sequence[str],
) -> Sent:
    from savethat.launchers.slurm import Request, worker_command
    from savethat.launchers.slurm.leftovers import settle
    from savethat.launchers.slurm.submission import submit

    alive: list[str] = []
    if again:
        from savethat.launchers.slurm.queue import Slurm

        settle(folder)
        wanted = set(positions)
        missing, alive = Slurm().look_for([ref for ref in refs(launch) if ref.position in wanted])
        positions = [ref.position for ref in missing]
    done = submit(
        launch,
        positions,
        Request(launch.resources, order.setup),
        command=lambda offset: worker_command(folder, offset),
        folder=folder,
        chdir=order.config.root,
        after=[*after, *alive],
        hidden=_hidden(order.config),
    )
    waiting = set(done.waiting)
    sent = tuple(position for position in positions if position not in waiting)
    return Sent(sent, done.jobs, done.waiting, done.why)


def refs(launch: Launch) -> list[JobRef]:
    """A reference to each run's job."""
    from savethat.launchers.base import JobRef

    return [
        JobRef(launch.id, run.position, launch.place, launch.array_size, run.key, run.attempt)
        for run in launch.runs
    ]


def _hidden(config: Config) -> Sequence[str]:
    """The variables of the bucket's key, where jobs find it in the user's files.

    SLURM keeps a copy of each job's environment on the controller's disk.
    """
    return () if config.b2 is None or in_environment_only(config) else KEY_VARIABLES
