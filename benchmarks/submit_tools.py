"""The ways to submit many runs to SLURM that are compared, one class each.

All submit the same: N runs of a function of one integer, to the partition `cpu`, for ten minutes,
held. A comment on the jobs tells which measure they belong to.
"""

from __future__ import annotations

import abc
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.project import PACKAGE, make_project
from tests.b2_fixtures import b2_key, b2_settings
from tests.b2server.client import B2Server

CALL = "seconds of the call:"

_NODE = '''"""The node of the benchmark."""

import dataclasses

import savethat


@dataclasses.dataclass(frozen=True)
class DoubleArgs:
    x: int  # a number


class Double(savethat.Node[DoubleArgs, int]):
    """Twice a number."""

    def _run(self) -> int:
        return 2 * self.args.x
'''
# savethat imports what it needs when it needs it: here that is before the clock starts.
_SAVETHAT_CALL = f"""import sys
import time

import savethat
import savethat.launch
import savethat.launchers.slurm.batch
import savethat.remotes.b2
from {PACKAGE}.double import Double

runs, mark = int(sys.argv[1]), sys.argv[2]
start = time.perf_counter()
savethat.sweep(
    Double, grid={{"x": range(runs)}}, slurm={{"hold": True, "comment": mark}}, fresh=True
)
print("{CALL}", time.perf_counter() - start)
"""
_SUBMITIT_CALL = f"""import sys
import time

import submitit


def double(x):
    return 2 * x


runs, mark = int(sys.argv[1]), sys.argv[2]
executor = submitit.AutoExecutor(folder="jobs", cluster="slurm")
executor.update_parameters(
    timeout_min=10,
    slurm_partition="cpu",
    slurm_additional_parameters={{"hold": True, "comment": mark}},
)
start = time.perf_counter()
executor.map_array(double, range(runs))
print("{CALL}", time.perf_counter() - start)
"""
# Hydra waits for the results of its jobs, and has no option against that: here its process ends
# where it would begin to wait.
_HYDRA_APP = """import os

import hydra
import submitit

submitit.SlurmJob.results = lambda job: os._exit(0)


@hydra.main(version_base=None, config_path=".", config_name="config")
def main(config):
    return 2 * config.x


if __name__ == "__main__":
    main()
"""


class Tool(abc.ABC):
    """One way to submit runs.

    Args:
        name: as it stands in the table.
        group: as it is selected by.
        python: the interpreter that has it.
    """

    def __init__(self, name: str, group: str, python: Path) -> None:
        self.name, self.group, self.python = name, group, python

    @property
    def server(self) -> B2Server | None:
        """The B2 server it sends to."""
        return None

    @abc.abstractmethod
    def prepare(self, folder: Path) -> None:
        """Makes what a user has before the first submission; `folder` is not there yet."""

    @abc.abstractmethod
    def command(self, runs: int, mark: str) -> list[str]:
        """Submits that many runs, held, with `mark` as their comment; called in the folder."""

    def environment(self) -> Mapping[str, str]:
        """Variables for the command."""
        return {}


class Savethat(Tool):
    """savethat in a project of its template: its command, or its Python call.

    Args:
        template: a folder for the project that every measure gets a copy of.
        server: where runs are kept; without one, in the project.
        call: the Python call instead of the command.
    """

    def __init__(self, template: Path, server: B2Server | None = None, *, call: bool) -> None:
        super().__init__(
            ("`savethat.sweep()`" if call else "`savethat sweep`") + (", B2" if server else ""),
            "savethat-b2" if server else "savethat",
            Path(sys.executable),
        )
        self._template, self._server, self._call = template, server, call

    @property
    def server(self) -> B2Server | None:
        """The B2 server, unless the project is a local one."""
        return self._server

    def prepare(self, folder: Path) -> None:
        """A project with one commit, and with settings that git ignores."""
        if not self._template.exists():
            modules = {f"{PACKAGE}/double.py": _NODE, "call.py": _SAVETHAT_CALL}
            make_project(self.python, self._template, modules)
        shutil.copytree(self._template, folder)
        settings = '[slurm]\npartition = "cpu"\ntime = "10m"\n'
        if self._server is not None:
            settings = b2_settings(self._server, folder.name) + settings
        (folder / "savethat.local.toml").write_text(settings)

    def command(self, runs: int, mark: str) -> list[str]:
        """`savethat sweep`, or the program with the call."""
        if self._call:
            return [str(self.python), "call.py", str(runs), mark]
        options = ["--slurm", "--fresh", "--sbatch", "hold=true"]
        options += ["--sbatch", f"comment={mark}"]
        sweep = [str(self.python), "-m", "savethat", "sweep", *options]
        return [*sweep, "Double", "--x", f"0..{runs - 1}"]

    def environment(self) -> Mapping[str, str]:
        """The credentials."""
        return {} if self._server is None else b2_key(self._server)


class Submitit(Tool):
    """submitit's `map_array`."""

    def __init__(self, python: Path) -> None:
        super().__init__("submitit `map_array`", "submitit", python)

    def prepare(self, folder: Path) -> None:
        """A folder with the program."""
        folder.mkdir()
        (folder / "call.py").write_text(_SUBMITIT_CALL)

    def command(self, runs: int, mark: str) -> list[str]:
        """The program with the call."""
        return [str(self.python), "call.py", str(runs), mark]


class Hydra(Tool):
    """Hydra's `--multirun` with its launcher for submitit, up to where it waits for the jobs."""

    def __init__(self, python: Path) -> None:
        super().__init__("hydra `--multirun`", "hydra", python)

    def prepare(self, folder: Path) -> None:
        """A folder with the application and its configuration."""
        folder.mkdir()
        (folder / "app.py").write_text(_HYDRA_APP)
        (folder / "config.yaml").write_text("x: 0\n")

    def command(self, runs: int, mark: str) -> list[str]:
        """The application, `--multirun`."""
        launcher = ["timeout_min=10", "partition=cpu"]
        return [
            *(str(self.python), "app.py", "--multirun", "hydra/launcher=submitit_slurm"),
            *(f"hydra.launcher.{setting}" for setting in launcher),
            f"+hydra.launcher.additional_parameters={{hold:true,comment:{mark}}}",
            f"x=range(0,{runs})",
        ]
