from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savethat.launchers.slurm.limits import format_limit, parse_limit, signal_lead


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        # As sbatch takes them.
        ("30", "00:30:00"),
        (30, "00:30:00"),
        ("90", "01:30:00"),
        ("1:30", "00:01:30"),
        ("1:30:00", "01:30:00"),
        ("36:00:00", "1-12:00:00"),
        ("1-12", "1-12:00:00"),
        ("1-12:30", "1-12:30:00"),
        ("2-0:0:0", "2-00:00:00"),
        # With a unit.
        ("90s", "00:01:30"),
        ("90m", "01:30:00"),
        ("4h", "04:00:00"),
        ("1.5h", "01:30:00"),
        ("1h30m", "01:30:00"),
        ("2d", "2-00:00:00"),
        ("1w", "7-00:00:00"),
        ("0.5s", "00:00:01"),
        # None.
        ("0", "UNLIMITED"),
        ("infinite", "UNLIMITED"),
    ],
)
def test_limits(text: str | int, limit: str) -> None:
    assert format_limit(parse_limit(text)) == limit


@pytest.mark.parametrize(
    "text", ["", "h", "4x", "-5", "1-", "1:2:3:4", "4 hours", "nan", "inf", "1e3", "1:-2", "4h-2"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time limit"):
        parse_limit(text)


@given(st.integers(min_value=1, max_value=10**8))
def test_a_limit_survives_being_written(seconds: int) -> None:
    assert parse_limit(format_limit(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "lead"), [(math.inf, 90), (3600, 90), (360, 90), (120, 30), (60, 15), (1, 1)]
)
def test_short_jobs_are_warned_later(seconds: float, lead: int) -> None:
    assert signal_lead(seconds) == lead
