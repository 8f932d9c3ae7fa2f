"""What a benchmark finds: sections of cases, each savethat's figure beside those of its peers."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Measure:
    """One tool in one case.

    Args:
        tool: its name and what sets it apart: `rclone copy --transfers 10`.
        values: one a repetition, in the case's unit.
        counts: what was counted in one repetition: `{"list calls": 1, "class C": 10}`.
        absent: why there are no values, in words: `not installed: ...`.
    """

    tool: str
    values: tuple[float, ...]
    counts: Mapping[str, float] = dataclasses.field(default_factory=dict)
    absent: str = ""

    @property
    def median(self) -> float:
        """The middle one of the values."""
        return statistics.median(self.values)


@dataclasses.dataclass(frozen=True)
class Goal:
    """What a case is to reach.

    Args:
        text: the goal, in words: `at most 1.5 x python + click`.
        found: what it came to, in words: `1.31 x`.
        met: whether that is enough.
    """

    text: str
    found: str
    met: bool


@dataclasses.dataclass(frozen=True)
class Case:
    """Something that savethat and others do.

    Args:
        title: what it is: `ls of 10,000 runs, 40 ms, warm`.
        unit: of all values: `s`, `MB`, `runs/s`, `$`.
        ours: savethat's.
        others: its peers', in the same run on the same machine.
        goals: what is to be reached; may be empty.
        note: what a reader must know of just this case.
    """

    title: str
    unit: str
    ours: Measure
    others: tuple[Measure, ...] = ()
    goals: tuple[Goal, ...] = ()
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """Cases that belong together.

    Args:
        name: of its plot's file, lower case: `carry-out`.
        title: its heading.
        method: how it was measured, in a few sentences.
        cases: in order.
    """

    name: str
    title: str
    method: str
    cases: tuple[Case, ...]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a section, as it is kept between two calls of `make bench`.

    Args:
        module: the one that measured it.
        section: what it found; None where it failed.
        error: why it failed.
        commit: what was measured, and whether anything in the checkout was not committed.
        date: when.
        machine: where.
        seconds: how long it took.
    """

    module: str
    section: Section | None
    error: str
    commit: str
    date: str
    machine: str
    seconds: float

    def as_json(self) -> str:
        """For a file."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Outcome:
        """From such a file."""
        values = json.loads(text)
        return cls(**{**values, "section": values["section"] and _section(values["section"])})


def absent(tool: str, why: str | Exception) -> Measure:
    """A tool that could not be measured; its row says why."""
    return Measure(tool, (), absent=str(why).strip() or type(why).__name__)


def at_most(text: str, found: float, limit: float, unit: str = "") -> Goal:
    """A goal that is met up to a limit."""
    return Goal(text, f"{found:.3g}{unit and ' ' + unit}", found <= limit)


def _section(values: dict[str, Any]) -> Section:
    return Section(**{**values, "cases": tuple(map(_case, values["cases"]))})


def _case(values: dict[str, Any]) -> Case:
    read = {
        "ours": _measure(values["ours"]),
        "others": tuple(map(_measure, values["others"])),
        "goals": tuple(Goal(**goal) for goal in values["goals"]),
    }
    return Case(**{**values, **read})


def _measure(values: dict[str, Any]) -> Measure:
    return Measure(**{**values, "values": tuple(values["values"])})
