"""Provenance and, in the foreground, the code: gathered in a process beside the run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

from savethat.config import KEY_VARIABLES, Credentials
from savethat.launchers.fork import Fork, can_fork
from savethat.provenance import Subject, recall, write_record
from savethat.provenance.beside import gather
from savethat.run.layout import CODE, PROVENANCE_FILE, launch_folder
from savethat.run.record import CODE_NAME, PlannedRun
from savethat.untrusted import read_json
from savethat.worker.order import Order
from savethat.worker.spawn import open_environment

# In a launch's folder: what git said of the checkout that its code was frozen from.
CHECKOUT_FILE = "checkout.json"


class Gathering(Protocol):
    """A process that gathers, beside the run."""

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end; subprocess.TimeoutExpired where that takes longer."""
        ...

    def kill(self) -> None:
        """Kills it."""
        ...


def gather_provenance(
    order: Order, run: PlannedRun, folder: Path, credentials: Credentials | None
) -> Gathering | None:
    """Writes `reproducible.json`, or starts a process beside the run that does.

    It freezes the code too, where the launch has not: a foreground run does not wait for that.

    Returns:
        The process; None where another run of the launch had found all that it takes.
    """
    launch, config = order.launch, order.config
    out, freeze = folder / PROVENANCE_FILE, None
    if config.code.capsule and not launch.code:
        freeze = config.local_path / CODE
    subject = Subject(
        config.root,
        order.argv,
        [credentials.key_id, credentials.key] if credentials else [],
        run.args,
        launch.code,
        launch.reproduces,
        run.attempt,
        # Frozen code does not change any more, so the runs of a launch have one checkout.
        config.local_path / launch_folder(launch.id) / CHECKOUT_FILE if launch.code else None,
    )
    if order.python not in ("", sys.executable):
        return _start(order.python, subject, out, freeze)
    if (record := recall(subject)) is not None:
        with contextlib.suppress(OSError):  # a full disk ends no run
            write_record(out, record)
        return None
    if not can_fork():
        return _start(sys.executable, subject, out, freeze)

    def call() -> None:
        for name in KEY_VARIABLES:
            os.environ.pop(name, None)
        gather(subject, out, freeze=freeze, config=config)

    return Fork(call)


def _start(python: str, subject: Subject, out: Path, freeze: Path | None) -> Gathering:
    """Starts it as a program of its own."""
    options = {
        "root": subject.root,
        "out": out,
        "freeze": freeze,
        "capsule": subject.capsule,
        "reproduces": subject.reproduces,
        "attempt": subject.attempt,
        "checkout": subject.checkout,
    }
    process = subprocess.Popen(
        [
            *(python, "-m", "savethat.provenance"),
            *(f"--{option}={value}" for option, value in options.items() if value),
            "--",
            *subject.argv,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=open_environment(),
        start_new_session=True,
    )
    assert process.stdin is not None
    try:
        # Through a pipe, so that what must not be written is not in an argument list either.
        process.stdin.write(
            "".join(json.dumps(secret) + "\n" for secret in subject.secrets).encode()
        )
        process.stdin.close()
    except BrokenPipeError:
        pass
    return process


def frozen_beside(folder: Path) -> str:
    """The capsule that was made beside the run; none where that could not be."""
    try:
        name = read_json((folder / PROVENANCE_FILE).read_bytes())["capsule"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return name if isinstance(name, str) and CODE_NAME.fullmatch(name) else ""


def await_provenance(process: Gathering | None, wait: float) -> None:
    """Waits so many seconds for it; what takes longer is given up."""
    if process is None:
        return
    try:
        process.wait(wait)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
