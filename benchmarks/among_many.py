"""What savethat asks for one node's runs, or for one run, among many; and what memory many take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.bench import Bench, in_turns, timed
from benchmarks.rows import Case, Measure, at_most
from benchmarks.transactions import calls_in
from tests.b2server.client import B2Server

NODES = ("FitOLS", *(f"Fit{number}" for number in range(1, 10)))
# What a class C transaction pays for, in names.
_BILLED = 1_000
_COMMANDS = ("show", "logs", "download")
# Runs a program, and says how many kB it had at most.
_WAIT = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
# The most that the memory of ten times as many runs may be.
_FLAT = 1.25


def add_files(run: str, prefix: str, server: B2Server) -> None:
    """Gives a run that was seeded a log and a result."""
    names = [f"{prefix}/{run}/{name}" for name in ("output.log", "output.jsonl", "results.json")]
    server.seed_files([(name, {}) for name in sorted(names)], 100)


def node_case(
    bench: Bench,
    project: Path,
    env: Mapping[str, str],
    runs: int,
    repeat: int,
    count: Callable[[], dict[str, float]],
) -> Case:
    """`ls --node` of one of ten nodes, beside the whole listing."""
    counts: dict[str, dict[str, float]] = {}

    def listed(*words: str) -> float:
        seconds = timed([bench.savethat / "savethat", "ls", *words], cwd=project, env=env).seconds
        counts[" ".join(words)] = count()
        return seconds

    tools = {
        "savethat ls --node FitOLS": lambda: listed("--node", NODES[0]),
        "savethat ls": listed,
    }
    values = in_turns(tools, repeat)
    ours, whole = (
        Measure(tool, values[tool], found)
        for tool, found in zip(tools, (counts[f"--node {NODES[0]}"], counts[""]), strict=True)
    )
    # One more, for the launch records of the node.
    limit = -(-runs // len(NODES) // _BILLED) + 1
    goal = at_most(
        f"names of FitOLS only: at most {limit} class C transactions",
        ours.counts["class C"],
        limit,
    )
    return Case(
        f"ls --node FitOLS, one of ten nodes of {runs:,} runs", "s", ours, (whole,), (goal,)
    )


def calls_for_one(
    bench: Bench, project: Path, env: Mapping[str, str], key: str, server: B2Server
) -> dict[str, float]:
    """How many calls `show`, `logs` and `download` of one run make."""
    counts = {}
    for command in _COMMANDS:
        server.reset_stats()
        timed([bench.savethat / "savethat", command, key], cwd=project, env=env)
        counts[command] = calls_in(server.settled())["calls"]
    return counts


def one_run_cases(found: Mapping[int, Mapping[str, float]]) -> list[Case]:
    """Those calls, by how many runs there are: each as many among many as among few."""
    few, *_, many = sorted(found)
    return [
        Case(
            f"{command} of one run by its key",
            "calls",
            Measure(f"savethat, {many:,} runs", (found[many][command],)),
            (Measure(f"savethat, {few:,} runs", (found[few][command],)),),
            (
                at_most(
                    "as many calls as among few runs", found[many][command], found[few][command]
                ),
            ),
        )
        for command in _COMMANDS
    ]


def memory_case(
    bench: Bench, few: Path, many: Path, env: Mapping[str, str], sizes: tuple[int, int]
) -> Case:
    """The memory of `ls --json`, of few runs and of ten times as many."""
    command: list[str | Path] = [bench.savethat / "savethat", "ls", "--json"]
    measures = [
        Measure(f"savethat ls --json, {size:,} runs", (_peak(bench, command, folder, env),))
        for size, folder in zip(sizes, (few, many), strict=True)
    ]
    before, after = measures
    goal = at_most(
        f"ten times the runs, at most {_FLAT} x the memory",
        after.median / before.median,
        _FLAT,
        "x",
    )
    return Case("memory of ls --json", "MB", after, (before,), (goal,))


def _peak(bench: Bench, command: Sequence[str | Path], cwd: Path, env: Mapping[str, str]) -> float:
    """The most memory that a program had at a time, in MB."""
    # A process counts what it had before it became the program: this one is large.
    waiting = [bench.savethat / "python", "-c", _WAIT, *command]
    return int(timed(waiting, cwd=cwd, env=env).stdout) / 1024
