"""The benchmark's page: made of outcomes, kept and read back, and honest about what failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import performance, report, scheduler, watching
from benchmarks.bench import Bench
from benchmarks.rows import Case, Goal, Measure, Outcome, Section, absent, at_most

CASE = Case(
    "ls | 10 runs",
    "s",
    Measure("savethat", (0.1, 0.3, 0.2), {"list calls": 1}),
    (Measure("rclone", (0.4, 0.4, 0.4)), absent("dvc", "no wheel")),
    (at_most("under 0.1 s", 0.2, 0.1, "s"), Goal("one call", "1", met=True)),
)
FOUND = Outcome(
    "listing",
    Section("listing", "Listing", "By hand.", (CASE,)),
    "",
    "abc",
    "2026-11-25",
    "a pc",
    3,
)
FAILED = Outcome("startup", None, "OSError: no", "abc", "2026-11-25", "a pc", 1)


def test_a_page_has_medians_ratios_counts_and_goals() -> None:
    page = "\n".join(report.page([FOUND], ["listing"], {"rclone": "1.60"}))
    assert "## Goals: 1 of 2 met" in page
    assert r"| ls \| 10 runs | savethat | 0.200 s [0.100..0.300] |  | 1 list calls |" in page
    assert "| rclone | 0.400 s [0.400..0.400] | 2 x |" in page
    assert "no wheel" in page
    assert "under 0.1 s | 0.2 s | **not met**" in page


def test_what_failed_or_was_not_measured_is_said() -> None:
    page = "\n".join(report.page([FAILED], ["startup", "listing"], {}))
    assert "**Failed**: startup." in page
    assert "**Not measured**: listing." in page
    assert "OSError: no" in page


def test_outcomes_are_kept_and_read_back(tmp_path: Path) -> None:
    for outcome in (FOUND, FAILED):
        performance.keep(outcome, tmp_path)
    assert performance.kept(tmp_path) == [FAILED, FOUND]


def test_without_slurm_the_section_that_needs_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "CONF", tmp_path / "none")
    section = watching.measure(Bench(tmp_path, tmp_path, tmp_path))
    found = Outcome("watching", section, "", "abc", "2026-11-25", "a pc", 1)
    performance.keep(found, tmp_path)
    page = "\n".join(report.page(performance.kept(tmp_path), ["watching"], {}))
    assert "## Goals: 0 of 1 met" in page
    assert "not measured: there is no" in page


@pytest.mark.parametrize("words", [["--only", "nothing"], ["--repeat", "0"]])
def test_a_slip_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        performance.read_options(words)
    assert words[1] in capsys.readouterr().err
