"""The benchmark's page: made of outcomes, kept and read back, and honest about what failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import memory, performance, report, running, scheduler, sweeping, watching
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


def test_a_first_line_comes_before_the_exit(tmp_path: Path) -> None:
    program = "import sys; print('a', flush=True); sys.stdin.read(); print('b')"
    ran = running.ran([sys.executable, "-c", program], tmp_path, {})
    assert 0 < ran.first_line <= ran.exit


@pytest.mark.parametrize("program", ["", "print('a'); raise SystemExit(3)"])
def test_a_program_that_fails_or_says_nothing_is_no_figure(tmp_path: Path, program: str) -> None:
    with pytest.raises(RuntimeError, match="ended with"):
        running.ran([sys.executable, "-c", program], tmp_path, {})


def test_a_run_is_compared_with_the_work_by_hand() -> None:
    runs = [running.Ran(0.2, 0.4, provenance=True), running.Ran(0.2, 0.4, provenance=False)]
    to_exit, to_line = running.compared("", runs, [running.Ran(0.1, 0.1)])
    assert [(goal.found, goal.met) for goal in to_exit.goals] == [
        ("300 ms", False),
        ("in 1 of 2", False),
    ]
    assert [(goal.found, goal.met) for goal in to_line.goals] == [("100 ms", True)]
    assert not any(case.goals for case in running.compared(", B2", runs, runs))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks /proc")
def test_a_processes_parent_and_memory_are_read() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert memory.parent(process.pid) == os.getpid()
        assert 0 < memory.resident(process.pid) < 20


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for orphans")
def test_what_a_command_leaves_behind_is_waited_for_and_counted(tmp_path: Path) -> None:
    # It is busy until who started it is gone.
    orphan = "setsid bash -c 'while kill -0 $0; do :; done 2>/dev/null; touch done' $$ &"
    cost = sweeping.cost(["bash", "-c", orphan], tmp_path, {})
    assert (tmp_path / "done").exists()
    assert cost["cpu"] > 0
    with pytest.raises(RuntimeError, match="no such thing"):
        sweeping.cost(["bash", "-c", "echo no such thing >&2; exit 3"], tmp_path, {})


def test_a_sweep_is_compared_by_runs_a_second_and_by_cpu_a_run() -> None:
    found = {
        sweeping.SAVETHAT: [sweeping.Swept(9, 130)],
        sweeping.BASH: [sweeping.Swept(40, 20), sweeping.Swept(40, 40)],
        sweeping.SUBMITIT: [sweeping.Swept(4, 300)],
    }
    rates, costs = sweeping.compared(sweeping.Swept(8, 200), found, [absent("parallel", "no")])
    assert [(goal.found, goal.met) for goal in rates.goals] == [("2.00 x its runs a second", True)]
    assert [(goal.found, goal.met) for goal in costs.goals] == [("170 ms", False)]
    assert rates.others[-1].absent == "no"
