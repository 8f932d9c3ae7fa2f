"""Compares two runs: what they were made from, and what came out. Pure: it opens nothing.

What a run leaves behind differs by nature in some files: its logs, its arguments, its provenance.
These never count as a difference of the outcome; what they say is compared where it matters.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from savethat.catalog.facts import Difference, RunFacts, differing
from savethat.catalog.origins import provenance_differences
from savethat.catalog.outcomes import differing_files
from savethat.catalog.values import ABSENT, Pairs, differing_leaves, dotted, leaves, named
from savethat.inputs import InputsRecord

__all__ = ["ABSENT", "Comparison", "Difference", "RunFacts", "compare"]

_OUTCOME = frozenset({"result", "files"})
_PLACE = frozenset({"host"})


@dataclasses.dataclass(frozen=True)
class Comparison:
    """In what two runs differ.

    Args:
        a, b: their keys.
        tolerance: within which numbers of the outcome count as equal.
        differences: by kind, sorted by name within each.
    """

    a: str
    b: str
    tolerance: float
    differences: tuple[Difference, ...]

    @property
    def equal_outcome(self) -> bool:
        """Whether the results and the files are equal, within the tolerance."""
        return not any(found.what in _OUTCOME for found in self.differences)

    @property
    def same(self) -> bool:
        """Whether nothing differs but time and place."""
        return all(found.what in _PLACE for found in self.differences)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON; `only` names the run that has the thing, where one has not."""
        return {
            "a": self.a,
            "b": self.b,
            "tolerance": self.tolerance,
            "equal_outcome": self.equal_outcome,
            "same": self.same,
            "differences": [
                {
                    "what": found.what,
                    "name": found.name,
                    "a": _json(found.a),
                    "b": _json(found.b),
                    "only": "a" if found.b is ABSENT else "b" if found.a is ABSENT else None,
                }
                for found in self.differences
            ],
        }

    def rows(self) -> list[tuple[str, str, str, str]]:
        """For a table: what, name, and how it is in either run; `-` where only the other has it."""
        return [
            (found.what, found.name, _shown(found.a), _shown(found.b)) for found in self.differences
        ]


def compare(a: RunFacts, b: RunFacts, *, tolerance: float = 0.0) -> Comparison:
    """In what two runs differ.

    Args:
        a: a run.
        b: another, or the same.
        tolerance: absolute and relative; within it the numbers of results, and of files that hold
            JSON or CSV, count as equal. NaN equals NaN.

    Raises:
        ValueError: the tolerance is negative, or not a number.
    """
    if not tolerance >= 0:
        raise ValueError(f"a tolerance is not negative, unlike {tolerance}")
    found = [
        *provenance_differences(a, b),
        *differing("args", _args(a.args, b.args)),
        *differing("inputs", _inputs(a, b)),
        *differing("result", differing_leaves(a.result, b.result, tolerance)),
        *differing("files", differing_files(a, b, tolerance)),
    ]
    return Comparison(a.key, b.key, tolerance, tuple(found))


def _args(a: Mapping[str, Any], b: Mapping[str, Any]) -> Pairs:
    """By dotted name; a list is one argument."""
    one, two = (
        {dotted(path): value for path, value in leaves(args, lists=False)} for args in (a, b)
    )
    yield from named(one, two)


def _inputs(a: RunFacts, b: RunFacts) -> Pairs:
    """SHA-1 by key; several where a file changed while the run read it."""
    records = [run.inputs_record() or InputsRecord() for run in (a, b)]
    sha1s: list[dict[str, str]] = []
    for record in records:
        found: dict[str, str] = {}
        for file in record.files:
            found[file.key] = f"{found[file.key]} {file.sha1}" if file.key in found else file.sha1
        sha1s.append(found)
    yield from named(*sha1s)
    yield "(not named)", records[0].left_out, records[1].left_out


def _json(value: Any) -> Any:
    """A value as `ls --json` writes it: what is absent is null, a non-finite number a text."""
    if value is ABSENT:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _json(item) for name, item in value.items()}
    return value


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
