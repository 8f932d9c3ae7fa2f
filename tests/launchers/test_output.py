from __future__ import annotations

import os
from pathlib import Path

import pytest

from savethat.launchers.slurm.output import job_output, last_words, output_pattern


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
    job_output(tmp_path, "12").write_bytes(printed)
    assert last_words(tmp_path) == last_words(tmp_path, 0) == words


def test_each_task_of_an_array_has_its_own(tmp_path: Path) -> None:
    for task, time in ((0, 30), (1, 20), (11, 10)):
        path = job_output(tmp_path, f"12_{task}")
        path.write_text(f"task {task}\n")
        os.utime(path, (time, time))
    (tmp_path / "slurm-notes.log").write_text("not a job's\n")
    assert [last_words(tmp_path, task) for task in (0, 1, 11, 2)] == [
        "task 0",
        "task 1",
        "task 11",
        "",
    ]
    assert last_words(tmp_path) == "task 0"
    assert last_words(tmp_path / "missing") == ""


def test_a_percent_sign_in_the_folder_is_no_field() -> None:
    assert output_pattern(Path("/a%j"), array=False) == "/a%%j/slurm-%j.log"
    assert output_pattern(Path("/a"), array=True) == "/a/slurm-%A_%a.log"
