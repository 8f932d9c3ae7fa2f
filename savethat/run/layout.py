"""Where things lie on a remote: names only, nothing is opened here.

    <run key>/...                                     the run's files
    .savethat/launches/<launch id>.json               what was asked
    .savethat/index/<node>/<run key>.<attempt>.<mark> what happened
    .savethat/code/<capsule>.tar.gz                   code, frozen
    .savethat/jobs/<launch id>/                       what its jobs need and print; never on B2

`docs/explanation/storage.md` says who writes, reads and removes each.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from savethat.run.key import node_of, parse_key, stem_of

HIDDEN = ".savethat"
INDEX = f"{HIDDEN}/index/"
LAUNCHES = f"{HIDDEN}/launches/"
CODE = f"{HIDDEN}/code/"
JOBS = f"{HIDDEN}/jobs/"
LOCKS = f"{HIDDEN}/locks/"

STARTED = "started"
COMPLETED = "completed"
# What a run that ended leaves; `started` is rewritten as its heartbeat until then.
ENDINGS = (COMPLETED, "failed", "cancelled")
MARKS = (STARTED, *ENDINGS)

# An info header of launch records: how many runs it names.
RUNS_INFO = "savethat-runs"

# The run's own files, in its folder.
ARGS_FILE = "args.json"
# What `gc --keep` has dropped of the run.
DROPPED_FILE = "dropped.json"
LOG_FILE = "output.log"
JSONL_FILE = "output.jsonl"
PROVENANCE_FILE = "reproducible.json"
RESULT_PICKLE = "results.pickle"
RESULT_JSON = "results.json"
INPUTS_FILE = "inputs.json"

_MARK_NAME = re.compile(
    rf"{re.escape(INDEX)}(?P<node>[^/]+)/(?P<key>[^/]+)\.(?P<attempt>[1-9][0-9]{{0,8}})"
    rf"\.(?P<mark>{'|'.join(MARKS)})"
)
_LAUNCH_NAME = re.compile(
    rf"{re.escape(LAUNCHES)}(?P<id>[^\W\d][\w-]*(?:\.[1-9][0-9]{{0,8}})?)\.json"
)
# SLURM's largest array has 4,000,001 tasks.
_OFFSET = re.compile(r"[0-9]{1,12}")


class MarkName(NamedTuple):
    """A mark's name taken apart: the fact itself."""

    key: str
    attempt: int
    mark: str


def mark_name(key: str, attempt: int, mark: str) -> str:
    """The object that says `mark` of an attempt of a run."""
    return f"{INDEX}{node_of(key)}/{key}.{attempt}.{mark}"


def marks_prefix(key: str) -> str:
    """The prefix under which all marks of one run lie, and nothing else does."""
    return f"{INDEX}{node_of(key)}/{key}."


def parse_mark_name(name: str) -> MarkName | None:
    """The fact a name states, or None where it is not a mark's name."""
    match = _MARK_NAME.fullmatch(name)
    if match is None:
        return None
    parts = parse_key(match["key"])
    if parts is None or parts.node != match["node"]:
        return None
    return MarkName(match["key"], int(match["attempt"]), match["mark"])


def launch_name(launch_id: str) -> str:
    """The object that holds a launch record."""
    return f"{LAUNCHES}{launch_id}.json"


def code_name(capsule: str) -> str:
    """The object that holds a code capsule."""
    return f"{CODE}{capsule}.tar.gz"


def launches_prefix(key: str) -> str:
    """The prefix under which every launch record that names this run lies."""
    return f"{LAUNCHES}{stem_of(key)}"


def launch_folder(launch_id: str) -> str:
    """Where a launch's order, batch scripts and its jobs' output lie, below `local_path`."""
    return f"{JOBS}{launch_id}"


def live_log(launch_id: str, position: int) -> str:
    """The log of a run that is running elsewhere, as it grows, below `local_path`."""
    return f"{launch_folder(launch_id)}/live-{position}.log"


def job_name(launch_id: str, position: int, array_size: int) -> tuple[str, int]:
    """The name of a run's job, and its index in the job array.

    An array holds at most `array_size` runs (0: all of them); the arrays after the first are named
    by the position they begin with.
    """
    offset = position - position % array_size if array_size else 0
    return (f"{launch_id}+{offset}" if offset else launch_id), position - offset


def parse_job_name(name: str, index: int) -> tuple[str, int]:
    """The launch and the position of a job, from its name and its index in the array."""
    launch_id, plus, offset = name.rpartition("+")
    if plus and _OFFSET.fullmatch(offset):
        return launch_id, int(offset) + index
    return name, index


def parse_launch_name(name: str) -> str | None:
    """The launch id in a name, or None where it is not a launch record's name."""
    match = _LAUNCH_NAME.fullmatch(name)
    return match["id"] if match else None
