"""Where one cell of the matrix takes place: a project, a user, a bucket and a disk of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.b2_fixtures import PART_SIZE, b2_key, b2_settings
from tests.b2server.client import B2Server
from tests.deaths import cells
from tests.deaths.cells import SLURM, Cell
from tests.deaths.lab import Lab
from tests.test_queue import Server

PREFIX = "deaths"
SYNC_EVERY = 1.0
# What is older must be safe where nobody lives on: an interval, and the time of a carry-out on a
# machine that runs several cells at once; longer where one call in ten fails, and where a worker
# has ten seconds to find out that B2 is not there.
SETTLE = {cells.UP: 5.0, cells.DOWN: 20.0, cells.FAULTS: 15.0}
PATIENCE = 100.0
# The faults that a client can survive.
FAULTS = (
    *("503", "500", "429", "408", "401expired", "reset", "timeout", "slow", "early503"),
    *("500-after-commit", "reset-after-commit", "timeout-after-commit", "truncate", "corrupt"),
)
TIMEOUT = 2.0  # seconds that a fault takes, where it takes time
# A carry-out of the node's large file takes some seconds over such a link, in Mbit/s.
SLOW_LINK = 8.0
# Enough for one run's files, and soon full.
DISK = "16m"
MEMORY = 64_000_000
CGROUPS = Path("/sys/fs/cgroup")


@dataclasses.dataclass
class Site:
    """One cell's surroundings.

    Args:
        cell: the cell.
        project: a project of a user of its own.
        b2: a B2 of its own.
        account: where the node announces its moments and keeps its account.
        group: a memory control group of its own; empty where it needs none.
        node: a compute node of its own; empty where it needs none.
    """

    cell: Cell
    project: Server
    b2: B2Server
    account: Path
    group: str = ""
    node: str = ""

    def launch(self) -> str:
        """Launches the node that is to die; the run's key."""
        cell = self.cell
        death = {
            cells.EXCEPTION: "exception",
            cells.EXIT: "exit",
            cells.SEGFAULT: "segfault",
            cells.MEMORY: "memory",
            cells.DISK_FULL: "disk",
        }.get(cell.death, "other")
        moment = {
            cells.BEFORE: "before",
            cells.RUNNING: "running",
            cells.CARRY_OUT: "carry-out",
            cells.AFTER: "finishing" if cell.outer else "pickling",
        }[cell.moment]
        options = ["--slurm"] if cell.scheduler == SLURM else ["--detach"]
        if cell.death == cells.CANCEL_PENDING and cell.scheduler == SLURM:
            options += ["--sbatch", "begin=now+1hour"]
        if cell.death == cells.CANCEL_PENDING and cell.scheduler != SLURM:
            # It has the queue to itself: what comes after waits.
            self.project.run("run", "--detach", "Talk", "--until", str(self.account / "over"))
            self.project.await_states(running=1)
        node = "DyingOn" if cell.resumes else "Dying"
        words = [
            *("--death", death, "--moment", moment, "--account", str(self.account)),
            *("--settle", str(SETTLE[cell.weather] if cell.sudden else 0)),
            *(("--group", self.group) if self.group else ()),
        ]
        return self.project.key(*options, node, *words)

    def tell(self, word: str) -> None:
        """Says a word to the node."""
        (self.account / word).touch()

    def hear(self, word: str) -> dict[str, Any]:
        """Waits for an announcement of the node's."""
        path = self.account / word
        self.wait(path.exists, f"the node to announce {word}")
        told: dict[str, Any] = json.loads(path.read_text())
        return told

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Waits until something is so, often enough to hit a moment."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited in vain for {what}")
            time.sleep(0.005)

    def uploading(self) -> bool:
        """Whether a part of a large file is on its way to B2, and its last one is not there."""
        return bool(self.b2.unfinished_large_files(f"{PREFIX}/"))

    def entries(self) -> list[dict[str, Any]]:
        """What the node says that it wrote."""
        path = self.account / "account.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextlib.contextmanager
def site(folder: Path, cell: Cell, lab: Lab | None) -> Iterator[Site]:
    """Sets a cell up in a folder, and takes it down whatever became of it."""
    with contextlib.ExitStack() as stack:
        folder.mkdir(parents=True)
        account = folder / "account"
        account.mkdir()
        size = str(PART_SIZE)
        b2 = B2Server.start(folder / "b2", options=("--part-size", size, "--min-part-size", size))
        stack.callback(b2.kill)
        full = cell.death == cells.DISK_FULL
        disk = stack.enter_context(_disk(folder / "disk", small=full))
        node = ""
        env: Mapping[str, str] = {}
        local_path = None
        toml = b2_settings(b2, PREFIX)
        toml += f'sync_every = "{SYNC_EVERY:.0f}s"\nscratch = "{disk}"\n'
        if cell.scheduler == SLURM:
            assert lab is not None
            env = lab.env
            toml += '[slurm]\ntime = "10m"\n'
            if cell.death in cells.VIOLENT:
                node = stack.enter_context(lab.node())
                low = cell.death in (cells.PREEMPTION, cells.PREEMPTION_ONCE)
                toml += f'nodelist = "{node}"\npartition = "{"low" if low else "cpu"}"\n'
            else:
                toml += f'partition = "cpu"\nexclude = "{",".join(lab.violent)}"\n'
        else:
            if full:
                local_path = disk
                toml = f'local_path = "{disk}"\n{toml}'
            toml += "[queue]\ngpus = []\n"
        project = Server.make(
            folder / "experiments", home=folder / "home", toml=toml, env={**env, **b2_key(b2)}
        )
        assert isinstance(project, Server)
        project.local_path = local_path
        stack.callback(project.kill_all)
        group = stack.enter_context(_memory_group()) if cell.death == cells.MEMORY else ""
        yield Site(cell, project, b2, account, group, node)


@contextlib.contextmanager
def _disk(folder: Path, *, small: bool) -> Iterator[Path]:
    folder.mkdir()
    if not small:
        yield folder
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield folder
    finally:
        # Lazily: what a killed process held open goes with it.
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


@contextlib.contextmanager
def _memory_group() -> Iterator[str]:
    """A control group with little memory, of either version of them."""
    unified = (CGROUPS / "cgroup.controllers").exists()
    group = (
        CGROUPS if unified else CGROUPS / "memory"
    ) / f"savethat-{os.getpid()}-{time.time_ns()}"
    group.mkdir()
    try:
        limits = ("memory.max", "memory.swap.max") if unified else ("memory.limit_in_bytes",)
        (group / limits[0]).write_text(str(MEMORY))
        for name in limits[1:]:
            with contextlib.suppress(OSError):  # a kernel that does not count swap
                (group / name).write_text("0")
        yield str(group)
    finally:
        with contextlib.suppress(OSError):  # its last process is not quite gone
            group.rmdir()


def unable() -> dict[str, str]:
    """Deaths that cannot be had on this machine, and why."""
    found = {}
    try:
        with _memory_group():
            pass
    except OSError as error:
        found[cells.MEMORY] = f"no memory control group can be made here: {error}"
    if os.geteuid() != 0:
        found[cells.DISK_FULL] = "only root may mount a small disk"
        for death in (*cells.VIOLENT, cells.RESTART):
            found[death] = "only root may kill the daemons of the tests' SLURM"
    return found
