"""What runs and listings cost on B2: transactions counted, at B2's list price."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import peers
from benchmarks.b2_clients import b2_environment, rclone_environment
from benchmarks.bench import Bench, timed
from benchmarks.rows import Case, Goal, Measure, Section, absent, at_most
from benchmarks.seeding import seed_runs
from benchmarks.transactions import FREE, KINDS, counted, dollars, within_free
from tests.b2_fixtures import b2_key, b2_settings
from tests.b2server.client import B2Server
from tests.program import await_true

RUNS, FILES, SIZE = 1_000, 10, 10_000
SYNCS, CHANGED = 60, 30
LISTINGS = 100
SIZES = (1_000, 10_000)
OURS = "savethat"

# What is really run: so many at a time, which sync so often, for so long.
_REAL_RUNS, _EVERY, _SECONDS = 4, 1.0, 6.0
_FOLDER = "costs"
_METHOD = (
    f"B2's list price: $0.004 per 10,000 transactions of class B and per 1,000 of class C, class A "
    f"free, and a month of storage at $6 a TB. {FREE:,} each of B and C are free a day; the price "
    "is without that. *Runs*: each has ten files of 10 kB, and one of them changed at every other "
    f"of {SYNCS} syncs. Of savethat {_REAL_RUNS} real runs in the foreground, each launched alone, "
    f"with a sync every second for {_SECONDS:.0f} s and more; what they asked for at their begins "
    "and ends is scaled by the runs, what they asked for between by the syncs. The authorization, "
    "kept for a day, was there. Of the peers one first sync of such a folder, one with a file "
    f"changed and one without are scaled: 1 + {CHANGED} + {SYNCS - CHANGED - 1} a run; versions "
    "that they leave are stored. *Listings*: transactions of one `ls`, after another one, times "
    f"{LISTINGS}; the peers list the names of the same folder. Each was counted once."
)
_NODE = f"""
import dataclasses
import time
from pathlib import Path

import savethat


@dataclasses.dataclass(frozen=True)
class Args:
    flag: str


class Train(savethat.Node[Args, None]):
    def _run(self):
        for number in range({FILES}):
            (self.output_dir / f"{{number}}.bin").write_bytes(bytes({SIZE}))
        step = 0
        while not Path(self.args.flag).exists():
            time.sleep({2 * _EVERY})
            step += 1
            (self.output_dir / "0.bin").write_bytes(bytes([step % 256]) * {SIZE})
