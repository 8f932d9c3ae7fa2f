"""What commands cost among a million runs on B2."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import peers
from benchmarks.b2_clients import rclone_environment
from benchmarks.bench import Bench, in_turns
from benchmarks.rows import Case, Goal, Measure, Section, absent, at_most
from benchmarks.seeding import seed_sweeps
from benchmarks.transactions import calls_in
from savethat.launchers.foreground import login_name
from tests.b2_fixtures import b2_key, b2_settings
from tests.b2server.client import B2Server

FEW, MANY = 1_000, 1_000_000
PAGE = 10_000
NODES = tuple(f"Node{number}" for number in range(10))
# What is removed at a time, and the files of each run.
REMOVED, FILES = 10, 10

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
_METHOD = (
    f"{MANY:,} finished runs, a sweep of each of {len(NODES)} nodes, at 0 ms; whole processes, "
    "their output to /dev/null. What takes longer than 5 s is measured once: `ls` with an empty "
    "cache folder, then `ls --json`, `ls` of one node, and the marks' names by rclone. `show`, and "
    f"`rm --force` of {REMOVED} runs by their keys, each of {FILES} files, are measured beside the "
    f"same in another bucket, of {FEW:,} runs. *MB of memory*: the process's most. *MB of cache*: "
    "all that is left in the user's cache folder."
)
_TEN_MILLION = """\
What is named by a key costs the same among a million runs as among a thousand. A whole listing
grows with the runs, and no faster: a list call for each {page:,} (ten class C transactions), and
each run costs {received:.1f} kB to receive, {time:.2f} ms and {memory:.1f} kB of memory.

For ten million runs a listing must not begin anew each time: that would be 1,000 list calls, four
times B2's free transactions of a day, {all_received:.0f} GB to receive, {minutes:.0f} minutes and
{all_memory:.0f} GB of memory. What would have to change:

1. The marks of runs that have ended do not change any more. `gc` could seal those of a node and a
   month into one compressed object, listed ahead of the marks: some hundred objects in place of ten
   million names. Removing a run then writes its seal anew, or notes beside it that it is gone.
2. A command would keep the rows of sealed objects in its SQLite cache, fetch only the objects that
   are new, and list only what is not sealed.
3. `ls` would be a query of that cache: the latest runs, or row by row where all are asked for, in
   columns as wide as those of its first rows.
4. Filters by time would be the ends of a listing: keys begin with their node and time already.

`show`, `logs`, `download` and `rm` of a key, workers and launches could stay as they are."""


class _Bucket:
    """A project with so many runs on B2.

    Args:
        bench: whose programs and folders.
        server: where they are.
        runs: how many.
    """

    def __init__(self, bench: Bench, server: B2Server, runs: int) -> None:
        self.runs, self.server = runs, server
        self._savethat = bench.savethat / "savethat"
        self._prefix = f"runs-{runs}"
        self._folder = bench.folder(self._prefix)
        self._cache = self._folder / "cache"
        keys = seed_sweeps(server, self._prefix, runs // len(NODES), NODES, login_name())
        settings = f'package = "nothing"\n{b2_settings(server, self._prefix)}'
        (self._folder / "savethat.toml").write_text(settings)
        # Some of each node, far apart.
        self.chosen = iter(keys[:: runs // 500])

    def savethat(self, *words: str) -> tuple[float, dict[str, float]]:
        """Seconds of a command, and what it took."""
        env = {**b2_key(self.server), "XDG_CACHE_HOME": str(self._cache)}
        return self._run([self._savethat, *words], env)

    def rclone(self) -> tuple[float, dict[str, float]]:
        """The same of a listing of the marks' names."""
        index = f":b2:{self.server.bucket}/{self._prefix}/.savethat/index"
        env = rclone_environment(self.server, self._folder)
        return self._run([peers.rclone(), "lsf", "-R", index], env)

    def with_files(self) -> list[str]:
        """Runs that have files now: what is removed."""
        keys = [next(self.chosen) for _ in range(REMOVED)]
        names = [f"{self._prefix}/{key}/{n:04d}.bin" for key in keys for n in range(FILES)]
        self.server.seed_files([(name, {}) for name in names], 10_000)
        return keys

    def cached(self) -> float:
        """MB that commands have left in the cache folder."""
        return sum(path.stat().st_size for path in self._cache.rglob("*") if path.is_file()) / 1e6

    def _run(
        self, command: Sequence[str | Path], env: Mapping[str, str]
    ) -> tuple[float, dict[str, float]]:
        self.server.reset_stats()
        words = self._folder / "stderr.txt"
        began, peak = time.perf_counter(), 0.0
        with words.open("w") as stderr:
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            # As it is asked for, since what a child reports at its end includes its parent's.
            found = _PEAK.search(status.read_text())
            peak = int(found[1]) / 1e3 if found else peak
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        if process.returncode:
            said = words.read_text().strip()
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said}")
        if "warning" in words.read_text():
            raise RuntimeError(f"{command[0]}: {words.read_text()[:500]}")
        return seconds, {**_counted(self.server), "MB of memory": peak}


