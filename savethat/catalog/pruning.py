"""Chooses which runs may go to save space, and which of a run's files. Pure: nothing is removed."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from savethat.catalog.row import Row, flatten
from savethat.errors import UsageError
from savethat.run.layout import (
    ARGS_FILE,
    INPUTS_FILE,
    JSONL_FILE,
    LOG_FILE,
    PROVENANCE_FILE,
    RESULT_JSON,
    RESULT_PICKLE,
)
from savethat.run.record import QUEUE, SLURM
from savethat.run.status import Status

# What the words of `--keep` stand for.
KINDS = {
    "args": (ARGS_FILE,),
    "results": (RESULT_PICKLE, RESULT_JSON),
    "logs": (LOG_FILE, JSONL_FILE, f"{SLURM}.log", f"{QUEUE}.log"),
    "provenance": (PROVENANCE_FILE, INPUTS_FILE),
}
_BEST = re.compile(r"(?P<down>-?)(?:result\.)?(?P<name>.+):(?P<count>[1-9][0-9]{0,8})")
# What tells a file's name from a word.
_OF_NAMES = re.compile(r"[*?\[./]")


@dataclasses.dataclass(frozen=True)
class Best:
    """The best runs of each node.

    Args:
        name: of a result, dotted.
        count: how many.
        largest: whether the largest are the best, not the smallest.
    """

    name: str
    count: int
    largest: bool = False


def parse_best(text: str) -> Best:
    """What `--keep-best` says: `mse:5` for the 5 smallest, `-accuracy:5` for the 5 largest.

    Raises:
        UsageError: it is neither.
    """
    match = _BEST.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--keep-best {text}: not NAME:N",
            "mse:5 keeps the 5 runs of the smallest mse, -accuracy:5 those of the largest accuracy",
        )
    return Best(match["name"], int(match["count"]), bool(match["down"]))


def parse_kept(text: str) -> tuple[str, ...]:
    """The patterns of names that `--keep` says: words of `KINDS` and globs, with commas.

    Raises:
        UsageError: a word is not known.
    """
    patterns: list[str] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word in KINDS:
            patterns += KINDS[word]
        elif _OF_NAMES.search(word):
            patterns.append(word)
        else:
            # A slip of the pen must not drop what was meant to stay.
            near = difflib.get_close_matches(word, KINDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(KINDS)}, or a glob"
            raise UsageError(f"--keep {text}: {word} is not known", hint)
    if not patterns:
        raise UsageError("--keep: nothing is named", f"some of {', '.join(KINDS)}, or globs")
    return tuple(patterns)


def is_kept(name: str, patterns: Iterable[str]) -> bool:
    """Whether a file, named relative to its run's folder, matches one of the patterns."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def choose(
    rows: Sequence[Row], *, before: datetime | None = None, best: Best | None = None
) -> tuple[list[Row], list[tuple[Row, str]]]:
    """The runs that may go, and the others, each with why it stays.

    Args:
        rows: as filtered; with whole results where there is `best`.
        before: runs of that time or later stay.
        best: these stay, of those that would go. So does a completed run without such a result: how
            good it is cannot be said. One that did not complete has no result, and goes.

    Raises:
        UsageError: none of them that completed has such a result.
    """
    going: list[Row] = []
    staying: list[tuple[Row, str]] = []
    for row in rows:
        if not row.status.finished:
            staying.append((row, f"is {row.status.value}"))
        elif row.synced is False:
            staying.append((row, "is not in storage yet (savethat sync)"))
        elif before is None or row.when < before:
            going.append(row)
    if best is None:
        return going, staying
    ranked = _ranked(going, best)
    completed = [row for row in going if row.status is Status.COMPLETED]
    if completed and not ranked:
        known = sorted({name for row in completed for name in _results(row)})
        raise UsageError(
            f"no run has a result {best.name}", f"one of {', '.join(known)}" if known else ""
        )
    spared = {row.key for group in ranked.values() for row in group[: best.count]}
    comparable = {row.key for group in ranked.values() for row in group}
    for row in completed:
        if row.key not in comparable:
            staying.append((row, f"has no number {best.name}"))
            spared.add(row.key)
    return [row for row in going if row.key not in spared], staying


def _ranked(rows: Iterable[Row], best: Best) -> dict[str, list[Row]]:
    """The runs of each node that can be compared, the best first; of equals the earliest."""
    groups: dict[str, list[tuple[float, Row]]] = {}
    for row in rows:
        value = _number(_results(row).get(best.name)) if row.status is Status.COMPLETED else None
        if value is not None:
            groups.setdefault(row.node, []).append((-value if best.largest else value, row))
    return {
        node: [row for _, row in sorted(group, key=lambda item: (item[0], item[1].key))]
        for node, group in groups.items()
    }


def _results(row: Row) -> dict[str, object]:
    return {
        name.removeprefix("result."): value
        for name, value in flatten(row.result, "result").items()
        if name != "result"
    }


def _number(value: object) -> float | None:
    """A value to rank by; None for what is no number, or is not a number."""
    if not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer that no float can be
        number = math.inf if value > 0 else -math.inf
    return None if math.isnan(number) else number