"""

Counts = Mapping[str, float]


def measure(bench: Bench) -> Section:
    """Counts, and prices."""
    server = B2Server.start(bench.folder("b2"))
    try:
        cases = (_runs(bench, server), *(_listings(bench, server, size) for size in SIZES))
    finally:
        server.stop()
    return Section("dollars", "Dollars on B2", _METHOD, cases)


def _runs(bench: Bench, server: B2Server) -> Case:
    folder = bench.folder("folder")
    ours = _priced(OURS, _of_our_runs(bench, server))
    tools: dict[str, Callable[[], tuple[list[str | Path], dict[str, str]]]] = {
        "b2 sync": lambda: (
            [peers.b2(bench.peers), "sync", "--no-progress", folder],
            b2_environment(server, bench.work),
        ),
        "rclone copy": lambda: (
            [peers.rclone(), "copy", folder],
            rclone_environment(server, bench.work),
        ),
    }
    to = {"b2 sync": f"b2://{server.bucket}/b2-sync", "rclone copy": f":b2:{server.bucket}/rclone"}
    others = []
    for tool, program in tools.items():
        try:
            words, env = program()
        except RuntimeError as error:
            others.append(absent(f"{tool}, in a loop", error))
            continue
        counts = _of_a_loop(server, folder, [*words, to[tool]], env)
        others.append(_priced(f"{tool}, in a loop", counts))
    title = f"{RUNS:,} runs of {FILES} files for an hour, {SYNCS} syncs each"
    return Case(title, "$", ours, tuple(others), _goals(ours))


def _of_our_runs(bench: Bench, server: B2Server) -> dict[str, float]:
    """What so many runs would ask for, and store."""
    project, flag = bench.folder("project"), bench.work / "flag"
    (project / _FOLDER).mkdir()
    (project / _FOLDER / "__init__.py").write_text(_NODE)
    settings = b2_settings(server, _FOLDER)
    (project / "savethat.toml").write_text(
        f'package = "{_FOLDER}"\nsync_every = {_EVERY}\n{settings}'
    )
    program = [str(bench.savethat / "savethat")]
    timed([*program, "ls"], cwd=project, env=b2_key(server))
    server.reset_stats()
    runs = [
        subprocess.Popen(
            [*program, "run", "Train", "--flag", str(flag)],
            cwd=project,
            env={**os.environ, **b2_key(server)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(_REAL_RUNS)
    ]
    last = f"{FILES - 1}.bin"
    try:
        await_true(lambda: _stored(server, last) == _REAL_RUNS, lambda: "all runs' files")
        begun, since = counted(server), time.monotonic()
        time.sleep(_SECONDS)
        synced, seconds = counted(server), time.monotonic() - since
    finally:
        flag.touch()
        codes = [run.wait() for run in runs]
    if any(codes):
        raise RuntimeError(f"runs ended with {codes}")
    ended = counted(server)
    stored = sum(file["contentLength"] for file in server.files(f"{_FOLDER}/", versions=True))
    syncs = _REAL_RUNS * seconds / _EVERY
    scaled = {
        kind: RUNS
        * (
            (begun[kind] + ended[kind] - synced[kind]) / _REAL_RUNS
            + SYNCS * (synced[kind] - begun[kind]) / syncs
        )
        for kind in KINDS
    }
    return {**scaled, "stored": RUNS * stored / _REAL_RUNS}


def _of_a_loop(
    server: B2Server, folder: Path, command: list[str | Path], env: dict[str, str]
) -> dict[str, float]:
    """What a tool that syncs a folder for each of so many runs would ask for, and store."""
    for number in range(FILES):
        (folder / f"{number}.bin").write_bytes(bytes(SIZE))
    first = _of_one(server, command, env)
    unchanged = _of_one(server, command, env)
    (folder / "0.bin").write_bytes(bytes(range(256)) * (SIZE // 256 + 1))
    changed = _of_one(server, command, env)
    times = {1: first, CHANGED: changed, SYNCS - CHANGED - 1: unchanged}
    return {kind: RUNS * sum(count * each[kind] for count, each in times.items()) for kind in first}


def _of_one(server: B2Server, command: list[str | Path], env: dict[str, str]) -> dict[str, float]:
    """The transactions of one command, and the bytes that the server holds more for it."""
    before = _held(server)
    server.reset_stats()
    timed(command, env=env)
    return {**counted(server), "stored": _held(server) - before}


def _listings(bench: Bench, server: B2Server, size: int) -> Case:
    prefix = f"listed-{size}"
    seed_runs(server, prefix, size)
    project = bench.folder(prefix)
    (project / "savethat.toml").write_text(f'package = "nothing"\n{b2_settings(server, prefix)}')
    where = f"{server.bucket}/{prefix}/.savethat/index"
    tools: dict[str, Callable[[], tuple[list[str | Path], dict[str, str]]]] = {
        "savethat ls": lambda: ([bench.savethat / "savethat", "ls"], b2_key(server)),
        "b2 ls -r": lambda: (
            [peers.b2(bench.peers), "ls", "-r", f"b2://{where}"],
            b2_environment(server, bench.work),
        ),
        "rclone lsf -R": lambda: (
            [peers.rclone(), "lsf", "-R", f":b2:{where}"],
            rclone_environment(server, bench.work),
        ),
    }
    found = []
    for tool, program in tools.items():
        try:
            words, env = program()
        except RuntimeError as error:
            found.append(absent(tool, error))
            continue
        for _ in range(2):
            server.reset_stats()
            timed(words, cwd=project, env=env)
        found.append(_priced(tool, {k: LISTINGS * n for k, n in counted(server).items()}))
    ours, *others = found
    return Case(f"{LISTINGS} ls of {size:,} runs", "$", ours, tuple(others), _goals(ours))


def _priced(tool: str, found: Counts) -> Measure:
    counts = {kind: found[kind] for kind in KINDS}
    return Measure(tool, (dollars(counts, found.get("stored", 0)),), counts)


def _goals(ours: Measure) -> tuple[Goal, ...]:
    return (
        at_most("under one cent", ours.median, 0.01, "$"),
        *(within_free(kind, ours.counts[kind]) for kind in KINDS),
    )


def _stored(server: B2Server, name: str) -> int:
    """How many runs have stored a file of this name."""
    return sum(file["fileName"].endswith(f"/{name}") for file in server.files(f"{_FOLDER}/"))


def _held(server: B2Server) -> int:
    """The bytes of all versions that the server holds."""
    return sum(file["contentLength"] for file in server.files(versions=True))
