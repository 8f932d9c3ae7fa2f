"""Nodes that end in other ways than by themselves, and leave things behind."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import savethat


@dataclasses.dataclass(frozen=True)
class LeaveArgs:
    pids: str  # the file that gets the ids of the processes left behind
    seconds: float = 0.0  # how long to go on afterwards


class Leave(savethat.Node[LeaveArgs, None]):
    """Leaves a process in a session of its own, and one whose parent has ended."""

    def _run(self) -> None:
        sleeper = [sys.executable, "-c", "import time; time.sleep(300)"]
        alone = subprocess.Popen(sleeper, start_new_session=True)
        orphan = subprocess.run(
            ["/bin/sh", "-c", '"$@" >/dev/null & echo $!', "sh", *sleeper],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
            check=True,
        )
        aside = Path(self.args.pids + ".part")
        aside.write_text(f"{alone.pid} {orphan.stdout}")
        aside.replace(self.args.pids)
        time.sleep(self.args.seconds)


@dataclasses.dataclass(frozen=True)
class SaveArgs:
    flag: str  # a file that is made when the checkpoint begins
    seconds: float = 1.0  # how long the checkpoint takes


class Save(savethat.Node[SaveArgs, str]):
    """Takes its time to save."""

    def checkpoint(self) -> None:
        Path(self.args.flag).touch()
        time.sleep(self.args.seconds)
        with (self.output_dir / "saved.txt").open("a") as file:
            file.write(f"attempt {self.attempt}\n")

    def _run(self) -> str:
        print("running", flush=True)
        (self.output_dir / "running.txt").touch()
        time.sleep(300)
        return "never"


@dataclasses.dataclass(frozen=True)
class HeavyArgs:
    megabytes: int
    flag: str  # a file that is made when all is written


class Heavy(savethat.Node[HeavyArgs, None]):
    """Writes more than can be sent in a moment, and waits."""

    def _run(self) -> None:
        (self.output_dir / "small.txt").write_text("small")
        (self.output_dir / "large.bin").write_bytes(os.urandom(self.args.megabytes * 1_000_000))
        Path(self.args.flag).touch()
        time.sleep(300)


class Large(savethat.Node[HeavyArgs, int]):
    """Writes a file, and is done."""

    def _run(self) -> int:
        (self.output_dir / "large.bin").write_bytes(os.urandom(self.args.megabytes * 1_000_000))
        return self.args.megabytes
