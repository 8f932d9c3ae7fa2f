"""How long it takes to freeze a project's code: savethat, git, and submitit's RsyncSnapshot.

    make bench-capture
    make bench-capture BENCH='--sizes 500 --repeat 9'

It prints a table in Markdown. README.md beside it says how to read it.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import itertools
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from submitit.helpers import RsyncSnapshot

from benchmarks.submit_report import machine
from savethat import cache
from savethat.code import capture
from savethat.config import load

FIRST, UNCHANGED = "savethat, first time", "savethat, unchanged"
STASH, ARCHIVE = "`git stash create`", "`git archive HEAD | gzip -1`"
SNAPSHOT = "submitit `RsyncSnapshot`"

# The project's goals: at most so many milliseconds, by size.
GOALS = {500: {FIRST: 150.0, UNCHANGED: 75.0}, 20_000: {FIRST: 2000.0}}

# Longer than the time stamps' grain that savethat allows for: younger files are read again.
_SETTLING = 3.0

# Milliseconds, by size and tool; none where the tool is missing.
Measures = Mapping[int, Mapping[str, Sequence[float]]]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=_sizes, default=(500, 20_000))
    parser.add_argument("--repeat", type=int, default=7, metavar="N")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the report goes here, too")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="savethat-bench-") as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        measures = {files: measured(Path(folder), files, asked.repeat) for files in asked.sizes}
    text = "\n".join(report(measures, asked.repeat))
    print(text)
    if asked.out is not None:
        asked.out.write_text(f"{text}\n")
    return 0


def measured(work: Path, files: int, repeat: int) -> dict[str, list[float]]:
    """Milliseconds by tool for a project of so many files, the tools taking turns."""
    root = work / f"project-{files}"
    make_project(root, files)
    time.sleep(_SETTLING)
    tools = _tools(work, root)
    done: dict[str, list[float]] = {name: [] for name in tools}
    for turn in range(repeat + 1):
        for name, tool in tools.items():
            if tool is None:
                continue
            milliseconds = tool()
            if turn:  # the first one brings everything into memory
                done[name].append(milliseconds)
                print(f"{files:>6,} {name}: {milliseconds:.0f} ms", file=sys.stderr)
    return done


def make_project(root: Path, files: int) -> None:
    """A checkout whose modules are as long as modules are, changed since its one commit."""
    choices = random.Random(0)
    words = ["".join(choices.choices("abcdefghij_", k=6)) for _ in range(500)]
    for number in range(files - 3):
        folder = root / f"package{number % 40}" / f"part{number % 7}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = (" ".join(choices.choices(words, k=9)) for _ in range(choices.randint(5, 60)))
        (folder / f"module{number}.py").write_text("\n".join(lines))
    (root / "savethat.toml").write_text('package = "package0"\n')
    (root / ".gitignore").write_text("/data_storage/\n")
    author = ("-c", "user.name=A Benchmark", "-c", "user.email=benchmark@example.com")
    _run(root, "git", "init", "--quiet")
    _run(root, "git", "add", "--all")
    _run(root, "git", *author, "commit", "--quiet", "--message", "A project")
    _run(root, "git", "config", "user.name", "A Benchmark")
    _run(root, "git", "config", "user.email", "benchmark@example.com")
    (root / "savethat.toml").write_text('package = "package1"\n')
    (root / "new.py").write_text("x = 1\n")


def _tools(work: Path, root: Path) -> dict[str, Callable[[], float] | None]:
    config = load(project=root, environ={})
    folder = config.local_path / ".savethat" / "code"
    numbers = itertools.count()

    def frozen() -> None:
        capture(config, folder, secrets=["in no file"])

    def forget() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(cache.folder(), ignore_errors=True)

    def snapshot() -> None:
        with _silent(), _inside(root), RsyncSnapshot(work / f"snapshot-{next(numbers)}"):
            pass

    def remove_snapshots() -> None:
        for path in work.glob("snapshot-*"):
            shutil.rmtree(path)

    return {
        FIRST: lambda: _timed(frozen, before=forget),
        UNCHANGED: lambda: _timed(frozen),
        STASH: lambda: _timed(lambda: _run(root, "git", "stash", "create")),
        ARCHIVE: lambda: _timed(
            lambda: _run(root, "sh", "-c", f"git archive HEAD | gzip -1 > {work}/archive.tar.gz")
        ),
        SNAPSHOT: (lambda: _timed(snapshot, before=remove_snapshots))
        if RsyncSnapshot.available()
        else None,
    }


def report(measures: Measures, repeat: int) -> Iterator[str]:
    """The whole report, in Markdown."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("savethat", "submitit")]
    yield "# Freezing a project's code"
    yield ""
    yield (
        f"Milliseconds of a call from Python, all imports done: median (least-most) of {repeat} "
        "measures, the tools taking turns, after one that is not counted. *ratio*: to "
        f"{ARCHIVE} in the same run."
    )
    yield ""
    yield f"- {machine()}"
    yield f"- {', '.join(versions)}, {_version('git')}, {_version('rsync')}"
    yield ""
    yield "| files | | ms | ratio |"
    yield "|---:|---|---:|---:|"
    for files, tools in measures.items():
        for name, done in tools.items():
            cell = name.replace("|", r"\|")
            if not done:
                yield f"| {files:,} | {cell} | there is no rsync on PATH | |"
                continue
            ratio = statistics.median(done) / statistics.median(tools[ARCHIVE])
            yield f"| {files:,} | {cell} | {_spread(done)} | {ratio:.2f} |"
    yield ""
    yield "| files | | ms | at most, ms | |"
    yield "|---:|---|---:|---:|---|"
    for files, goals in GOALS.items():
        for name, most in goals.items():
            if files in measures:
                took = statistics.median(measures[files][name])
                holds = "holds" if took <= most else "**missed**"
                yield f"| {files:,} | {name} | {took:.0f} | {most:.0f} | {holds} |"


def _timed(call: Callable[[], None], before: Callable[[], None] = lambda: None) -> float:
    before()
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def _spread(done: Sequence[float]) -> str:
    return f"{statistics.median(done):.0f} ({min(done):.0f}-{max(done):.0f})"


def _version(program: str) -> str:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    except OSError:
        return f"no {program}"
    return " ".join(done.stdout.split("\n")[0].split()[:3])


def _run(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """In this folder: that is where RsyncSnapshot looks for the checkout."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """What programs say on stderr is dropped: git tells of its clones."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _sizes(text: str) -> tuple[int, ...]:
    words = text.split(",")
    if not all(word.isdecimal() and int(word) > 9 for word in words):
        raise argparse.ArgumentTypeError(f"not numbers above 9, with commas: {text!r}")
    return tuple(map(int, words))


if __name__ == "__main__":
    sys.exit(main())
