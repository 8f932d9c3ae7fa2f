"""How long `savethat ls` takes, with many runs on B2, and what it asks for."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import among_many, peers
from benchmarks.b2_clients import b2_environment, rclone_environment
from benchmarks.bench import Bench, in_turns, timed
from benchmarks.rows import Case, Goal, Measure, Section, absent, at_most
from benchmarks.seeding import seed_runs
from benchmarks.transactions import calls_in
from tests.b2_fixtures import b2_key, b2_settings
from tests.b2server.client import B2Server

SIZES = (1_000, 10_000, 100_000)
LATENCIES = (0, 40)
PAGE = 10_000
COLD, WARM = "savethat ls, cold", "savethat ls, warm"
# Seconds, at 10,000 runs and 40 ms.
_LIMITS = {COLD: 1.5, WARM: 0.4}
_METHOD = (
    "Finished runs of ten nodes, each a mark in the index with what `ls` prints of it. Whole "
    "processes, their table in a pipe. *cold*: with an empty cache folder, so that it authorizes "
    "and looks up the bucket; *warm*: after another `ls`. The peers list the names of the same "
    "folder of the bucket: `rclone lsf -R` and `b2 ls -r`, without what is in the marks. At "
    "100,000 runs each is measured three times at most. Calls and memory do not vary, and are "
    "measured once."
)


def measure(bench: Bench) -> Section:
    """Measures listings."""
    server = B2Server.start(bench.folder("b2"))
    try:
        cases: list[Case] = []
        calls: dict[int, dict[str, float]] = {}
        for size in SIZES:
            prefix = f"runs-{size}"
            keys = seed_runs(server, prefix, size, among_many.NODES)
            project = bench.folder(prefix)
            (project / "savethat.toml").write_text(
                f'package = "nothing"\n{b2_settings(server, prefix)}'
            )
            cases += _of_size(bench, server, project, prefix, size)
            one = keys[size // 2]
            among_many.add_files(one, prefix, server)
            calls[size] = among_many.calls_for_one(bench, project, b2_key(server), one, server)
        cases += among_many.one_run_cases(calls)
        few, many = (bench.work / f"runs-{size}" for size in SIZES[-2:])
        cases.append(among_many.memory_case(bench, few, many, b2_key(server), SIZES[-2:]))
    finally:
        server.stop()
    return Section("listing", "Listing", _METHOD, tuple(cases))


def _of_size(bench: Bench, server: B2Server, project: Path, prefix: str, size: int) -> list[Case]:
    repeat = min(bench.repeat, 3) if size > PAGE else bench.repeat
    cases = []
    for latency in LATENCIES:
        server.config(latency_ms=latency)
        cases.append(_case(bench, server, project, prefix, size, latency, repeat))
    server.config(latency_ms=0)
    if size > PAGE:
        count = functools.partial(_counted_anew, server)
        server.reset_stats()
        cases.append(among_many.node_case(bench, project, b2_key(server), size, repeat, count))
    return cases


def _case(
    bench: Bench,
    server: B2Server,
    project: Path,
    prefix: str,
    size: int,
    latency: int,
    repeat: int,
) -> Case:
    key = b2_key(server)
    counts: dict[str, dict[str, float]] = {}

    def run(tool: str, command: list[str | Path], env: dict[str, str]) -> float:
        server.reset_stats()
        seconds = timed(command, cwd=project, env=env).seconds
        counts[tool] = _counted(server)
        return seconds

    def cold() -> float:
        caches = project / f"cache-{time.monotonic_ns()}"
        command: list[str | Path] = [bench.savethat / "savethat", "ls"]
        return run(COLD, command, {**key, "XDG_CACHE_HOME": str(caches)})

    tools: dict[str, Callable[[], float]] = {
        COLD: cold,
        WARM: lambda: run(WARM, [bench.savethat / "savethat", "ls"], key),
    }
    folder = f"{server.bucket}/{prefix}/.savethat/index"
    missing = []
    try:
        words: list[str | Path] = [peers.rclone(), "lsf", "-R", f":b2:{folder}"]
        env = rclone_environment(server, project)
        tools["rclone lsf -R"] = functools.partial(run, "rclone lsf -R", words, env)
    except RuntimeError as error:
        missing.append(absent("rclone lsf -R", error))
    try:
        words = [peers.b2(bench.peers), "ls", "-r", f"b2://{folder}"]
        env = b2_environment(server, project)
        tools["b2 ls -r"] = functools.partial(run, "b2 ls -r", words, env)
    except RuntimeError as error:
        missing.append(absent("b2 ls -r", error))
    values = in_turns(tools, repeat)
    ours, *others = (Measure(tool, values[tool], counts[tool]) for tool in tools)
    warm = others[0]
    calls = ours.counts["list calls"]
    goals: list[Goal] = [at_most(f"{-(-size // PAGE)} list calls cold", calls, -(-size // PAGE))]
    if (size, latency) == (PAGE, 40):
        for one in (ours, warm):
            limit = _LIMITS[one.tool]
            goals.append(at_most(f"{one.tool}: under {limit} s", one.median, limit, "s"))
    title = f"ls of {size:,} runs, {latency} ms"
    return Case(title, "s", ours, (*others, *missing), tuple(goals))


def _counted_anew(server: B2Server) -> dict[str, float]:
    """What was counted since the last time."""
    counted = _counted(server)
    server.reset_stats()
    return counted


def _counted(server: B2Server) -> dict[str, float]:
    """List calls and class C transactions."""
    stats = server.settled()
    return {"list calls": calls_in(stats)["list calls"], "class C": stats["transactions"]["C"]}
