"""The programs that carry a folder to B2 and back."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from benchmarks import peers
from benchmarks.b2_clients import b2_environment, rclone_environment
from benchmarks.bench import Bench, timed
from benchmarks.rows import Measure, absent
from tests.b2_fixtures import b2_key
from tests.b2server.client import B2Server

ROOT = Path(__file__).parents[1]
SAVETHAT = "savethat"
SDK, SYNC, RCLONE = "b2sdk Synchronizer", "b2 sync", "rclone copy"
# For what grows.
INCREMENTAL = "b2 sync --incremental-mode"

# By what is counted.
Counts = Mapping[str, float]
Command = Sequence[str | Path]


@dataclasses.dataclass(frozen=True)
class Carrier:
    """One program.

    Args:
        name: its name and what sets it apart.
        up: the command that brings a folder to a prefix.
        down: the one that brings a prefix to a folder.
        env: added to the environment.
        cwd: where it runs.
    """

    name: str
    up: Callable[[Path, str], Command]
    down: Callable[[str, Path], Command]
    env: Mapping[str, str]
    cwd: Path

    def send(self, folder: Path, prefix: str) -> float:
        """Brings a folder there; seconds."""
        return timed(self.up(folder, prefix), cwd=self.cwd, env=self.env).seconds

    def fetch(self, prefix: str, folder: Path) -> float:
        """Brings a folder here; seconds."""
        return timed(self.down(prefix, folder), cwd=self.cwd, env=self.env).seconds


def carriers(
    bench: Bench, server: B2Server, work: Path
) -> tuple[dict[str, Carrier], tuple[Measure, ...]]:
    """Savethat and its peers by name, and those that could not be installed.

    Args:
        bench: where they are.
        server: whose bucket.
        work: a folder for what they keep, and with the savethat.toml of `savethat download`.
    """
    python, bucket = bench.savethat / "python", f"b2://{server.bucket}"
    env = b2_environment(server, work)
    found = {
        SAVETHAT: Carrier(
            SAVETHAT,
            lambda folder, prefix: [
                *(python, "-m", "benchmarks.carry_folder"),
                *(folder, server.bucket, prefix, server.url),
            ],
            lambda prefix, _: [bench.savethat / "savethat", "download", Path(prefix).name],
            {**b2_key(server), "PYTHONPATH": str(ROOT)},
            work,
        )
    }
    missing = []
    try:
        b2 = peers.b2(bench.peers)
        script, account = ROOT / "benchmarks" / "sync_folder.py", work / "sdk.sqlite"
        sdk: Command = (b2.with_name("python"), script, account)
        up, down = functools.partial(_up, sdk, bucket), functools.partial(_down, sdk, bucket)
        found[SDK] = Carrier(SDK, up, down, env, work)
        for name in (SYNC, INCREMENTAL):
            command: Command = [b2, *name.split()[1:], "--no-progress"]
            found[name] = Carrier(
                name,
                functools.partial(_up, command, bucket),
                functools.partial(_down, command, bucket),
                env,
                work,
            )
    except RuntimeError as error:
        missing += [absent(name, error) for name in (SDK, SYNC, INCREMENTAL)]
    try:
        copy: Command = [peers.rclone(), "copy"]
        found[RCLONE] = Carrier(
            RCLONE,
            functools.partial(_up, copy, f":b2:{server.bucket}"),
            functools.partial(_down, copy, f":b2:{server.bucket}"),
            rclone_environment(server, work),
            work,
        )
    except RuntimeError as error:
        missing.append(absent(RCLONE, error))
    return found, tuple(missing)


def _up(command: Command, bucket: str, folder: Path, prefix: str) -> Command:
    return [*command, folder, f"{bucket}/{prefix}"]


def _down(command: Command, bucket: str, prefix: str, folder: Path) -> Command:
    return [*command, f"{bucket}/{prefix}", folder]


def counted(server: B2Server) -> Counts:
    """What was counted since the last reset."""
    stats = server.settled()
    return {
        "calls": stats["requests"],
        "class C": stats["transactions"]["C"],
        "MB": stats["bytes_in"] / 1e6,
    }


class Worker:
    """A worker's carry-out, which remembers what it has sent; it ends with the block.

    Args:
        carrier: savethat's.
        folder: the run's.
        prefix: where to.
    """

    def __init__(self, carrier: Carrier, folder: Path, prefix: str) -> None:
        self._process = subprocess.Popen(
            carrier.up(folder, prefix),
            env={**os.environ, **carrier.env},
            cwd=carrier.cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def carry(self) -> None:
        """Carries out what there is now; at first it has done so, and does again.

        Raises:
            RuntimeError: it has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        if not self._process.stdout.readline():
            raise RuntimeError("the carry-out failed")
