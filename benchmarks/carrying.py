"""Carry-out of a run's files to B2, and their download, beside the tools made for it."""

from __future__ import annotations

import functools
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.bench import Bench, in_turns
from benchmarks.carriers import INCREMENTAL, RCLONE, SAVETHAT, Carrier, Counts, carriers, counted
from benchmarks.recarrying import counted_cases
from benchmarks.rows import Case, Goal, Measure, Section, at_most
from benchmarks.seeding import seed_runs
from tests.b2_fixtures import b2_settings, remote_at
from tests.b2server.client import B2Server

LATENCIES = (0, 40)
KB, MB = 1_000, 1_000_000
# Mbit/s.
LINK = 1_000
_METHOD = (
    "Whole processes; savethat's sends a folder with the code that a run's worker sends it with, "
    "and fetches with `savethat download`. Each turn has a new folder of the bucket, or one to "
    "fetch to. What a tool keeps of its authorization it has from the turn before. rclone makes "
    "at most a hundred calls a second, so small files are 200 for it. Large files go over a link "
    f"of {LINK:,} Mbit/s each way, measured three times at most, the first included. What is done "
    "again is counted, once: savethat's worker remembers what it has sent, the others look. MB are "
    "those of all requests' bodies."
)


def measure(bench: Bench) -> Section:
    """Measures carry-out and download."""
    server = B2Server.start(bench.folder("b2"))
    try:
        cases = list(_cases(bench, server))
    finally:
        server.stop()
    return Section("carrying", "Carry-out and download", _METHOD, tuple(cases))


def _cases(bench: Bench, server: B2Server) -> Iterator[Case]:
    work = bench.folder("work")
    every, missing = carriers(bench, server, work)
    tools = {name: tool for name, tool in every.items() if name != INCREMENTAL}
    swift = {name: tool for name, tool in tools.items() if name != RCLONE}
    slow = {name: tool for name, tool in tools.items() if name in (SAVETHAT, RCLONE)}
    for name, several, count in (("small", swift, 1_000), ("slow", slow, 200)):
        yield from _Moves(server, work, name, several, missing, count, 10 * KB).cases(bench.repeat)
    large = _Moves(server, work, "large", tools, missing, 10, 50 * MB, LINK)
    yield from large.cases(min(bench.repeat, 3))
    server.config(latency_ms=0, bandwidth_mbps=0)
    yield from counted_cases(server, work, every, missing)


class _Moves:
    """Files of one size, sent and fetched.

    Args:
        server: where to.
        work: a folder for them, which has the savethat.toml of `savethat download`.
        name: of what there is here.
        tools: by name; savethat is the first.
        missing: those that could not be installed.
        count: how many files.
        size: of each, bytes.
        link: Mbit/s of the link; 0 for one that has no limit.
    """

    def __init__(
        self,
        server: B2Server,
        work: Path,
        name: str,
        tools: dict[str, Carrier],
        missing: tuple[Measure, ...],
        count: int,
        size: int,
        link: int = 0,
    ) -> None:
        self._server, self._tools, self._missing, self._link = server, tools, missing, link
        self._name, self._turns = name, 0
        self._what = f"{count:,} files of {size // MB} MB"
        if size < MB:
            self._what = f"{count:,} files of {size // KB} KB"
        # At the link's speed, seconds.
        self._least = count * size * 8 / (link * 1e6) if link else 0.0
        self._folder, self._target = work / name, work / "fetched"
        self._folder.mkdir()
        for number in range(count):
            content = random.Random(number).randbytes(size)
            (self._folder / f"{number:04d}.bin").write_bytes(content)
        (self._key,) = seed_runs(server, name, 1)
        stored = [f"{name}/{self._key}/{path.name}" for path in sorted(self._folder.iterdir())]
        server.seed_files([(each, {}) for each in stored], size)
        local = f'package = "nothing"\nlocal_path = "{self._target}"\n'
        (work / "savethat.toml").write_text(local + b2_settings(server, name))

    def cases(self, repeat: int) -> Iterator[Case]:
        """There and back, at each latency; over a link, at the greater one."""
        latencies = LATENCIES[-1:] if self._link else LATENCIES
        for latency in latencies:
            self._server.config(latency_ms=latency, bandwidth_mbps=self._link)
            title = f"carry-out of {self._what}, {latency} ms"
            yield self._case(title, self._send, repeat, 0 if self._link else 3)
        for latency in latencies:
            self._server.config(latency_ms=latency, bandwidth_mbps=self._link)
            yield self._case(f"download of {self._what}, {latency} ms", self._fetch, repeat, 1)
        shutil.rmtree(self._folder)

    def _case(self, title: str, move: Callable[[Carrier], float], repeat: int, times: int) -> Case:
        """Moves them in turns.

        Args:
            title: the case's.
            move: does it, and says how long it took.
            repeat: how often.
            times: how many times as fast as each peer savethat is to be; 0: as fast as the link.
        """
        counts: dict[str, Counts] = {}

        def moved(name: str) -> float:
            self._server.reset_stats()
            seconds = move(self._tools[name])
            counts[name] = counted(self._server)
            if self._link:  # else they would fill the disk
                remote_at(self._server, "").delete_prefix(f"{self._name}-")
            return seconds

        turns = {name: functools.partial(moved, name) for name in self._tools}
        values = in_turns(turns, repeat, warm_up=not self._link)
        ours, *others = (Measure(name, values[name], counts[name]) for name in self._tools)
        goals = [_as_fast(ours, other, times) for other in others if times]
        if not times:
            text = f"at most 1.2 x the link's {self._least:.1f} s"
            goals.append(at_most(text, ours.median / self._least, 1.2, "x"))
        return Case(title, "s", ours, (*others, *self._missing), tuple(goals))

    def _send(self, tool: Carrier) -> float:
        self._turns += 1
        return tool.send(self._folder, f"{self._name}-{self._turns}")

    def _fetch(self, tool: Carrier) -> float:
        shutil.rmtree(self._target, ignore_errors=True)
        self._target.mkdir()
        return tool.fetch(f"{self._name}/{self._key}", self._target / self._key)


def _as_fast(ours: Measure, other: Measure, times: int) -> Goal:
    found = other.median / ours.median
    text = f"at least {times} x as fast as {other.tool}"
    if times == 1:
        text = f"at least as fast as {other.tool}"
    return Goal(text, f"{found:.3g} x", found >= times)
