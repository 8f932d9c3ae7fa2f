"""The order a worker is given: what to run, and how the project is set up. It holds no secret."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from savethat.config import Config
from savethat.errors import ConfigError
from savethat.run.key import stem_of
from savethat.run.layout import JOBS
from savethat.run.record import Launch, PlannedRun
from savethat.untrusted import read_json
from savethat.worker.aside import write_aside

ORDER_FILE = "order.json"


@dataclasses.dataclass(frozen=True)
class Order:
    """A launch, with what a process elsewhere needs to carry out one of its runs.

    Args:
        launch: the record.
        config: the project's configuration.
        python_path: what goes before `sys.path` so that the project can be imported.
        argv: the command line that asked for it, for provenance.
        setup: shell lines before the worker of a SLURM job.
        python: the interpreter that runs the node; empty for the worker's own.
        frozen: whether `python_path` leads into a code capsule, and the working tree is not to be
            imported from.
    """

    launch: Launch
    config: Config
    python_path: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    python: str = ""
    frozen: bool = False

    def run(self, position: int) -> PlannedRun:
        """The run at a position of the launch.

        Raises:
            ConfigError: the launch has none there.
        """
        for run in self.launch.runs:
            if run.position == position:
                return run
        raise ConfigError(f"the launch {self.launch.id} has no run at {position}")

    def restarted(self, position: int, times: int) -> Order:
        """The order, with the attempt that the scheduler's own requeues make of a run."""
        runs = tuple(
            dataclasses.replace(run, attempt=run.attempt + times)
            if run.position == position
            else run
            for run in self.launch.runs
        )
        return dataclasses.replace(self, launch=dataclasses.replace(self.launch, runs=runs))

    def write(self, folder: Path) -> Path:
        """Writes the order into a launch's folder on the shared file system."""
        path = folder / ORDER_FILE
        data = {
            "launch": self.launch.to_json(),
            "config": self.config.to_json(),
            "python_path": self.python_path,
            "argv": self.argv,
            "setup": self.setup,
            "python": self.python,
        }
        write_aside(path, json.dumps(data).encode())
        return path

    @classmethod
    def read(cls, path: Path) -> Order:
        """The order written there.

        Raises:
            ConfigError: it is missing, or not an order of this version.
        """
        try:
            data: Any = read_json(path.read_bytes())
            return cls(
                Launch.from_json(data["launch"]),
                Config.from_json(data["config"]),
                tuple(data["python_path"]),
                tuple(data["argv"]),
                tuple(data["setup"]),
                str(data["python"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"cannot read the order {path}: {error}", "launch it again"
            ) from error


def orders_of(root: Path, key: str) -> Iterator[Launch]:
    """The launches of which orders lie below `local_path` that name a run.

    What cannot be read is passed by.
    """
    for path in (root / JOBS).glob(f"{glob.escape(stem_of(key))}*/{ORDER_FILE}"):
        with contextlib.suppress(ConfigError):
            launch = Order.read(path).launch
            if any(run.key == key for run in launch.runs):
                yield launch