def _counted(server: B2Server) -> dict[str, float]:
    """All calls, those that list, and what came of them."""
    stats = server.settled()
    return {
        **calls_in(stats),
        "class C": stats["transactions"]["C"],
        "MB received": stats["bytes_out"] / 1e6,
    }


def measure(bench: Bench) -> Section:
    """Measures growth."""
    server = B2Server.start(bench.folder("b2"))
    try:
        few, many = (_Bucket(bench, server, runs) for runs in (FEW, MANY))
        cases = (_listed(many), _shown(bench, few, many), _removed(bench, few, many))
    finally:
        server.stop()
    method = f"{_METHOD}\n\n{_ten_million(cases[0].ours)}"
    return Section("growth", "A million runs", method, cases)


def _ten_million(table: Measure) -> str:
    """What would have to change, beside what the table of a million runs has cost."""
    received, memory = table.counts["MB received"], table.counts["MB of memory"]
    return _TEN_MILLION.format(
        page=PAGE,
        received=received * 1e3 / MANY,
        time=table.median * 1e3 / MANY,
        memory=memory * 1e3 / MANY,
        all_received=received / 1e3 * 10,
        minutes=table.median / 60 * 10,
        all_memory=memory / 1e3 * 10,
    )


def _listed(many: _Bucket) -> Case:
    commands = {
        "savethat ls": ["ls"],
        "savethat ls --json": ["ls", "--json"],
        f"savethat ls --node {NODES[3]}": ["ls", "--node", NODES[3]],
    }
    found = []
    for tool, words in commands.items():
        seconds, counts = many.savethat(*words)
        found.append(Measure(tool, (seconds,), {**counts, "MB of cache": many.cached()}))
    try:
        seconds, counts = many.rclone()
        found.append(Measure("rclone lsf -R", (seconds,), counts))
    except RuntimeError as error:
        found.append(absent("rclone lsf -R", error))
    ours, *others = found
    pages, of_a_node = -(-MANY // PAGE), -(-MANY // len(NODES) // PAGE)
    goals = [
        at_most(f"{pages} list calls", ours.counts["list calls"], pages),
        at_most(
            f"of one node: {of_a_node} list calls of marks, one of launches",
            others[1].counts["list calls"],
            of_a_node + 1,
        ),
    ]
    return Case(f"ls of {MANY:,} runs", "s", ours, tuple(others), tuple(goals))


def _shown(bench: Bench, few: _Bucket, many: _Bucket) -> Case:
    return _beside("show of a run", bench, few, many, lambda bucket: ["show", next(bucket.chosen)])


def _removed(bench: Bench, few: _Bucket, many: _Bucket) -> Case:
    title = f"rm of {REMOVED} runs of {FILES} files"
    return _beside(title, bench, few, many, lambda bucket: ["rm", "--force", *bucket.with_files()])


def _beside(
    title: str,
    bench: Bench,
    few: _Bucket,
    many: _Bucket,
    words: Callable[[_Bucket], list[str]],
) -> Case:
    """The same command among many runs, and among few."""
    counts: dict[str, dict[str, float]] = {}

    def run(tool: str, bucket: _Bucket) -> float:
        seconds, counts[tool] = bucket.savethat(*words(bucket))
        return seconds

    tools = {f"among {bucket.runs:,} runs": bucket for bucket in (many, few)}
    turns = {tool: functools.partial(run, tool, bucket) for tool, bucket in tools.items()}
    values = in_turns(turns, bench.repeat)
    ours, other = (Measure(tool, values[tool], counts[tool]) for tool in tools)
    calls, before = ours.counts["calls"], other.counts["calls"]
    goal = Goal("as many calls as among few", f"{calls:.0f} and {before:.0f}", calls == before)
    return Case(title, "s", ours, (other,), (goal,))
