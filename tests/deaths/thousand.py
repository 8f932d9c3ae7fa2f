"""`python -m tests.deaths.thousand`: many short runs through the queue, over a B2 that fails.

One call to B2 in ten fails, in every way that a client can survive. Then B2 is well again,
`savethat sync` runs once, and every state and every byte is compared.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.b2_fixtures import b2_key, b2_settings
from tests.b2server.client import B2Server
from tests.deaths import report
from tests.deaths.site import FAULTS
from tests.program import Project
from tests.sample.experiments.dying import short_files
from tests.test_queue import Server

PREFIX = "thousand"
PARALLEL = 4
# Seconds that a fault takes, where it takes time.
TIMEOUT = 0.5
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "reliability.md"


@dataclasses.dataclass
class Figures:
    """What became of the runs.

    Args:
        runs: how many there were.
        right: how many had the right state with the right reason.
        faults: how many calls to B2 failed on purpose; `calls`: of how many.
        waiting: how many runs `sync` had to send.
        lost: files that are not in B2 as their node wrote them.
        doubled: runs that were carried out more than once.
        versions: versions and marks that are one too many.
        unfinished: uploads that were begun and not ended.
        seconds: from the launch to the last run's end.
        wrong: an account of all that is wrong.
    """

    runs: int
    right: int = 0
    faults: int = 0
    calls: int = 0
    waiting: int = 0
    lost: int = 0
    doubled: int = 0
    versions: int = 0
    unfinished: int = 0
    seconds: float = 0.0
    wrong: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.runs} runs in {self.seconds:.0f} s, {PARALLEL} at a time; {self.faults} of"
            f" {self.calls} calls to B2 failed. {self.right} right states, {self.lost} files lost,"
            f" {self.doubled} runs carried out twice, {self.versions} versions left over,"
            f" {self.unfinished} unfinished uploads; `sync` sent {self.waiting} runs."
        )


def run_many(runs: int, rate: float, folder: Path) -> Figures:
    """Carries the runs out and looks at what is left of them."""
    figures = Figures(runs)
    b2 = B2Server.start(folder / "b2")
    toml = b2_settings(b2, PREFIX)
    project = Server.make(
        folder / "experiments",
        home=folder / "home",
        toml=f'{toml}sync_every = "1s"\n[queue]\ngpus = []\nmax_parallel = {PARALLEL}\n',
        env={**b2_key(b2), "SLURM_CONF": str(folder / "none")},
    )
    assert isinstance(project, Server)
    try:
        begin = time.monotonic()
        b2.faults(rate=rate, kinds=list(FAULTS), timeout_s=TIMEOUT, retry_after=1, seed=runs)
        project.run("sweep", "--detach", "Short", "--number", f"0..{runs - 1}")
        _await_end(project, runs)
        figures.seconds = time.monotonic() - begin
        figures.faults = b2.fault_plan()["fired"]
        figures.calls = sum(call["count"] for call in b2.stats()["calls"].values())
        b2.faults()
        figures.waiting = len(project.run("sync").stdout.split())
        rows = project.ls()
        _look_at_states(rows, figures)
        _look_at_bytes(b2, rows, figures)
        for key in rows:
            log = project.data / key / "output.log"
            if log.read_text().count(f"attempt 1 of {key} begins") != 1:
                figures.doubled += 1
                figures.wrong.append(f"{key} did not begin exactly once")
    finally:
        project.kill_all()
        b2.stop()
    return figures


def _await_end(project: Project, runs: int) -> None:
    """Waits until all are over; it is not in a hurry, for each look costs a processor's second."""
    end = time.monotonic() + 60 + 20 * runs
    while time.monotonic() < end:
        lines = project.run("ls", "--json", code=None).stdout.splitlines()
        states = collections.Counter(json.loads(line)["status"] for line in lines)
        if len(lines) == runs and not states.keys() & {"queued", "running", "unknown"}:
            return
        time.sleep(2 + runs / 100)
    raise TimeoutError(f"the runs did not end: {states}")


def _look_at_states(rows: Mapping[str, Mapping[str, Any]], figures: Figures) -> None:
    numbers = sorted(row["args"]["number"] for row in rows.values())
    if numbers != list(range(figures.runs)):
        figures.wrong.append(f"{len(numbers)} runs are listed")
    for key, row in rows.items():
        shown = (row["status"], row["reason"] or "", row["attempt"], row["synced"])
        if shown == (*_ending(row["args"]["number"]), 1, True):
            figures.right += 1
        else:
            figures.wrong.append(f"{key} is shown as {shown}")


def _ending(number: int) -> tuple[str, str]:
    failures = {3: f"ValueError: {number} fails", 7: "exit code 3"}
    reason = failures.get(number % 10, "")
    return ("failed" if reason else "completed"), reason


def _look_at_bytes(b2: B2Server, rows: Mapping[str, Mapping[str, Any]], figures: Figures) -> None:
    versions = b2.files(f"{PREFIX}/", versions=True)
    uploads = [file for file in versions if file["action"] == "upload"]
    sha1s = {file["fileName"].removeprefix(f"{PREFIX}/"): file["contentSha1"] for file in uploads}
    figures.unfinished = sum(file["action"] == "start" for file in versions)
    # A finished run has one mark, and no file has two versions or is hidden.
    marks = [name for name in sha1s if "/index/" in name]
    hidden = sum(file["action"] == "hide" for file in versions)
    figures.versions = hidden + len(uploads) - len(sha1s) + len(marks) - len(rows)
    for key, row in rows.items():
        for name, content in short_files(row["args"]["number"]).items():
            if sha1s.get(f"{key}/{name}") != hashlib.sha1(content).hexdigest():
                figures.lost += 1
                figures.wrong.append(f"{key}/{name} is not in B2 as it was written")
        for name in ("args.json", "output.log", "output.jsonl"):
            if f"{key}/{name}" not in sha1s:
                figures.lost += 1
                figures.wrong.append(f"{key}/{name} is not in B2")
    if figures.versions or figures.unfinished:
        counts = collections.Counter(file["fileName"] for file in versions)
        several = [name for name, count in counts.items() if count > 1]
        figures.wrong.append(f"more than one version or unfinished: {several[:20]}")


def main() -> int:
    """Runs what the command line says; 1 where anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.deaths.thousand", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=0.1, help="of calls to B2 that fail")
    parser.add_argument("--write", action="store_true", help=f"write them into {PAGE.name}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="savethat-thousand-") as folder:
        figures = run_many(options.runs, options.rate, Path(folder))
    print(figures)
    if options.write:
        report.write(PAGE, "runs", f"{figures}\n\n{report.machine()}")
    print("\n".join(figures.wrong[:100]), file=sys.stderr)
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
