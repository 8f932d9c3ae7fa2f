from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import savethat
from savethat import logger


@dataclasses.dataclass(frozen=True)
class AddArgs:
    a: float  # the first number
    b: float = 1.0  # the second number


class Add(savethat.Node[AddArgs, dict[str, float]]):
    """Adds two numbers.

    It also writes files with names that are hard to store.
    """

    def _run(self) -> dict[str, float]:
        logger.info("adding {} and {}", self.args.a, self.args.b)
        print("printed to stdout")
        print("printed to stderr", file=sys.stderr)
        folder = self.output_dir / "deep" / "er"
        folder.mkdir(parents=True)
        (folder / "a file #1 100% ünï+code.txt").write_text("hello")
        (self.output_dir / "log.csv").write_text("step,loss\n1,0.5\n")
        return {"sum": self.args.a + self.args.b}


@dataclasses.dataclass(frozen=True)
class NoArgs:
    pass


@dataclasses.dataclass(frozen=True)
class EndArgs:
    how: str  # raise, exit, segfault, kill, sysexit, unpicklable, grandchild


class End(savethat.Node[EndArgs, object]):
    def _run(self) -> object:
        (self.output_dir / "before.txt").write_text("written before the end")
        print("about to end", flush=True)
        how = self.args.how
        if how == "raise":
            raise ValueError("this went wrong")
        if how == "exit":
            os._exit(3)
        if how == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "sysexit":
            sys.exit(4)
        if how == "unpicklable":
            return lambda: None
        if how == "grandchild":
            subprocess.Popen(["sleep", "1000"])
        return None


@dataclasses.dataclass(frozen=True)
class SleepArgs:
    seconds: float
    flag: str = ""  # a file to make once it runs


class Sleep(savethat.Node[SleepArgs, None]):
    """Sleeps, and cleans up when it is interrupted."""

    def _run(self) -> None:
        (self.output_dir / "begun.txt").write_text("begun")
        if self.args.flag:
            Path(self.args.flag).touch()
        try:
            time.sleep(self.args.seconds)
        finally:
            (self.output_dir / "cleaned.txt").write_text("finally ran")


class Warned(savethat.Node[SleepArgs, str]):
    """Stops by itself when the scheduler is about to end it."""

    stopped = False

    def checkpoint(self) -> None:
        (self.output_dir / "checkpoint.txt").write_text("saved")

    def _run(self) -> str:
        end = time.monotonic() + self.args.seconds
        while time.monotonic() < end and not self.should_stop:
            time.sleep(0.05)
        return f"stopped early: {self.should_stop}, limit: {self.time_left() < 1e9}"


@dataclasses.dataclass(frozen=True)
class FetchArgs:
    dataset: str  # key of the data in storage


class Fetch(savethat.Node[FetchArgs, int]):
    """Reads a data set from storage."""

    def _run(self) -> int:
        path = self.storage.download(self.args.dataset)
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


@dataclasses.dataclass(frozen=True)
class TryArgs:
    fails: int = 1  # how many attempts fail


class Try(savethat.Node[TryArgs, int]):
    """Fails at first; each attempt leaves a file of its own."""

    def _run(self) -> int:
        (self.output_dir / f"attempt-{self.attempt}.txt").write_text("here")
        print(f"trying for the {self.attempt}. time")
        if self.attempt <= self.args.fails:
            raise RuntimeError(f"attempt {self.attempt} fails")
        return len(list(self.output_dir.glob("attempt-*.txt")))


class TryOn(Try):
    """The same, and goes on with what it wrote."""

    resumable = True


@dataclasses.dataclass(frozen=True)
class TalkArgs:
    until: str  # a file at whose sight it ends


class Talk(savethat.Node[TalkArgs, None]):
    """Says something again and again."""

    def _run(self) -> None:
        number = 0
        while not Path(self.args.until).exists():
            number += 1
            print(f"line {number}", flush=True)
            time.sleep(0.1)
        print("the last line")


@dataclasses.dataclass(frozen=True)
class OnGpuArgs:
    number: int
    places: str  # a folder where it notes which GPUs it has while it runs
    seconds: float = 0.3


class OnGpu(savethat.Node[OnGpuArgs, str]):
    """Fails if any of its GPUs is another run's, too."""

    def _run(self) -> str:
        visible = os.environ["CUDA_VISIBLE_DEVICES"]
        notes = [Path(self.args.places) / f"gpu-{gpu}" for gpu in visible.split(",")]
        for note in notes:
            note.touch(exist_ok=False)
        time.sleep(self.args.seconds)
        for note in notes:
            note.unlink()
        return visible


@dataclasses.dataclass(frozen=True)
class TellArgs:
    number: int = 0


class Tell(savethat.Node[TellArgs, dict[str, object]]):
    """Tells of its environment."""

    def _run(self) -> dict[str, object]:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        return {
            "flavour": os.environ.get("FLAVOUR", ""),
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", "unset"),
            "cores": cores,
            "cwd": str(Path.cwd()),
            "key": "B2_APPLICATION_KEY" in os.environ,
        }


@dataclasses.dataclass(frozen=True)
class DoubleArgs:
    number: int


class Double(savethat.Node[DoubleArgs, int]):
    """Does next to nothing."""

    def _run(self) -> int:
        return 2 * self.args.number


VERSION = "as committed"


class Versioned(savethat.Node[TalkArgs, dict[str, object]]):
    """Tells which code it is, once it may end."""

    def _run(self) -> dict[str, object]:
        (self.output_dir / "begun.txt").write_text(VERSION)
        while not Path(self.args.until).exists():
            time.sleep(0.05)
        from . import late

        return {
            "version": VERSION,
            "late": late.VERSION,
            "attempt": self.attempt,
            "inode": Path(__file__).stat().st_ino,
            "project": str(savethat.project_dir()),
        }
