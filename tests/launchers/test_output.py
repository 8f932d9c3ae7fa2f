from __future__ import annotations

from pathlib import Path

import pytest

from savethat.launchers.output import job_output, last_line, output_pattern


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        (
            b"Traceback (most recent call last):\n  File x\nModuleNotFoundError: No module named"
            b" 'x'\n\n  \n",
            "ModuleNotFoundError: No module named 'x'",
        ),
        (b"10%\r50%\r", "50%"),
        (b"\x1b[31mred\x1b[0m\x07\n", "red"),
        (b"caf\xe9\n", "caf\ufffd"),
        (b"first\n" + b"x" * 50_000, "x" * 300),
        (b"\n \n", ""),
    ],
)
def test_the_last_line_with_words_in_it(tmp_path: Path, printed: bytes, words: str) -> None:
    path = tmp_path / "job.log"
    path.write_bytes(printed)
    assert last_line(path) == words


def test_each_run_of_a_launch_has_its_own_and_slurm_names_it_the_same() -> None:
    folder = Path("/jobs")
    assert job_output(folder, "Fit_1", 0, 0) == folder / "Fit_1.log"
    assert job_output(folder, "Fit_1", 7, 101) == folder / "Fit_1_7.log"
    assert job_output(folder, "Fit_1", 108, 101) == folder / "Fit_1+101_7.log"
    assert last_line(folder / "missing") == ""


def test_a_percent_sign_in_the_folder_is_no_field() -> None:
    assert output_pattern(Path("/a%j"), array=False) == "/a%%j/%x.log"
    assert output_pattern(Path("/a"), array=True) == "/a/%x_%a.log"
