"""From a node and its arguments to a run: recorded first, then carried out here or submitted."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from savethat.args import to_json
from savethat.catalog.run import Run, open_run
from savethat.config import Config, Credentials, credentials, load
from savethat.discovery import add_to_path, importable
from savethat.errors import SchedulerError, UnreachableError, UsageError
from savethat.launchers.foreground import this_process
from savethat.node import Node, dotted_name
from savethat.remotes import open_remote
from savethat.remotes.directory import DirectoryRemote
from savethat.run.key import new_keys
from savethat.run.layout import launch_folder, launch_name
from savethat.run.record import SLURM, Launch, Place, PlannedRun
from savethat.worker.folder import RunFolder
from savethat.worker.inline import Inline
from savethat.worker.journal import Terminal
from savethat.worker.ledger import publish
from savethat.worker.order import Order
from savethat.worker.process import ChildProcess
from savethat.worker.supervisor import Outcome, Post, supervise

if TYPE_CHECKING:
    from savethat.launchers.slurm import Request

# How long a node may take to end after Ctrl-C before it is killed. A second Ctrl-C does not wait.
FOREGROUND_GRACE = 10.0


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a user asked to be run.

    Args:
        node: the node, made with its arguments.
        argv: the command line that asked, for provenance.
        tags: the user's words for it.
    """

    node: Node[Any, Any]
    argv: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def plan(config: Config, asked: Asked, place: Place, resources: Mapping[str, Any]) -> Launch:
    """The record of a launch of one run; nothing is written yet."""
    now = datetime.now(timezone.utc)
    cls = type(asked.node)
    (key,) = new_keys(cls.__name__, now, 1, random.SystemRandom().choices)
    return Launch(
        id=key,
        created_at=now,
        place=place,
        runs=(PlannedRun(key, dotted_name(cls), to_json(asked.node.args)),),
        root=str(config.root),
        resources=resources,
        tags=asked.tags,
    )


def run_here(
    config: Config, asked: Asked, *, terminal: Terminal | None, pdb: bool = False
) -> tuple[str, Outcome]:
    """Runs a node in the foreground: in a child process, or with `pdb` in this one.

    Returns:
        The run's key, and how it ended.
    """
    if pdb:
        key, outcome, _ = _run_inline(config, asked, pdb=True)
        return key, outcome
    order, post = _foreground(config, asked)
    runner = ChildProcess(grace=FOREGROUND_GRACE)
    return order.launch.id, supervise(order, 0, post, runner, terminal=terminal)


def run_inline(node: Node[Any, Any]) -> Any:
    """Runs a node in this process, as `node.run()` does, and returns its result.

    Raises:
        Exception: what the node raised, after its files are saved.
    """
    _, _, inline = _run_inline(load(), Asked(node), pdb=False)
    if inline.error is not None:
        raise inline.error
    return inline.value


def _run_inline(config: Config, asked: Asked, *, pdb: bool) -> tuple[str, Outcome, Inline]:
    order, post = _foreground(config, asked)
    inline = Inline(asked.node, pdb=pdb)
    return order.launch.id, supervise(order, 0, post, inline), inline


def _foreground(config: Config, asked: Asked) -> tuple[Order, Post]:
    secret = _credentials(config)
    place = this_process()
    launch = plan(config, asked, place, {})
    folder = RunFolder.in_place(config, launch.id)
    if config.b2 is None:
        publish(DirectoryRemote(config.local_path), launch)
    order = Order(launch, config, tuple(add_to_path(config.root)), asked.argv)
    # On B2 the record is written beside the run: the node does not wait for the network.
    return order, Post(place, folder, secret, published=config.b2 is None)


