"""Submits runs: recorded first, then handed to their scheduler, and gone on with after a kill.

The record comes before any job, so that a launch which was cut short is always seen; the jobs are
found by their names, so that going on with it submits what is missing and nothing twice.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from savethat.config import Config, in_environment_only
from savethat.discovery import add_to_path, importable
from savethat.errors import ConfigError, SchedulerError, UnreachableError, UsageError
from savethat.launch.destinations import REQUEUES, Destination, Sent, hand_over
from savethat.launch.freeze import frozen, keep_code
from savethat.launch.plan import Asked, bucket_key, plan
from savethat.launchers.locks import submitting
from savethat.launchers.slurm.leftovers import UnansweredError
from savethat.node import resumes
from savethat.remotes import open_remote
from savethat.remotes.base import Remote
from savethat.remotes.directory import DirectoryRemote
from savethat.run.layout import launch_folder, launch_name
from savethat.run.record import SLURM, Launch
from savethat.worker.ledger import publish
from savethat.worker.order import ORDER_FILE, Order


@dataclasses.dataclass(frozen=True)
class Submitted:
    """A launch that was submitted, what its scheduler has of it, and warnings for the user."""

    launch: Launch
    sent: Sent
    warnings: tuple[str, ...] = ()


def folder_of(config: Config, launch_id: str) -> Path:
    """Where a launch's order, batch scripts and job output lie, on the shared file system."""
    return config.local_path / launch_folder(launch_id)


def planned(config: Config, asked: Asked, to: Destination) -> Launch:
    """The launch that `submit` would submit; nothing is submitted or written.

    Raises:
        UsageError: a job could not import the node.
        SchedulerError: the scheduler is not there, or could not be asked.
    """
    if not importable(asked.node):
        raise UsageError(
            f"{asked.node.__qualname__} is defined in a notebook or a script: a job cannot import"
            " it",
            "move it into a module of the project's package",
        )
    requeue = to.requeue(asked.requeue, REQUEUES if resumes(asked.node) else 0)
    return plan(
        config,
        asked,
        to.place(),
        resources=to.resources(requeue),
        array_size=to.array_size(len(asked.points)),
        requeue=requeue,
    )


def submit(
    config: Config, asked: Asked, to: Destination, *, after: Sequence[str] = ()
) -> Submitted:
    """Records a launch of new runs and submits it.

    Args:
        config: the project's configuration.
        asked: the runs.
        to: where they go.
        after: ids of SLURM jobs that count into the launch's limit on runs at a time.

    Raises:
        SchedulerError: the scheduler refused it; then nothing of the launch is left.
        StorageError: B2 refused the record; then nothing was submitted.
    """
    to.check()
    return submit_launch(config, planned(config, asked, to), to, asked.argv, after)


def submit_launch(
    config: Config,
    launch: Launch,
    to: Destination,
    argv: Sequence[str],
    after: Sequence[str] = (),
    python: str = "",
) -> Submitted:
    """Records a launch and submits all of its runs; raises as `submit` does."""
    launch = frozen(config, launch)
    folder = folder_of(config, launch.id)
    remote, warnings = _record(config, launch)
    try:
        with submitting(folder):
            order = make_order(config, launch, to, argv, python)
            order.write(folder)
            positions = [run.position for run in launch.runs]
            sent = hand_over(launch, positions, order, folder, again=False, after=after)
    except UnansweredError:
        raise  # the job may exist: the record stays, and tells
    except (SchedulerError, OSError):
        remote.delete([launch_name(launch.id)])
        shutil.rmtree(folder, ignore_errors=True)
        raise
    warnings += keep_code(config, launch) + _exposed(config, launch)
    return Submitted(launch, sent, (*warnings, *_waiting(launch, sent)))


def go_on(
    config: Config, launch: Launch, positions: Sequence[int], order: Order | None = None
) -> Submitted:
    """Submits those of a recorded launch's runs that its scheduler does not have.

    Args:
        config: the project's configuration.
        launch: the record.
        positions: of the runs that have left no mark.
        order: to be written where the launcher was cut short before it wrote one; None: then such
            a launch cannot be gone on with.

    Raises:
        ConfigError: there is no order, and none was given.
        SchedulerError: the scheduler could not be asked, or refused them all.
        RefusedError: another process is submitting it.
    """
    folder = folder_of(config, launch.id)
    with submitting(folder):
        try:
            order = Order.read(folder / ORDER_FILE)
        except ConfigError:
            if order is None:
                raise
            order.write(folder)
        sent = hand_over(launch, positions, order, folder, again=True)
    warnings = keep_code(config, launch)
    return Submitted(launch, sent, (*warnings, *_waiting(launch, sent)))


def make_order(
    config: Config, launch: Launch, to: Destination, argv: Sequence[str], python: str = ""
) -> Order:
    """The order for a launch's workers; `python` is the interpreter of its nodes."""
    path = tuple(add_to_path(config.root))
    return Order(launch, config, path, tuple(argv), to.setup, python)


def _record(config: Config, launch: Launch) -> tuple[Remote, list[str]]:
    """Writes the launch record: to B2, or, where that cannot be reached, to `local_path`."""
    home = DirectoryRemote(config.local_path)
    remote = open_remote(config, bucket_key(config)) if config.b2 else home
    try:
        publish(remote, launch)
    except UnreachableError as error:
        if remote is home:
            raise
        publish(home, launch)
        return home, [f"{error.message}: the launch is recorded in {config.local_path} for now"]
    return remote, []


def _exposed(config: Config, launch: Launch) -> list[str]:
    """A warning where SLURM is handed the bucket's key: it keeps a copy of a job's environment."""
    on_slurm = launch.place.scheduler == SLURM and config.b2 is not None
    if not on_slurm or config.sync == "login" or not in_environment_only(config):
        return []
    return [
        "the B2 key is in the environment only, of which SLURM keeps a copy; `savethat setup`"
        " stores it where jobs find it and only you read it"
    ]


def _waiting(launch: Launch, sent: Sent) -> list[str]:
    if not sent.waiting:
        return []
    return [
        f"{len(sent.waiting)} of {len(launch.runs)} runs are not submitted yet: {sent.why};"
        " the same command again, or savethat sync, submits them"
    ]
