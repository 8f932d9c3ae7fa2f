"""The page about performance, in Markdown, made of what the sections found."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks.rows import Case, Goal, Measure, Outcome, Section

PLOTS = "performance"

_INTRODUCTION = """\
# Performance

What savethat costs in time, calls and money, beside what people use instead, measured in the same
run on the same machine. `make bench` measures it and writes this page and its plots;
`benchmarks/README.md` says how to run a part of it."""
_METHOD = """\
## How it was measured

- Values are a median, with the least and the most of all measures in brackets. The tools take
  turns, after one turn that does not count, so what disturbs the machine disturbs all alike.
- *to savethat*: a tool's median as a multiple of savethat's. Counts are of one measure.
- B2 is the tests' own server on this machine, which speaks B2's protocol over HTTP, counts
  transactions, and answers as late as it is told to: *0 ms* and *40 ms*.
- savethat and its peers run as a new user's programs, with modules compiled and files in the page
  cache."""


def page(
    outcomes: Sequence[Outcome], modules: Sequence[str], versions: Mapping[str, str]
) -> Iterator[str]:
    """The whole page.

    Args:
        outcomes: in the page's order.
        modules: all that there could be.
        versions: of all tools, by name.
    """
    yield _INTRODUCTION
    yield ""
    yield from _summary(outcomes, modules)
    yield ""
    yield _METHOD
    yield ""
    yield from _circumstances(outcomes, versions)
    for outcome in outcomes:
        yield ""
        yield from _section(outcome)


def commit(root: Path) -> str:
    """The checkout's commit, and whether there is more in it than was committed."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    found = git("rev-parse", "--short=10", "HEAD") or "no commit"
    return f"{found} with changes" if git("status", "--porcelain") else found


def machine() -> str:
    """What this machine is."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} CPUs, {memory:.0f} GiB; "
        f"{platform.system()} {platform.release()}; Python {platform.python_version()}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _summary(outcomes: Sequence[Outcome], modules: Sequence[str]) -> Iterator[str]:
    cases = [case for outcome in outcomes if outcome.section for case in outcome.section.cases]
    goals = [(case, goal) for case in cases for goal in case.goals]
    met = sum(goal.met for _, goal in goals)
    yield f"## Goals: {met} of {len(goals)} met"
    yield ""
    yield "| | goal | found | |"
    yield "|---|---|---:|---|"
    for case, goal in goals:
        yield f"| {_cell(case.title)} | {_goal(goal)} |"
    failed = [outcome.module for outcome in outcomes if outcome.section is None]
    missing = [name for name in modules if name not in {one.module for one in outcomes}]
    for names, what in ((failed, "Failed"), (missing, "Not measured")):
        if names:
            yield ""
            yield f"**{what}**: {', '.join(names)}."


def _circumstances(outcomes: Sequence[Outcome], versions: Mapping[str, str]) -> Iterator[str]:
    for place in dict.fromkeys(outcome.machine for outcome in outcomes):
        yield f"- Machine: {place}"
    listed = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield f"- Versions: {listed}"
    by_commit: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        by_commit.setdefault((outcome.commit, outcome.date), []).append(outcome)
    for (found, date), group in by_commit.items():
        names = ", ".join(f"{one.module} ({one.seconds:.0f} s)" for one in group)
        yield f"- On commit {found}, {date}: {names}"


def _section(outcome: Outcome) -> Iterator[str]:
    section = outcome.section
    if section is None:
        yield f"## {outcome.module}"
        yield ""
        yield "**Failed**:"
        yield ""
        yield "```"
        yield outcome.error.strip()
        yield "```"
        return
    yield f"## {section.title}"
    yield ""
    yield section.method
    yield ""
    yield f"![{section.title}]({PLOTS}/{section.name}.svg)"
    yield ""
    yield from _table(section)
    yield from _notes(section)
    goals = [(case, goal) for case in section.cases for goal in case.goals]
    if goals:
        yield ""
        yield "| | goal | found | |"
        yield "|---|---|---:|---|"
    for case, goal in goals:
        yield f"| {_cell(case.title)} | {_goal(goal)} |"


def _table(section: Section) -> Iterator[str]:
    counted = any(one.counts for case in section.cases for one in (case.ours, *case.others))
    yield "| | | median [least..most] | to savethat |" + (" counts |" if counted else "")
    yield "|---|---|---:|---:|" + ("---|" if counted else "")
    for case in section.cases:
        for measure in (case.ours, *case.others):
            title = _cell(case.title) if measure is case.ours else ""
            row = f"| {title} | {_cell(measure.tool)} | {_values(measure, case.unit)} |"
            row += f" {_ratio(measure, case)} |"
            yield row + (f" {_counts(measure)} |" if counted else "")


def _notes(section: Section) -> Iterator[str]:
    noted = [case for case in section.cases if case.note]
    if noted:
        yield ""
    for case in noted:
        yield f"- {case.title}: {case.note}"


def _goal(goal: Goal) -> str:
    verdict = "met" if goal.met else "**not met**"
    return f"{_cell(goal.text)} | {_cell(goal.found)} | {verdict}"


def _values(measure: Measure, unit: str) -> str:
    if not measure.values:
        return _cell(measure.absent) or "-"
    least, most = min(measure.values), max(measure.values)
    spread = f" [{_number(least)}..{_number(most)}]" if len(measure.values) > 1 else ""
    return f"{_number(measure.median)} {unit}{spread}"


def _ratio(measure: Measure, case: Case) -> str:
    if measure is case.ours or not (measure.values and case.ours.values and case.ours.median):
        return ""
    return f"{_number(measure.median / case.ours.median)} x"


def _counts(measure: Measure) -> str:
    return _cell(", ".join(f"{_number(n)} {what}" for what, n in measure.counts.items()))


def _number(value: float) -> str:
    if value == int(value):
        return f"{value:,.0f}"
    digits = next((digits for limit, digits in ((100, 0), (10, 1), (1, 2)) if value >= limit), 3)
    return f"{value:,.{digits}f}" if value >= 0.01 else f"{value:.2g}"


def _cell(text: str) -> str:
    """Text that cannot end its cell."""
    return " ".join(text.split()).replace("|", r"\|")
