"""The supervisor: carries one attempt of a run out, from its folder to its ending mark."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

from savethat.config import Credentials
from savethat.errors import SavethatError, StorageError
from savethat.remotes import open_remote
from savethat.remotes.directory import DirectoryRemote
from savethat.run.layout import ARGS_FILE, CODE, LOG_FILE, PROVENANCE_FILE, STARTED, live_log
from savethat.run.record import CODE_NAME, Mark, Place, PlannedRun
from savethat.worker.earlier import bring_back
from savethat.worker.errand import Ending, Errand, Runner
from savethat.worker.folder import RunFolder
from savethat.worker.journal import Journal, Terminal
from savethat.worker.keeper import Keeper
from savethat.worker.ledger import RemovedError
from savethat.worker.live import LiveLog
from savethat.worker.order import Order, write_aside
from savethat.worker.process import open_environment
from savethat.worker.signals import Signals

# A heartbeat costs two free calls; a rarer carry-out does not make it rarer than this.
HEARTBEAT = 60.0
# How long the ending waits for provenance that is still being gathered beside the run.
PROVENANCE_WAIT = 20.0


@dataclasses.dataclass(frozen=True)
class Post:
    """Where this supervisor stands.

    Args:
        place: this process, as marks name it.
        folder: the run's folder.
        credentials: for the remote; None in a local-only project.
        published: whether the launch record is on the remote already.
        deadline: when the scheduler ends the attempt, seconds since the epoch; None if never.
        batch_log: what the worker prints outside the run, to be stored with it; None where nobody
            keeps that.
    """

    place: Place
    folder: RunFolder
    credentials: Credentials | None
    published: bool
    deadline: float | None = None
    batch_log: Path | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended, and where it is.

    Args:
        ending: the run's.
        synced: whether the remote has it all.
        trouble: why it does not; empty where it does.
    """

    ending: Ending
    synced: bool
    trouble: str = ""


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
        StorageError: nothing could take the run's files; they stay in its folder, which is named.
    """
    run, config = order.run(position), order.config
    home = DirectoryRemote(config.local_path)
    remote = open_remote(config, post.credentials) if config.b2 else home
    mark = Mark(
        key=run.key,
        attempt=run.attempt,
        mark=STARTED,
        node=run.node,
        launch=order.launch.id,
        place=post.place,
        submitted_at=order.launch.created_at,
        started_at=_now(),
        args=run.args,
        tags=order.launch.tags,
        sweep=order.launch.sweep,
        heartbeat=min(config.sync_every, HEARTBEAT),
        position=position,
        array_size=order.launch.array_size,
        code=order.launch.code,
    )
    folder = post.folder.path
    with Signals() as signals:
        if run.attempt > 1:
            bring_back(post.folder, run, remote, home)
        write_aside(folder / ARGS_FILE, json.dumps(run.args, indent=2).encode())
        live = None
        if post.folder.in_scratch:  # where nobody but this machine sees the log
            path = home.root / live_log(order.launch.id, position)
            live = LiveLog(path, folder / LOG_FILE)
        journal = Journal(folder, terminal, live)
        keeper = Keeper(
            remote,
            home,
            post.folder,
            order.launch,
            mark,
            journal,
            signals,
            sync_every=config.sync_every,
            published=post.published,
        )
        if not post.published:
            keeper.announce()
        journal.event(f"attempt {run.attempt} of {run.key} begins on {post.place.host}")
        errand = Errand(
            run.node,
            run.args,
            run.key,
            run.attempt,
            folder,
            post.deadline,
            order.python_path,
            config,
            post.credentials,
            order.python,
            order.frozen,
        )
        keeper.start()
        provenance = _gather_provenance(order, run, folder, post.credentials)
        ending = runner.run(errand, journal, signals)
        _await(provenance)
        journal.event(f"{ending.mark}" + (f": {ending.reason}" if ending.reason else ""))
        keeper.pause()
        journal.close()
        if post.batch_log is not None and post.batch_log.is_file():
            _keep_batch_log(post.batch_log, folder / f"{post.place.scheduler}.log")
        if keeper.removed:
            post.folder.clear()
            raise RemovedError(f"{run.key} was removed, or has a later attempt")
        if not mark.code and (code := _frozen_beside(folder)):
            mark = dataclasses.replace(mark, code=code)
            keeper.keep_code(code)
        synced = _finish(keeper, post.folder, _ending_mark(mark, ending))
    if live is not None:
        live.remove()
    if post.batch_log is not None:
        # It is stored with the run; a file a run on the shared file system would add up.
        post.batch_log.unlink(missing_ok=True)
    if synced and config.keep_local and post.folder.in_scratch and remote is not home:
        post.folder.copy_to(config.local_path / run.key)
    post.folder.clear()
    return Outcome(ending, synced, keeper.trouble)


def _finish(keeper: Keeper, folder: RunFolder, mark: Mark) -> bool:
    try:
        return keeper.finish(mark)
    except RemovedError:
        folder.clear()
        raise
    except (OSError, SavethatError) as error:
        raise StorageError(
            f"{mark.key} could not be stored anywhere ({error}); its files are in {folder.path}",
            f"savethat upload {mark.key}, once there is room and a way",
        ) from error


def _ending_mark(mark: Mark, ending: Ending) -> Mark:
    return dataclasses.replace(
        mark,
        mark=ending.mark,
        reason=ending.reason,
        result=ending.result,
        finished_at=_now(),
    )


def _gather_provenance(
    order: Order, run: PlannedRun, folder: Path, credentials: Credentials | None
) -> subprocess.Popen[bytes]:
    """Starts gathering `reproducible.json` in a process beside the run.

    It freezes the code too, where the launch has not: a foreground run does not wait for that.
    """
    launch, config = order.launch, order.config
    options = {
        "--root": str(config.root),
        "--out": str(folder / PROVENANCE_FILE),
        "--attempt": str(run.attempt),
        "--capsule": launch.code,
        "--reproduces": launch.reproduces,
        "--freeze": "" if launch.code or not config.code.capsule else str(config.local_path / CODE),
    }
    process = subprocess.Popen(
        [
            *(order.python or sys.executable, "-m", "savethat.provenance"),
            *(word for option, value in options.items() if value for word in (option, value)),
            "--",
            *order.argv,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=open_environment(),
        start_new_session=True,
    )
    assert process.stdin is not None
    secrets = [credentials.key_id, credentials.key] if credentials else []
    try:
        # Through a pipe, so that what must not be written is not in an argument list either.
        process.stdin.write("".join(json.dumps(secret) + "\n" for secret in secrets).encode())
        process.stdin.close()
    except BrokenPipeError:
        pass
    return process


def _frozen_beside(folder: Path) -> str:
    """The capsule that was made beside the run; none where that could not be."""
    try:
        name = json.loads((folder / PROVENANCE_FILE).read_bytes())["capsule"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return name if isinstance(name, str) and CODE_NAME.fullmatch(name) else ""


def _await(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(PROVENANCE_WAIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _keep_batch_log(batch_log: Path, copy: Path) -> None:
    if batch_log.stat().st_size > 0:
        shutil.copyfile(batch_log, copy)


def _now() -> datetime:
    return datetime.now(timezone.utc)