def slurm_request(
    config: Config, *, preset: str = "", flags: Mapping[str, Any], sbatch: Sequence[str] = ()
) -> Request:
    """The resources of a SLURM job: defaults, cluster, preset, flags, each over the one before.

    Raises:
        UsageError: an option or a value that sbatch does not have, or an unknown preset.
    """
    from savethat.launchers import slurm

    request = slurm.make_request(config.slurm, preset=preset, flags=flags, sbatch=sbatch)
    if request.options.get("requeue"):
        return request
    # A job that SLURM starts again by itself would be a second attempt nobody asked for.
    return dataclasses.replace(request, options={**request.options, "no-requeue": True})


def slurm_script(config: Config, asked: Asked, request: Request) -> tuple[Launch, str]:
    """What `submit_slurm` would submit; nothing is submitted or written."""
    from savethat.launchers import slurm

    try:
        cluster = slurm.cluster_name(default=SLURM)
    except SchedulerError:  # a dry run needs no SLURM that answers
        cluster = SLURM
    launch = _slurm_launch(config, asked, request, cluster)
    folder = slurm_folder(config, launch.id)
    command = slurm.worker_command(folder)
    return launch, slurm.script(launch, request, command=command, folder=folder, chdir=config.root)


def submit_slurm(config: Config, asked: Asked, request: Request) -> tuple[Launch, str]:
    """Records a launch and submits it to SLURM.

    Returns:
        The launch, and a warning (empty where there is none).

    Raises:
        SchedulerError: SLURM refused it; then nothing of the launch is left.
        StorageError: B2 refused the record; then nothing was submitted.
    """
    from savethat.launchers import slurm

    cls = type(asked.node)
    if not importable(cls):
        raise UsageError(
            f"{cls.__qualname__} is defined in a notebook or a script: a job cannot import it",
            "move it into a module of the project's package",
        )
    slurm.require_sbatch()
    secret = _credentials(config)
    launch = _slurm_launch(config, asked, request, slurm.cluster_name())
    folder = slurm_folder(config, launch.id)
    home = DirectoryRemote(config.local_path)
    remote = open_remote(config, secret) if config.b2 else home
    warning = ""
    try:
        publish(remote, launch)
    except UnreachableError as error:
        publish(home, launch)
        remote = home
        warning = f"{error.message}: the launch is recorded in {config.local_path} for now"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        Order(launch, config, _python_path(config), asked.argv).write(folder)
        command = slurm.worker_command(folder)
        slurm.submit(launch, request, command=command, folder=folder, chdir=config.root)
    except (SchedulerError, OSError):
        remote.delete([launch_name(launch.id)])
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return launch, warning


def submit(node: Node[Any, Any], *, slurm: Mapping[str, Any], tags: Sequence[str] = ()) -> Run:
    """Submits a node to SLURM and returns its run, which can be waited for.

    Args:
        node: made with its arguments.
        slurm: sbatch options by their long names: `{"partition": "gpu", "time": "4h"}`.
        tags: the user's words for it.

    Raises:
        SchedulerError: SLURM refused it.
        UsageError: an option that sbatch does not have; a node that a job cannot import.
    """
    config = load()
    request = slurm_request(config, flags=slurm)
    launch, _ = submit_slurm(config, Asked(node, tags=tuple(tags)), request)
    return open_run(config, launch.id)


def slurm_folder(config: Config, launch_id: str) -> Path:
    """Where a launch's order, batch script and job output lie, on the shared file system."""
    return config.local_path / launch_folder(launch_id)


def describe(asked: Asked) -> str:
    """A run as `--dry-run` prints it."""
    return f"{dotted_name(type(asked.node))} {json.dumps(to_json(asked.node.args))}"


def _slurm_launch(config: Config, asked: Asked, request: Request, cluster: str) -> Launch:
    here = this_process()
    place = Place(SLURM, cluster, here.user, here.host)
    return plan(config, asked, place, dict(request.options))


def _python_path(config: Config) -> tuple[str, ...]:
    return tuple(add_to_path(config.root))


def _credentials(config: Config) -> Credentials | None:
    return credentials(config) if config.b2 is not None else None
