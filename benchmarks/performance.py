"""`make bench`: every section measured, and the page and the plots made of what they found.

    make bench
    make bench BENCH='--only startup --repeat 3'

What a section found is kept in build/bench, so a page can be made of several calls.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import peers, report
from benchmarks.bench import Bench
from benchmarks.rows import Outcome, Section

# Modules of this package, each with `measure(bench: Bench) -> Section`, in the page's order.
SECTIONS = (
    "startup",
    "running",
    "listing",
    "carrying",
    "removing",
    "dollars",
    "watching",
    "sweeping",
    "growth",
)
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "performance.md"
KEPT = ROOT / "build" / "bench"
PEERS = ROOT / "build" / "peers"

# A developer's own settings; users' Python keeps what it has compiled, and where the tests' SLURM
# lies holds here too.
_FOREIGN = ("B2_", "PYTHON", "SAVETHAT_", "XDG_")
_LAB = "SAVETHAT_SLURM_LAB"


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what is asked for; 1 where a section failed."""
    asked = read_options(argv)
    outcomes = []
    if not asked.page:
        with tempfile.TemporaryDirectory(prefix="savethat-bench-") as folder, _new_user(folder):
            outcomes = [
                measure(name, Path(folder), asked.peers, asked.repeat) for name in asked.only
            ]
    if asked.write or asked.page:
        for outcome in outcomes:
            keep(outcome, KEPT)
        peers.draw(asked.peers, KEPT, PAGE.with_suffix(""))
        PAGE.write_text(_page(kept(KEPT), asked.peers))
        print(f"bench: wrote {PAGE.relative_to(ROOT)}", file=sys.stderr)
    else:
        print(_page(outcomes, asked.peers), end="")
    return 1 if any(outcome.section is None for outcome in outcomes) else 0


def read_options(argv: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.performance", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--only", type=_sections, default=SECTIONS, metavar="S,S", help=f"of {', '.join(SECTIONS)}"
    )
    parser.add_argument("--repeat", type=_repeat, default=5, metavar="N", help="measures of each")
    parser.add_argument(
        "--write", action="store_true", help="keep what is found, and write the page and plots"
    )
    parser.add_argument(
        "--page", action="store_true", help="write them of what is kept, without measuring"
    )
    parser.add_argument(
        "--peers", type=Path, default=PEERS, metavar="DIR", help="the peers' environments"
    )
    asked = parser.parse_args(argv)
    asked.peers = asked.peers.absolute()  # what draws runs in another folder
    return asked


def measure(name: str, work: Path, peers_folder: Path, repeat: int) -> Outcome:
    """Measures a section; whatever goes wrong in it is its outcome."""
    commit, began = report.commit(ROOT), time.monotonic()
    section: Section | None = None
    error = ""
    folder = work / name
    folder.mkdir()
    bench = Bench(folder, Path(sys.executable).parent, peers_folder, repeat)
    print(f"bench: {name} ...", file=sys.stderr, flush=True)
    try:
        section = importlib.import_module(f"benchmarks.{name}").measure(bench)
    except Exception as failed:
        traceback.print_exc()
        error = f"{type(failed).__name__}: {failed}"
    shutil.rmtree(folder, ignore_errors=True)  # tens of thousands of files, of some sections
    seconds = time.monotonic() - began
    verdict = "failed" if error else "done"
    print(f"bench: {name} {verdict} in {seconds:.0f} s", file=sys.stderr, flush=True)
    date = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    return Outcome(name, section, error, commit, date, report.machine(), seconds)


def keep(outcome: Outcome, folder: Path) -> None:
    """Keeps what a section found, in place of what it found before."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{outcome.module}.json").write_text(outcome.as_json())


def kept(folder: Path) -> list[Outcome]:
    """What is kept, in the page's order."""
    paths = (folder / f"{name}.json" for name in SECTIONS)
    return [Outcome.from_json(path.read_text()) for path in paths if path.exists()]


def _page(outcomes: Sequence[Outcome], folder: Path) -> str:
    return "\n".join([*report.page(outcomes, SECTIONS, peers.all_versions(folder)), ""])


@contextlib.contextmanager
def _new_user(home: str) -> Iterator[None]:
    """In the environment of somebody without settings, credentials and caches."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(_FOREIGN) and name != _LAB:
            del os.environ[name]
    for kind in ("CACHE", "CONFIG", "DATA", "STATE"):
        os.environ[f"XDG_{kind}_HOME"] = f"{home}/{kind.lower()}"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _sections(text: str) -> tuple[str, ...]:
    names = text.split(",")
    if not set(names) <= set(SECTIONS):
        raise argparse.ArgumentTypeError(f"not among {', '.join(SECTIONS)}: {text!r}")
    return tuple(name for name in SECTIONS if name in names)


def _repeat(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"not a number above 0: {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
