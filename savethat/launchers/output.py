"""What a job printed outside its run: SLURM's own log of the job, beside its batch script."""

from __future__ import annotations

import os
import re
from pathlib import Path

_TAIL = 16_384
_LONGEST = 300
# Colours and other control sequences of terminals.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")


def output_pattern(folder: Path, *, array: bool) -> str:
    """The `--output` for jobs of a launch: one file a job, in the launch's folder."""
    # SLURM reads % as the start of a field.
    stem = str(folder).replace("%", "%%")
    return f"{stem}/slurm-%A_%a.log" if array else f"{stem}/slurm-%j.log"


def job_output(folder: Path, job_id: str) -> Path:
    """Where the job `123`, or the array's task `123_4`, writes what it prints."""
    return folder / f"slurm-{job_id}.log"


def last_words(folder: Path, position: int | None = None) -> str:
    """The last line a launch's job printed, at most 300 characters; empty where there is none.

    Args:
        folder: the launch's folder.
        position: the array index; None: the job that printed last.
    """
    found = [path for path in folder.glob("slurm-*.log") if _is_of(path, position)]
    newest: list[tuple[float, Path]] = []
    for path in found:
        try:
            newest.append((path.stat().st_mtime, path))
        except OSError:
            continue
    return _last_line(max(newest)[1]) if newest else ""


def _is_of(path: Path, position: int | None) -> bool:
    job, _, task = path.stem.removeprefix("slurm-").partition("_")
    if not job.isdecimal():
        return False
    return position is None or task == str(position) or (task == "" and position == 0)


def _last_line(path: Path) -> str:
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
