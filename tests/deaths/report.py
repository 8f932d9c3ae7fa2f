"""The results as a table, and where they go in the documentation."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

import savethat
from tests.conftest import LAB
from tests.deaths.cells import DEATHS, MOMENTS, SCHEDULERS, SLURM, WEATHERS, Cell, why_not
from tests.deaths.trial import Verdict

RIGHT, WRONG, EMPTY, UNTRIED = "✓", "✗", "–", "?"  # noqa: RUF001 # a dash is what an empty square has


def account(verdict: Verdict) -> str:
    """What became of a cell, on one line."""
    shown = verdict.shown
    state = f"{shown.get('status')}: {shown.get('reason')}" if shown else "nothing shown"
    words = "right" if not verdict.wrong else "WRONG: " + "; ".join(verdict.wrong)
    return f"{verdict.cell} ({verdict.seconds:.0f} s): {words} [{state}]"


def page(verdicts: Sequence[Verdict], impossible: Mapping[str, str]) -> str:
    """The table, and the figures below it."""
    by_cell = {verdict.cell: verdict for verdict in verdicts}
    lines = [
        "| death | on | " + " | ".join(MOMENTS) + " |",
        "|---|---" + "|---" * len(MOMENTS) + "|",
    ]
    notes: list[str] = []
    for death in DEATHS:
        for scheduler in SCHEDULERS:
            squares = [_square(death, moment, scheduler, by_cell, notes) for moment in MOMENTS]
            if any(set(square) - set(EMPTY + " ¹²³⁴⁵⁶") for square in squares):
                lines.append(f"| {death} | {scheduler} | " + " | ".join(squares) + " |")
    right = sum(not verdict.wrong for verdict in verdicts)
    lines += ["", f"Each square: B2 {', B2 '.join(WEATHERS)}.", ""]
    lines += [f"- {_mark(number)} {note}" for number, note in enumerate(notes)]
    lines += [f"- Not tried here: {death}: {why}" for death, why in impossible.items()]
    files = sum(verdict.files for verdict in verdicts)
    leftovers = sum(verdict.leftovers for verdict in verdicts)
    faults = sum(verdict.faults for verdict in verdicts)
    lines += [
        f"- {right} of {len(verdicts)} cells are right; {files} files were compared by SHA-1; "
        f"{faults} calls to B2 were made to fail.",
        f"- Workers that were killed left {leftovers} second versions and unfinished uploads, "
        "until `rm` took them away.",
        f"- {machine()}",
    ]
    return "\n".join(lines)


def _square(
    death: str, moment: str, scheduler: str, by_cell: Mapping[Cell, Verdict], notes: list[str]
) -> str:
    tried = [Cell(death, moment, weather, scheduler) for weather in WEATHERS]
    if why := why_not(tried[0]):
        if why not in notes:
            notes.append(why)
        return f"{EMPTY} {_mark(notes.index(why))}"
    verdicts = [by_cell.get(cell) for cell in tried]
    return " ".join(
        UNTRIED if verdict is None else WRONG if verdict.wrong else RIGHT for verdict in verdicts
    )


def _mark(number: int) -> str:
    return "¹²³⁴⁵⁶"[number]


def machine() -> str:
    """The machine and the versions that figures are of."""
    memory = psutil.virtual_memory().total / 1024**3
    slurm = subprocess.run(
        ["sinfo", "--version"],
        env={**os.environ, "SLURM_CONF": str(LAB / "slurm.conf")},
        capture_output=True,
        text=True,
        check=False,
    )
    return (
        f"savethat {savethat.__version__}, Python {platform.python_version()}, "
        f"{slurm.stdout.strip() or f'no {SLURM}'}, {platform.system()} {platform.release()}, "
        f"{os.cpu_count()} cores, {memory:.0f} GB."
    )


def write(path: Path, name: str, text: str) -> None:
    """Puts text between the markers of this name on a page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    pattern = re.compile(f"(?<={re.escape(begin)}\n).*?(?={re.escape(end)})", re.DOTALL)
    content, count = pattern.subn(lambda _: f"\n{text}\n\n", path.read_text())
    assert count == 1, f"{path} has no place for {name}"
    path.write_text(content)
