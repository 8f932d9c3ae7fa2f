"""What a job printed outside its run, in its launch's folder; the worker removes it at the end."""

from __future__ import annotations

import os
import re
from pathlib import Path

from savethat.run.layout import job_name

_TAIL = 16_384
_LONGEST = 300
# Colours and other control sequences of terminals.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


def output_pattern(folder: Path, *, array: bool) -> str:
    """The `--output` for jobs of a launch: one file a run, in the launch's folder."""
    # SLURM reads % as the start of a field.
    stem = str(folder).replace("%", "%%")
    return f"{stem}/%x_%a.log" if array else f"{stem}/%x.log"


def job_output(folder: Path, launch_id: str, position: int, array_size: int) -> Path:
    """Where a run's SLURM job writes what it prints: named as the job and its array index."""
    name, index = job_name(launch_id, position, array_size)
    return folder / (f"{name}_{index}.log" if array_size else f"{name}.log")


def queue_output(folder: Path, position: int) -> Path:
    """Where the worker of a run in this machine's queue writes what it prints."""
    return folder / f"queue-{position}.log"


def last_line(path: Path) -> str:
    """The last line with words in it, without control characters; at most 300 characters."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            text = file.read(_TAIL).decode(errors="replace")
    except OSError:
        return ""
    # A progress bar rewrites its line with \r: what it showed last counts.
    lines = (_CONTROL.sub("", line).strip() for line in re.split(r"[\r\n]+", text))
    words = [line for line in lines if line]
    return words[-1][:_LONGEST] if words else ""
