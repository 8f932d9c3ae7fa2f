"""The supervisor: carries one attempt of a run out, from its folder to its ending mark."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from savethat.errors import SavethatError, SchedulerError, StorageError
from savethat.launchers.processes import end_processes
from savethat.remotes import Remote, open_remote
from savethat.remotes.directory import DirectoryRemote
from savethat.run.layout import ARGS_FILE, LOG_FILE, STARTED, launch_name, live_log
from savethat.run.record import Mark, Place, PlannedRun
from savethat.worker.aside import write_aside
from savethat.worker.errand import Ending, Errand, Runner
from savethat.worker.folder import RunFolder
from savethat.worker.gathering import await_provenance, frozen_beside, gather_provenance
from savethat.worker.journal import Journal, Terminal
from savethat.worker.keeper import Keeper
from savethat.worker.ledger import RemovedError
from savethat.worker.live import LiveLog
from savethat.worker.order import Order
from savethat.worker.post import Outcome, Post
from savethat.worker.signals import Signals

# A heartbeat costs two free calls; a rarer carry-out does not make it rarer than this.
HEARTBEAT = 60.0
# How long the ending waits for provenance that is still being gathered beside the run; a share of
# what there is where the process is about to be killed.
PROVENANCE_WAIT = 20.0
PROVENANCE_SHARE = 0.1
# Seconds that a process which is about to be killed needs for itself.
MARGIN = 1.0


def supervise(
    order: Order,
    position: int,
    post: Post,
    runner: Runner,
    *,
    terminal: Terminal | None = None,
) -> Outcome:
    """Carries out one run of an order.

    Raises:
        RemovedError: the run was removed, or superseded, while it ran: nothing is left of it here.
        StorageError: what the attempt is to begin with cannot be had; or nothing could take the
            run's files, which stay in its folder, which is named.
    """
    run, config = order.run(position), order.config
    home = DirectoryRemote(config.local_path)
    store = open_remote(config, post.credentials) if config.b2 and post.credentials else home
    remote = home if post.sync == "login" else store
    folder = post.folder.path
    with Signals() as signals:
        if run.attempt > 1:
            from savethat.worker.earlier import bring_back

            end_processes(run.key)
            bring_back(post.folder, run, store, home)
        live = None
        if post.folder.in_scratch:  # where nobody but this machine sees the log
            path = home.root / live_log(order.launch.id, position)
            live = LiveLog(path, folder / LOG_FILE)
        secret = post.credentials.key if post.credentials else ""
        journal = Journal(folder, terminal, live, secret=secret)
        mark = _started_mark(order, run, post.place)
        keeper = Keeper(
            remote,
            home,
            post.folder,
            order.launch,
            mark,
            journal,
            signals,
            sync_every=config.sync_every,
            published=post.published and _is_published(order, remote, home),
            eager=post.sync != "worker",
        )
        signals.warned = keeper.hasten
        if not post.published:
            keeper.announce()
        journal.event(f"attempt {run.attempt} of {run.key} begins on {post.place.host}")
        unwritten = _write_args(folder, run)
        # Before there is another thread: then it can be a fork.
        provenance = gather_provenance(order, run, folder, post.credentials)
        keeper.start()
        ending = unwritten or runner.run(_errand(order, run, post), journal, signals)
        wait = PROVENANCE_WAIT
        if post.job is not None and signals.stopped_by is not None:
            by = signals.stopped_at + post.job.kill_wait - MARGIN
            keeper.hurry(by)
            wait = max(0.0, by - time.monotonic()) * PROVENANCE_SHARE
        await_provenance(provenance, wait)
        goes_on = post.job is not None and post.job.goes_on(ending.reason)
        words = f"{ending.mark}: {ending.reason}" if ending.reason else ending.mark
        journal.event(f"{ending.reason}: another attempt follows" if goes_on else words)
        keeper.pause()
        journal.close()
        if post.batch_log is not None:
            _keep_batch_log(post.batch_log, folder / f"{post.place.scheduler}.log")
        if keeper.removed:
            post.folder.clear()
            raise RemovedError(f"{run.key} was removed, or has a later attempt")
        if not mark.code and (code := frozen_beside(folder)):
            mark = dataclasses.replace(mark, code=code)
            keeper.keep_code(code)
        with _cleared_if_removed(post.folder):
            if goes_on and (outcome := _leave(keeper, post, ending)):
                return outcome
            synced = _finish(keeper, post.folder, _ending_mark(mark, ending))
    if post.job is not None:
        post.job.stay_over(ending.reason)
    if live is not None:
        live.remove()
    if post.batch_log is not None:
        # It is stored with the run; a file a run on the shared file system would add up.
        post.batch_log.unlink(missing_ok=True)
    if synced and config.keep_local and post.folder.in_scratch and remote is not home:
        post.folder.copy_to(config.local_path / run.key)
    post.folder.clear()
    if synced and config.b2 is not None and remote is home:
        return Outcome(ending, synced=False, trouble=_why_at_home(post))
    return Outcome(ending, synced, keeper.trouble)


def _write_args(folder: Path, run: PlannedRun) -> Ending | None:
    """Writes the node's arguments; where that cannot be, how the run ends."""
    try:
        write_aside(folder / ARGS_FILE, json.dumps(run.args, indent=2).encode())
    except OSError as error:
        return Ending("failed", f"{ARGS_FILE} cannot be written: {error.strerror}")
    return None


