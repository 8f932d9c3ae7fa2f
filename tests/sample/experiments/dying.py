"""A node that dies on request, at a moment it announces, and keeps account of what it wrote."""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import savethat
from savethat import logger

PATIENCE = 300.0
PAUSE = 0.02
BIG = 6_000_000


@dataclasses.dataclass(frozen=True)
class DyingArgs:
    death: str  # what it does to itself; any it does not know is left to whoever watches
    moment: str  # when: before, running, carry-out, pickling, finishing
    account: str  # folder of its account and of its announcements, outside the run's
    settle: float = 0.0  # seconds between the first files and the next ones
    group: str = ""  # memory control group to run out of memory in


class Dying(savethat.Node[DyingArgs, Any]):
    """Writes files, then dies as it is told."""

    def setup(self) -> None:
        self.reach("before")

    def _run(self) -> Any:
        if self.attempt > 1:
            self.write("second.txt", b"written by the second attempt\n")
            return {"attempt": self.attempt}
        self.write("small.txt", b"small\n")
        self.write("deep/er/tiny.txt", b"tiny\n")
        self.write("log.csv", b"step,loss\n")
        self.write("model.ckpt", b"first state" * 1000, atomic=True)
        logger.info("the first files are written")
        time.sleep(self.args.settle)
        self.announce("settled")
        if self.args.moment in ("carry-out", "finishing"):
            self.await_word("go")
        self.write("big.bin", os.urandom(BIG))
        self.write("model.ckpt", b"second state" * 1000, atomic=True)
        logger.info("all files are written")
        self.reach("running")
        self.reach("carry-out")
        return Result(self) if self.args.moment == "pickling" else {"attempt": self.attempt}

    def write(self, name: str, content: bytes, *, atomic: bool = False, add: bool = False) -> None:
        """Writes a file; its state is in the account before it is there, and again once it is."""
        path = self.output_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        state = (path.read_bytes() if add else b"") + content
        entry = {
            "name": name,
            "size": len(state),
            "sha1": hashlib.sha1(state).hexdigest(),
            "at": time.time(),
        }
        self.note("begun", entry)
        if atomic:
            part = path.with_name(path.name + ".part")
            part.write_bytes(content)
            part.replace(path)
        else:
            with path.open("ab" if add else "wb", buffering=0) as file:
                file.write(content)
        self.note("done", entry)

    def note(self, what: str, entry: dict[str, Any]) -> None:
        """Adds a line to the account."""
        with (Path(self.args.account) / "account.jsonl").open("a") as file:
            file.write(json.dumps({"what": what, **entry}) + "\n")

    def announce(self, word: str) -> None:
        """Tells who watches where the node is, and which processes carry it out."""
        told = {"child": os.getpid(), "supervisor": os.getppid(), "folder": str(self.output_dir)}
        part = Path(self.args.account) / f"{word}.part"
        part.write_text(json.dumps(told))
        part.replace(part.with_suffix(""))

    def await_word(self, word: str) -> None:
        """Waits until who watches has said something."""
        end = time.monotonic() + PATIENCE
        while not (Path(self.args.account) / word).exists():
            if time.monotonic() > end:
                raise TimeoutError(f"nobody said {word}")
            time.sleep(PAUSE)

    def reach(self, moment: str) -> None:
        """Dies here, if this is the moment; else it goes on."""
        if moment != self.args.moment or self.attempt > 1:
            return
        self.announce("moment")
        if moment == "running":
            self.grow()
        self.await_word("strike")
        death = _DEATHS.get(self.args.death)
        if death is not None:
            death(self)

    def grow(self) -> None:
        """Adds to a growing file until it is time."""
        end = time.monotonic() + PATIENCE
        while not (Path(self.args.account) / "strike").exists() and time.monotonic() < end:
            self.write("log.csv", b"1,0.5\n", add=True)
            time.sleep(10 * PAUSE)


class DyingOn(Dying):
    """The same, and goes on with what it wrote."""

    def checkpoint(self) -> None:
        self.write("model.ckpt", b"last state" * 1000, atomic=True)


class Result:
    """A result that is not there before its node has died."""

    def __init__(self, node: Dying) -> None:
        self.node = node

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[()]]:
        self.node.reach("pickling")
        return dict, ()


def _raise(_node: Dying) -> None:
    raise ValueError("struck")


def _exit(_node: Dying) -> None:
    os._exit(3)


def _segfault(_node: Dying) -> None:
    ctypes.string_at(0)


def _exhaust_memory(node: Dying) -> None:
    (Path(node.args.group) / "cgroup.procs").write_text(str(os.getpid()))
    held = []
    while True:
        held.append(b"x" * 1_000_000)


def _fill_disk(node: Dying) -> None:
    with (node.output_dir / "filler.bin").open("wb", buffering=0) as file:
        # As a buffered write does: what fits goes in, what does not fit is an error.
        for size in (65_536, 512, 1):
            while file.write(b"x" * size) == size:
                pass


_DEATHS = {
    "exception": _raise,
    "exit": _exit,
    "segfault": _segfault,
    "memory": _exhaust_memory,
    "disk": _fill_disk,
}


@dataclasses.dataclass(frozen=True)
class ShortArgs:
    number: int  # of ten, one raises an exception and one ends its process


class Short(savethat.Node[ShortArgs, int]):
    """Writes three small files, and ends as its number says."""

    def _run(self) -> int:
        number = self.args.number
        for name, content in short_files(number).items():
            (self.output_dir / name).parent.mkdir(exist_ok=True)
            (self.output_dir / name).write_bytes(content)
        if number % 10 == 3:
            raise ValueError(f"{number} fails")
        if number % 10 == 7:
            os._exit(3)
        return 2 * number


def short_files(number: int) -> dict[str, bytes]:
    """What the run of a number writes."""
    return {
        "small.txt": f"run {number}\n".encode(),
        "deep/log.csv": b"step,loss\n" + f"{number},0.5\n".encode() * 50,
        "model.bin": hashlib.sha512(str(number).encode()).digest() * 500,
    }
