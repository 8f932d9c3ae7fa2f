"""The results as a table, and where they go in the documentation."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

import savethat
from tests.conftest import LAB
from tests.deaths.cells import DEATHS, MOMENTS, SCHEDULERS, SLURM, WEATHERS, Cell, why_not
from tests.deaths.trial import Verdict

RIGHT, WRONG, EMPTY, UNTRIED = "✓", "✗", "–", "?"  # noqa: RUF001 # a dash is what an empty square has

_ROW = r"^\| ([^|]+) \| (\w+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$"
_FIGURES = (
    r"right; (\d+) files were compared by SHA-1; (\d+) calls to B2 were made to fail\.\n"
    r"- Workers that were killed left (\d+)"
)


def account(verdict: Verdict) -> str:
    """What became of a cell, on one line."""
    shown = verdict.shown
    state = f"{shown.get('status')}: {shown.get('reason')}" if shown else "nothing shown"
    words = "right" if not verdict.wrong else "WRONG: " + "; ".join(verdict.wrong)
    return f"{verdict.cell} ({verdict.seconds:.0f} s): {words} [{state}]"


@dataclasses.dataclass
class Results:
    """What is known of the matrix.

    Args:
        squares: whether each cell that was tried was right, when it was tried last.
        files: how many were compared by SHA-1.
        faults: how many calls to B2 were made to fail.
        leftovers: second versions and unfinished uploads that killed workers left.
    """

    squares: dict[Cell, bool] = dataclasses.field(default_factory=dict)
    files: int = 0
    faults: int = 0
    leftovers: int = 0

    @classmethod
    def read(cls, text: str) -> Results:
        """Those that `page` has written; none where the text has none."""
        found = cls()
        for death, scheduler, *squares in re.findall(_ROW, text, re.MULTILINE):
            for moment, square in zip(MOMENTS, squares, strict=True):
                for weather, sign in zip(WEATHERS, square.split(), strict=False):
                    if sign in (RIGHT, WRONG):
                        cell = Cell(death, moment, weather, scheduler)
                        found.squares[cell] = sign == RIGHT
        if figures := re.search(_FIGURES, text):
            found.files, found.faults, found.leftovers = map(int, figures.groups())
        return found

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Puts what was tried now in the place of what was tried before; figures add up."""
        for verdict in verdicts:
            self.squares[verdict.cell] = not verdict.wrong
            self.files += verdict.files
            self.faults += verdict.faults
            self.leftovers += verdict.leftovers


def page(results: Results, impossible: Mapping[str, str]) -> str:
    """The table, and the figures below it."""
    by_cell = results.squares
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
    right = sum(by_cell.values())
    lines += ["", f"Each square: B2 {', B2 '.join(WEATHERS)}.", ""]
    lines += [f"- {_mark(number)} {note}" for number, note in enumerate(notes)]
    lines += [f"- Not tried here: {death}: {why}" for death, why in impossible.items()]
    lines += [
        f"- {right} of {len(by_cell)} cells are right; {results.files} files were compared by "
        f"SHA-1; {results.faults} calls to B2 were made to fail.",
        f"- Workers that were killed left {results.leftovers} second versions and unfinished "
        "uploads, until `rm` took them away.",
        f"- {machine()}",
    ]
    return "\n".join(lines)


def _square(
    death: str, moment: str, scheduler: str, by_cell: Mapping[Cell, bool], notes: list[str]
) -> str:
    tried = [Cell(death, moment, weather, scheduler) for weather in WEATHERS]
    if why := why_not(tried[0]):
        if why not in notes:
            notes.append(why)
        return f"{EMPTY} {_mark(notes.index(why))}"
    signs = {True: RIGHT, False: WRONG, None: UNTRIED}
    return " ".join(signs[by_cell.get(cell)] for cell in tried)


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


def read(path: Path, name: str) -> str:
    """What stands between the markers of this name on a page."""
    found = _between(name).search(path.read_text())
    assert found is not None, f"{path} has no place for {name}"
    return found[0]


def write(path: Path, name: str, text: str) -> None:
    """Puts text between the markers of this name on a page."""
    content, count = _between(name).subn(lambda _: f"\n{text}\n\n", path.read_text())
    assert count == 1, f"{path} has no place for {name}"
    path.write_text(content)


def _between(name: str) -> re.Pattern[str]:
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    return re.compile(f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", re.DOTALL)
