"""What it takes to carry out again: files that are there already, and a log that grows."""

from __future__ import annotations

import contextlib
import functools
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.carriers import SAVETHAT, Carrier, Counts, Worker, counted
from benchmarks.rows import Case, Measure, at_most
from tests.b2_fixtures import remote_at
from tests.b2server.client import B2Server

FILES, SIZE = 1_000, 10_000
STEPS, STEP = 25, 4_000_000


def counted_cases(
    server: B2Server, work: Path, tools: Mapping[str, Carrier], missing: tuple[Measure, ...]
) -> Iterator[Case]:
    """The cases.

    Args:
        server: where to.
        work: a folder for the files.
        tools: by name; savethat is the first.
        missing: those that could not be installed.
    """
    folder = work / "again"
    folder.mkdir()
    for number in range(FILES):
        _grow(folder / f"{number:04d}.bin", SIZE, number)
    one = functools.partial(_grow, folder / "0500.bin", SIZE, FILES)
    found = {
        name: _costs(server, tool, folder, [_nothing, one])[1:] for name, tool in tools.items()
    }
    for index, (what, limit) in enumerate((("nothing", 0), ("one file", 2))):
        ours, *others = (
            Measure(name, (costs[index]["calls"],), _others(costs[index], "calls"))
            for name, costs in found.items()
        )
        goal = at_most(f"at most {limit} calls" if limit else "no call", ours.median, limit)
        title = f"carry-out of {FILES:,} files again, {what} changed"
        yield Case(title, "calls", ours, (*others, *missing), (goal,))
    measures = []
    for name, tool in tools.items():
        folder = work / "growing"
        folder.mkdir()
        grow = functools.partial(_grow, folder / "output.log", STEP)
        grow(0)
        steps = [functools.partial(grow, number) for number in range(1, STEPS)]
        costs = _costs(server, tool, folder, steps)
        total = {what: sum(cost[what] for cost in costs) for what in costs[0]}
        measures.append(Measure(name, (total["MB"],), _others(total, "MB")))
        shutil.rmtree(folder)
        remote_at(server, "").delete_prefix("growing-")
    ours, *others = measures
    size = STEPS * STEP / 1e6
    goal = at_most("at most 1.2 x its size", ours.median / size, 1.2, "x")
    title = f"a log that grows to {size:.0f} MB in {STEPS} steps"
    yield Case(title, "MB", ours, (*others, *missing), (goal,))


def _costs(
    server: B2Server, tool: Carrier, folder: Path, changes: Sequence[Callable[[], None]]
) -> list[Counts]:
    """What it takes to carry out a folder, and again after each change."""
    prefix = f"{folder.name}-{tool.name.replace(' ', '-')}"
    costs = []
    with contextlib.ExitStack() as stack:
        server.reset_stats()
        carry: Callable[[], object] = functools.partial(tool.send, folder, prefix)
        if tool.name == SAVETHAT:
            carry = stack.enter_context(Worker(tool, folder, prefix)).carry
        for change in (_nothing, *changes):
            change()
            carry()
            costs.append(counted(server))
            server.reset_stats()
    return costs


def _nothing() -> None:
    """Changes nothing."""


def _others(counts: Counts, value: str) -> Counts:
    return {what: count for what, count in counts.items() if what != value}


def _grow(path: Path, size: int, seed: int) -> None:
    with path.open("ab") as file:
        file.write(random.Random(seed).randbytes(size))
