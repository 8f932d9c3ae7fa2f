"""Provenance and, in the foreground, the code: gathered in a process beside the run."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from savethat.config import Credentials
from savethat.provenance import recall, write_record
from savethat.run.layout import CODE, PROVENANCE_FILE, launch_folder
from savethat.run.record import CODE_NAME, PlannedRun
from savethat.untrusted import read_json
from savethat.worker.order import Order
from savethat.worker.process import open_environment

# In a launch's folder: what git said of the checkout that its code was frozen from.
CHECKOUT_FILE = "checkout.json"


def gather_provenance(
    order: Order, run: PlannedRun, folder: Path, credentials: Credentials | None
) -> subprocess.Popen[bytes] | None:
    """Writes `reproducible.json`, or starts a process beside the run that does.

    It freezes the code too, where the launch has not: a foreground run does not wait for that.

    Returns:
        The process; None where another run of the launch had found all that it takes.
    """
    launch, config = order.launch, order.config
    secrets = [credentials.key_id, credentials.key] if credentials else []
    # The code of such a launch does not change any more, so its runs have one checkout.
    checkout = config.local_path / launch_folder(launch.id) / CHECKOUT_FILE if launch.code else None
    if checkout is not None and order.python in ("", sys.executable):
        record = recall(
            config.root,
            order.argv,
            secrets,
            args=run.args,
            capsule=launch.code,
            reproduces=launch.reproduces,
            attempt=run.attempt,
            checkout=checkout,
        )
        if record is not None:
            with contextlib.suppress(OSError):  # a full disk ends no run
                write_record(folder / PROVENANCE_FILE, record)
            return None
    options = {
        "--root": str(config.root),
        "--out": str(folder / PROVENANCE_FILE),
        "--attempt": str(run.attempt),
        "--capsule": launch.code,
        "--reproduces": launch.reproduces,
        "--freeze": "" if launch.code or not config.code.capsule else str(config.local_path / CODE),
        "--checkout": str(checkout or ""),
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


def await_provenance(process: subprocess.Popen[bytes] | None, wait: float) -> None:
    """Waits so many seconds for it; what takes longer is given up."""
    if process is None:
        return
    try:
        process.wait(wait)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
