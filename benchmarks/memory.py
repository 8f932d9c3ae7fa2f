"""The memory that a run's supervisor holds while its node waits."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.reaper import reaped
from benchmarks.rows import Case, Measure, at_most

# Seconds that supervisors are looked at, which carry out what is new every second.
HELD = 3.0
_LIMIT = 40.0
_BETWEEN = 0.1
_PATIENCE = 60.0
_WAYS: Mapping[str, Sequence[str]] = {
    "in the foreground": (),
    "on the queue": ("--detach", "--max-parallel", "1"),
}
NODE = '''"""A node that says which process it is in, and ends when a file is there."""

import dataclasses
import os
import time
from pathlib import Path

import savethat


@dataclasses.dataclass(frozen=True)
class HeldArgs:
    begun: Path  # written when it begins: the process's id
    end: Path  # waited for


class Held(savethat.Node[HeldArgs, int]):
    """Waits for a file, and says so."""

    def _run(self) -> int:
        aside = self.args.begun.with_suffix(".part")
        aside.write_text(str(os.getpid()))
        aside.rename(self.args.begun)
        while not self.args.end.exists():
            print("waiting")
            time.sleep(0.2)
        return 0
'''


def cases(bench: Bench, projects: Mapping[str, Path], env: Mapping[str, str]) -> Iterator[Case]:
    """Measures supervisors in the foreground and on the queue, all at the same time.

    Args:
        bench: the call.
        projects: by where they keep their runs; each has `NODE` as a module.
        env: added to the environment of the runs.
    """
    env = {**os.environ, **env, "SAVETHAT_SYNC_EVERY": "1s"}
    found: dict[str, list[float]] = {}
    for _ in range(bench.repeat):
        with contextlib.ExitStack() as stack:
            supervisors = {
                f"{way}, {store}": stack.enter_context(
                    _supervised([str(bench.savethat / "savethat"), "run", *options], project, env)
                )
                for way, options in _WAYS.items()
                for store, project in projects.items()
            }
            for name, most in _watched(supervisors).items():
                found.setdefault(name, []).append(most)
    for name, values in found.items():
        ours = Measure("savethat", tuple(values))
        goal = at_most(f"under {_LIMIT:.0f} MB", ours.median, _LIMIT, "MB")
        yield Case(f"memory of the supervisor, {name}", "MB", ours, (), (goal,))


def resident(process: int) -> float:
    """What a process holds of the machine's memory, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["VmRSS"].split()[0]) * 1024 / 1e6


def parent(process: int) -> int:
    """Who started a process."""
    # The name, in parentheses, may have any character.
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def _watched(processes: Mapping[str, int]) -> dict[str, float]:
    """The most that each process holds within the time."""
    most = dict.fromkeys(processes, 0.0)
    by = time.monotonic() + HELD
    while time.monotonic() < by:
        for name, process in processes.items():
            most[name] = max(most[name], resident(process))
        time.sleep(_BETWEEN)
    return most


@contextlib.contextmanager
def _supervised(command: list[str], project: Path, env: Mapping[str, str]) -> Iterator[int]:
    """The supervisor of a run whose node waits until the block is left; then all have ended."""
    folder = project / f"held-{time.monotonic_ns()}"
    folder.mkdir()
    begun, end = folder / "begun", folder / "end"
    process = subprocess.Popen(
        reaped([*command, "Held", "--begun", str(begun), "--end", str(end)]),
        cwd=project,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        by = time.monotonic() + _PATIENCE
        while not begun.exists():
            if time.monotonic() > by:
                raise RuntimeError(f"{' '.join(command)}: its node does not begin")
            time.sleep(_BETWEEN)
        yield parent(int(begun.read_text()))
    finally:
        end.touch()
        process.wait()
