"""How long it takes to submit many runs to SLURM, and what it costs: savethat and its peers.

    make bench-submit
    make bench-submit BENCH='--sizes 10,100 --repeat 3 --tools savethat,submitit'

It prints a table in Markdown. README.md beside it says how to read it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import peers, scheduler
from benchmarks.submit_measure import Bench, measure_all
from benchmarks.submit_report import report
from benchmarks.submit_tools import Hydra, Savethat, Submitit, Tool
from tests.b2server.client import B2Server

GROUPS = ("savethat", "savethat-b2", "submitit", "hydra")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=_sizes, default=(10, 100, 1000, 5000))
    parser.add_argument("--repeat", type=int, default=5, metavar="N")
    parser.add_argument(
        "--tools", type=_groups, default=GROUPS, metavar="T,T", help=f"of {', '.join(GROUPS)}"
    )
    parser.add_argument(
        "--env", type=Path, default=Path("build/bench-env"), help="folder for the peers' packages"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the report goes here, too")
    asked = parser.parse_args(argv)
    try:
        scheduler.require_arrays_of(max(asked.sizes))
        text = _run(asked.sizes, asked.repeat, asked.tools, asked.env.absolute())
    except (scheduler.NoSchedulerError, RuntimeError) as error:
        print(f"bench-submit: {error}", file=sys.stderr)
        return 1
    print(text)
    if asked.out is not None:
        asked.out.write_text(f"{text}\n")
    return 0


def _run(sizes: Sequence[int], repeat: int, groups: Sequence[str], env: Path) -> str:
    python = peers.environment(env)
    with tempfile.TemporaryDirectory(prefix="savethat-bench-") as folder:
        work = Path(folder)
        server = B2Server.start(work / "b2")
        template = work / "template"
        every: list[Tool] = [
            Savethat(template, call=False),
            Savethat(template, call=True),
            Savethat(template, server, call=False),
            Savethat(template, server, call=True),
            Submitit(python),
            Hydra(python),
        ]
        tools = [tool for tool in every if tool.group in groups]
        try:
            measures = measure_all(Bench(work), tools, sizes, repeat)
        finally:
            server.stop()
    return report(python, measures, repeat)


def _sizes(text: str) -> tuple[int, ...]:
    words = text.split(",")
    if not all(word.isdecimal() and int(word) > 1 for word in words):
        raise argparse.ArgumentTypeError(f"not numbers above 1, with commas: {text!r}")
    return tuple(map(int, words))


def _groups(text: str) -> tuple[str, ...]:
    groups = tuple(text.split(","))
    if not set(groups) <= set(GROUPS):
        raise argparse.ArgumentTypeError(f"not among {', '.join(GROUPS)}: {text!r}")
    return groups


if __name__ == "__main__":
    sys.exit(main())
