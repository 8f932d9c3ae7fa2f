"""Time limits, as sbatch takes them and as `90m`, `4h`, `2d`."""

from __future__ import annotations

import math
import re

from savethat.config import parse_duration

# Source: `--time` of sbatch(1): minutes, minutes:seconds, hours:minutes:seconds, days-hours,
# days-hours:minutes, days-hours:minutes:seconds.
_MINUTES_FIRST = re.compile(r"(\d+)(?::(\d+))?")
_HOURS_FIRST = re.compile(r"(?:(\d+)-)?(\d+):(\d+):(\d+)")
_DAYS_FIRST = re.compile(r"(\d+)-(\d+)(?::(\d+))?")
_UNLIMITED = ("infinite", "unlimited")

# The warning comes this long ahead of the time limit, where the job is long enough.
_LEAD = 90
_SHARE = 4


def parse_limit(text: str | int) -> float:
    """Seconds in a time limit; `inf` for none (`0`, `UNLIMITED`).

    Args:
        text: as sbatch takes it (a bare number counts minutes, `1:30` minutes and seconds, `1-12`
            days and hours), or `90s`, `90m`, `4h`, `2d`, `1w`, `1h30m`.

    Raises:
        ValueError: it is neither.
    """
    word = str(text).strip()
    seconds = _sbatch_seconds(word)
    if seconds is None:
        if word.lower() in _UNLIMITED:
            return math.inf
        try:
            seconds = math.ceil(parse_duration(word)) if word[-1:].isalpha() else None
        except ValueError:
            seconds = None
    if seconds is None:
        raise ValueError(f"{word!r} is not a time limit")
    return seconds or math.inf


def format_limit(seconds: float) -> str:
    """The limit for sbatch: `HH:MM:SS`, `D-HH:MM:SS` or `UNLIMITED`."""
    if math.isinf(seconds):
        return "UNLIMITED"
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour:02}:{minute:02}:{second:02}"
    return f"{days}-{clock}" if days else clock


def signal_lead(seconds: float) -> int:
    """Seconds ahead of a time limit at which a job is warned: 90, or a quarter of a short limit.

    SLURM's timer may be up to 60 s early, so that the warning of a job of a minute or two can come
    as soon as it starts.
    """
    return int(min(_LEAD, max(1.0, seconds / _SHARE)))


def _sbatch_seconds(word: str) -> int | None:
    parts: tuple[str | None, ...]
    if match := _MINUTES_FIRST.fullmatch(word):
        parts = (None, None, match[1], match[2])
    elif match := _HOURS_FIRST.fullmatch(word):
        parts = match.groups()
    elif match := _DAYS_FIRST.fullmatch(word):
        parts = (match[1], match[2], match[3], None)
    else:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in parts)
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
