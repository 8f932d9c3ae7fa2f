"""How long `savethat rm` takes for many runs on B2, and what it asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks import peers
from benchmarks.b2_clients import b2_environment, rclone_environment
from benchmarks.bench import Bench, timed
from benchmarks.rows import Case, Goal, Measure, Section, absent, at_most
from benchmarks.seeding import seed_runs
from benchmarks.transactions import counted, within_free
from tests.b2_fixtures import b2_key, b2_settings
from tests.b2server.client import B2Server

RUNS, FILES = 1_000, 10
OURS, RCLONE, B2 = "savethat rm", "rclone purge", "b2 rm -r --versions --threads 64"
# Turns of each: one takes ten seconds and more.
_MOST = 2
_PREFIX = "runs"
_METHOD = (
    f"{RUNS:,} finished runs of {FILES} files of 10 kB each, made anew for each turn: {FILES} "
    "versions and a mark of each are to be deleted. Whole processes, by turns; two turns of each, "
    "both of which count, since one takes many seconds. savethat's time includes the listing that "
    "selects the runs and the last look whether anything is left of them. The peers delete the "
    "same folder of the bucket, without looking again; `b2 rm` with as many threads as savethat. "
    "rclone lets 100 calls a second through whatever the latency, so it is measured once, at 40 "
    "ms. *versions left*: what the server still held in that folder."
)


def measure(bench: Bench) -> Section:
    """Measures removals."""
    server = B2Server.start(bench.folder("b2"))
    try:
        cases = (_case(bench, server, 0), _case(bench, server, 40))
    finally:
        server.stop()
    return Section("removing", "Removal", _METHOD, cases)


def _case(bench: Bench, server: B2Server, latency: int) -> Case:
    project = bench.folder(f"project-{latency}")
    toml = f'package = "nothing"\n{b2_settings(server, _PREFIX)}'
    (project / "savethat.toml").write_text(toml)
    programs, missing = _programs(bench, server, project)
    if not latency and RCLONE in programs:
        del programs[RCLONE]
        missing.append(absent(RCLONE, "as at 40 ms: it lets 100 calls a second through"))
    seconds: dict[str, list[float]] = {tool: [] for tool in programs}
    counts: dict[str, dict[str, float]] = {}
    for turn in range(min(bench.repeat, _MOST)):
        for tool, (words, env) in programs.items():
            if tool == RCLONE and turn:
                continue
            seed_runs(server, _PREFIX, RUNS, files=FILES)
            server.config(latency_ms=latency)
            server.reset_stats()
            seconds[tool].append(timed(words, cwd=project, env=env).seconds)
            server.config(latency_ms=0)
            left = len(server.files(f"{_PREFIX}/", versions=True))
            counts[tool] = {**counted(server), "versions left": left}
    ours, *others = (Measure(tool, tuple(seconds[tool]), counts[tool]) for tool in programs)
    return Case(
        f"rm of {RUNS:,} runs of {FILES} files, {latency} ms",
        "s",
        ours,
        (*others, *missing),
        _goals(ours, others),
    )


def _goals(ours: Measure, others: Sequence[Measure]) -> tuple[Goal, ...]:
    fastest = min((other.median for other in others), default=math.inf)
    left = ours.counts["versions left"]
    return (
        at_most("at least as fast as each peer", ours.median / fastest, 1, "x"),
        within_free("class C", ours.counts["class C"]),
        Goal("nothing is left", f"{left:.0f} versions", not left),
    )


def _programs(
    bench: Bench, server: B2Server, project: Path
) -> tuple[dict[str, tuple[list[str | Path], dict[str, str]]], list[Measure]]:
    """Each tool's command and its environment, savethat's first; and those that are missing."""
    words: list[str | Path] = [bench.savethat / "savethat", "rm", "--force", "--user", "all"]
    programs = {OURS: ([*words, "--completed"], b2_key(server))}
    missing = []
    try:
        words = [peers.rclone(), "purge", f":b2:{server.bucket}/{_PREFIX}"]
        programs[RCLONE] = words, rclone_environment(server, project)
    except RuntimeError as error:
        missing.append(absent(RCLONE, error))
    try:
        words = [peers.b2(bench.peers), *B2.split()[1:]]
        words += ["--no-progress", f"b2://{server.bucket}/{_PREFIX}"]
        programs[B2] = words, b2_environment(server, project)
    except RuntimeError as error:
        missing.append(absent(B2, error))
    return programs, missing
