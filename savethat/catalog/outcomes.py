"""What two runs left behind, compared: their files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from savethat.catalog.facts import RunFacts
from savethat.catalog.values import Pairs, differing_leaves, named
from savethat.run.layout import (
    ARGS_FILE,
    DROPPED_FILE,
    INPUTS_FILE,
    JSONL_FILE,
    LOG_FILE,
    PROVENANCE_FILE,
    RESULT_JSON,
    RESULT_PICKLE,
)
from savethat.run.record import QUEUE, SLURM
from savethat.untrusted import read_json

# Larger files are compared byte by byte only.
NUMBERS_LIMIT = 5_000_000

_NOT_COMPARED = frozenset(
    {
        *(ARGS_FILE, DROPPED_FILE, LOG_FILE, JSONL_FILE, PROVENANCE_FILE, RESULT_JSON),
        *(f"{scheduler}.log" for scheduler in (SLURM, QUEUE)),
    }
)


def differing_files(a: RunFacts, b: RunFacts, tolerance: float) -> Pairs:
    """The files in which two runs differ, with size and SHA-1; logs and records are no such."""
    left_out = [set(_NOT_COMPARED), set(_NOT_COMPARED)]
    if RESULT_JSON in a.files and RESULT_JSON in b.files:
        left_out = [{*names, RESULT_PICKLE} for names in left_out]
    for run, names in zip((a, b), left_out, strict=True):
        # Where it is not ours, the node wrote it.
        if run.inputs_record() is not None:
            names.add(INPUTS_FILE)
    one, two = (
        {name: [*facts] for name, facts in run.files.items() if name not in names}
        for run, names in zip((a, b), left_out, strict=True)
    )
    for name, first, second in named(one, two):
        if first == second or (tolerance and _numbers_equal(a, b, name, tolerance)):
            continue
        yield name, first, second


def _numbers_equal(a: RunFacts, b: RunFacts, name: str, tolerance: float) -> bool:
    """Whether both runs' files hold JSON or CSV that is equal within the tolerance."""
    contents = []
    for run in (a, b):
        if run.read is None or name not in run.files or run.files[name][0] > NUMBERS_LIMIT:
            return False
        contents.append(run.read(name))
    try:
        texts = [content.decode() for content in contents]
        try:
            one, two = map(read_json, texts)
        except ValueError:
            one, two = map(_table, texts)
        return not any(differing_leaves(one, two, tolerance))
    except (ValueError, csv.Error):
        return False


def _table(text: str) -> list[list[float | str]]:
    """The cells of a CSV, whatever separates them; numbers where they are."""
    lines = text.splitlines()
    separator = next((sign for sign in ",;\t" if lines and sign in lines[0]), None)
    rows: Iterator[Sequence[str]]
    rows = csv.reader(lines, delimiter=separator) if separator else map(str.split, lines)
    return [[_number(cell) for cell in row] for row in rows]


def _number(cell: str) -> float | str:
    try:
        # Python's own 1_000 is a name elsewhere.
        return cell if "_" in cell else float(cell)
    except ValueError:
        return cell