def _is_published(order: Order, remote: Remote, home: DirectoryRemote) -> bool:
    """Whether a record that the launcher wrote is where this worker stores the run.

    It went to the project's storage; or to the home, where that could not be reached.
    """
    if order.config.b2 is None:
        return True
    return remote is not home and not (home.root / launch_name(order.launch.id)).is_file()


def _started_mark(order: Order, run: PlannedRun, place: Place) -> Mark:
    launch = order.launch
    return Mark(
        key=run.key,
        attempt=run.attempt,
        mark=STARTED,
        node=run.node,
        launch=launch.id,
        place=place,
        submitted_at=launch.created_at,
        started_at=_now(),
        args=run.args,
        tags=launch.tags,
        sweep=launch.sweep,
        heartbeat=min(order.config.sync_every, HEARTBEAT),
        position=run.position,
        array_size=launch.array_size,
        code=launch.code,
    )


def _errand(order: Order, run: PlannedRun, post: Post) -> Errand:
    return Errand(
        run.node,
        run.args,
        run.key,
        run.attempt,
        post.folder.path,
        post.deadline,
        order.python_path,
        order.config,
        post.credentials,
        order.python,
        order.frozen,
    )


def _leave(keeper: Keeper, post: Post, ending: Ending) -> Outcome | None:
    """Hands the run on to its next attempt; None where there is none after all."""
    assert post.job is not None
    safe = keeper.leave(ending.reason)
    try:
        post.job.start_again(ending.reason)
    except SchedulerError:
        return None
    if safe:
        post.folder.clear()
    return Outcome(ending, not keeper.trouble, keeper.trouble, goes_on=True)


def _finish(keeper: Keeper, folder: RunFolder, mark: Mark) -> bool:
    try:
        return keeper.finish(mark)
    except RemovedError:
        raise
    except (OSError, SavethatError) as error:
        raise StorageError(
            f"{mark.key} could not be stored anywhere ({error}); its files are in {folder.address}",
            f"savethat upload {mark.key}, once there is room and a way",
        ) from error


@contextlib.contextmanager
def _cleared_if_removed(folder: RunFolder) -> Iterator[None]:
    try:
        yield
    except RemovedError:
        folder.clear()
        raise


def _why_at_home(post: Post) -> str:
    if post.sync == "login":
        return 'sync = "login": the login node sends it'
    return "there are no credentials for the bucket on this machine"


def _ending_mark(mark: Mark, ending: Ending) -> Mark:
    return dataclasses.replace(
        mark,
        mark=ending.mark,
        reason=ending.reason,
        result=ending.result,
        finished_at=_now(),
    )


def _keep_batch_log(batch_log: Path, copy: Path) -> None:
    with contextlib.suppress(OSError):  # gone, or the disk is full: it is no file of the run's own
        if batch_log.stat().st_size > 0:
            shutil.copyfile(batch_log, copy)


def _now() -> datetime:
    return datetime.now(timezone.utc)
