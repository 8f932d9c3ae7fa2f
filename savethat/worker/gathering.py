"""Provenance and, in the foreground, the code: gathered in a process beside the run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from savethat.config import KEY_VARIABLES, Credentials
from savethat.launchers.fork import Fork, can_fork
from savethat.provenance import recall, write_record
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
    secrets = [credentials.key_id, credentials.key] if credentials else []
    out = folder / PROVENANCE_FILE
    # The code of such a launch does not change any more, so its runs have one checkout.
    checkout = config.local_path / launch_folder(launch.id) / CHECKOUT_FILE if launch.code else None
    own = order.python in ("", sys.executable)
    told: dict[str, Any] = {
        "capsule": launch.code,
        "reproduces": launch.reproduces,
        "attempt": run.attempt,
        "checkout": checkout,
    }
    if own and checkout is not None:
        record = recall(config.root, order.argv, secrets, args=run.args, **told)
        if record is not None:
            with contextlib.suppress(OSError):  # a full disk ends no run
                write_record(out, record)
            return None
    code = config.local_path / CODE
    freezes = config.code.capsule and not launch.code
    if not own or not can_fork():
        places = {"root": config.root, "out": out, "freeze": code if freezes else None}
        return _start(order, {**told, **places}, secrets)

    def freeze() -> str:
        from savethat.code import capture

        # The last one is the key itself; the key's id may be named in code.
        return capture(config, code, secrets=secrets[-1:], extra=()).name

    def call() -> None:
        for name in KEY_VARIABLES:
            os.environ.pop(name, None)
        gather(config.root, out, order.argv, secrets, **told, freeze=freeze if freezes else None)

    return Fork(call)


def _start(order: Order, options: Mapping[str, Any], secrets: Sequence[str]) -> Gathering:
    """Starts it as a program of its own."""
    process = subprocess.Popen(
        [
            *(order.python or sys.executable, "-m", "savethat.provenance"),
            *(f"--{option}={value}" for option, value in options.items() if value),
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
    try:
        # Through a pipe, so that what must not be written is not in an argument list either.
        process.stdin.write("".join(json.dumps(secret) + "\n" for secret in secrets).encode())
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
