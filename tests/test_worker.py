"""The worker's parts: carry-out, journal, results."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from savethat.errors import SavethatError
from savethat.logs import now_line
from savethat.remotes.base import Remote
from savethat.remotes.directory import DirectoryRemote
from savethat.worker.carry import CarryOut
from savethat.worker.errand import Ending
from savethat.worker.journal import Journal
from savethat.worker.process import OUT_OF_MEMORY, Said, read_ending
from savethat.worker.result import save_result, scalars

KEY = "FitOLS_2026-11-23T08-05-52_k3x9w2pq"


@pytest.fixture(params=["directory", "b2"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    if request.param == "b2":
        found: Remote = request.getfixturevalue("b2_remote")
        return found
    return DirectoryRemote(tmp_path / "remote")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


def content(remote: Remote) -> dict[str, bytes]:
    return {entry.name.removeprefix(f"{KEY}/"): remote.read(entry.name) for entry in remote.list()}


def test_carry_out_mirrors_the_folder_and_keeps_one_version(
    folder: Path, tmp_path: Path, remote: Remote
) -> None:
    journal = Journal(tmp_path)
    carry = CarryOut(folder, remote, KEY, journal)
    (folder / "deep").mkdir()
    (folder / "deep" / "a").write_text("1")
    (folder / "b").write_text("2")
    carry.carry()
    assert content(remote) == {"deep/a": b"1", "b": b"2"}
    (folder / "deep" / "a").write_text("11")
    (folder / "b").unlink()
    (folder / "c").write_text("3")
    carry.carry()
    carry.carry()
    journal.close()
    assert content(remote) == {"deep/a": b"11", "c": b"3"}
    assert remote.left("").versions == 2


def test_a_file_of_the_same_size_and_time_but_another_inode_is_sent_again(
    folder: Path, tmp_path: Path, remote: Remote
) -> None:
    journal = Journal(tmp_path)
    carry = CarryOut(folder, remote, KEY, journal)
    (folder / "a").write_text("old")
    carry.carry()
    stat = (folder / "a").stat()
    (folder / "new").write_text("new")
    os.utime(folder / "new", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (folder / "new").replace(folder / "a")
    carry.carry()
    journal.close()
    assert content(remote) == {"a": b"new"}


def test_what_is_left_out_is_said_once(folder: Path, tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    carry = CarryOut(folder, DirectoryRemote(tmp_path / "remote"), KEY, journal)
    (folder / "link").symlink_to("/etc/hostname")
    carry.carry()
    carry.carry()
    journal.close()
    assert (tmp_path / "output.log").read_text().count("link") == 2  # in one line


def test_the_journal_completes_lines_and_keeps_the_last_state_of_a_progress_bar(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path)
    journal.stream("stdout", b"hel")
    journal.stream("stdout", "lö\n".encode()[:3])
    journal.stream("stdout", "lö\n".encode()[3:])
    journal.stream("stderr", b" 10%\r 50%\r100%\n")
    journal.line(now_line("logger", "said", "INFO"))
    journal.stream("stdout", b"unfinished")
    journal.close()
    lines = [json.loads(line) for line in (tmp_path / "output.jsonl").read_text().splitlines()]
    assert [(line["source"], line["message"]) for line in lines] == [
        ("stdout", "hellö"),
        ("stderr", "100%"),
        ("logger", "said"),
        ("stdout", "unfinished"),
    ]


@dataclasses.dataclass
class Fit:
    mse: float
    name: str


@pytest.mark.parametrize(
    ("value", "as_json", "expected"),
    [
        ({"mse": 0.1, "n": 3}, {"mse": 0.1, "n": 3}, {"mse": 0.1, "n": 3}),
        ({"a": {"b": 1}}, {"a": {"b": 1}}, {"a.b": 1}),
        (0.5, 0.5, {"value": 0.5}),
        (None, None, {"value": None}),
        ([1, 2], [1, 2], {}),
        ({"mse": math.nan}, {"mse": "nan"}, {"mse": "nan"}),
        ({"x": np.float32(0.5), "n": np.int64(3)}, {"x": 0.5, "n": 3}, {"x": 0.5, "n": 3}),
        (Fit(0.1, "ols"), {"mse": 0.1, "name": "ols"}, {"mse": 0.1, "name": "ols"}),
    ],
)
def test_results_are_pickled_and_written_as_json_where_the_value_allows(
    folder: Path, value: Any, as_json: Any, expected: dict[str, Any]
) -> None:
    assert save_result(value, folder) == expected
    assert json.loads((folder / "results.json").read_text()) == as_json
    assert (folder / "results.pickle").exists()


def test_a_result_without_json_has_no_results_json(folder: Path) -> None:
    assert save_result({"array": np.zeros(3), "mse": 1.0}, folder) == {"mse": 1.0}
    assert not (folder / "results.json").exists()
    assert pickle.loads((folder / "results.pickle").read_bytes())["mse"] == 1.0


def test_a_result_that_cannot_be_pickled_leaves_no_file(folder: Path) -> None:
    with pytest.raises(SavethatError, match="cannot be pickled"):
        save_result(lambda: None, folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "said", "by", "told", "ending"),
    [
        (0, Said(result={"x": 1}), None, "", Ending("completed", "", {"x": 1})),
        (-11, Said(result={}), None, "", Ending("completed")),
        (0, Said(result={}), signal.SIGTERM, "timeout", Ending("completed")),
        (1, Said(error="ValueError: x"), None, "timeout", Ending("failed", "ValueError: x")),
        (1, Said(), signal.SIGINT, "", Ending("cancelled", "interrupted (Ctrl-C)")),
        (-9, Said(), signal.SIGTERM, "", Ending("cancelled", "terminated (SIGTERM)")),
        (-9, Said(), signal.SIGTERM, "timeout", Ending("failed", "timeout")),
        (-9, Said(), signal.SIGTERM, "preempted", Ending("failed", "preempted")),
        (-9, Said(), signal.SIGTERM, "cancelled", Ending("cancelled", "cancelled")),
        # A node that leaves when its end has been announced, ahead of the signal.
        (0, Said(stopped="exit code 0"), None, "timeout", Ending("failed", "timeout")),
        (0, Said(stopped="exit code 0"), None, "", Ending("failed", "exit code 0")),
        (-9, Said(), None, "timeout", Ending("failed", "killed by SIGKILL")),
        (-11, Said(), None, "", Ending("failed", "killed by SIGSEGV")),
        (3, Said(), None, "", Ending("failed", "exit code 3")),
        (0, Said(), None, "", Ending("failed", "exit code 0")),
    ],
)
def test_why_a_child_ended(
    code: int, said: Said, by: signal.Signals | None, told: str, ending: Ending
) -> None:
    assert read_ending(code, said, by, told=told) == ending


def test_a_child_that_was_killed_is_told_with_its_memory() -> None:
    killed = read_ending(-9, Said(), None, memory="14.9 GB resident of 16.0 GB asked")
    assert killed.reason == "killed by SIGKILL, 14.9 GB resident of 16.0 GB asked"
    assert read_ending(-9, Said(), None, memory=OUT_OF_MEMORY).reason == "out of memory"
    assert read_ending(-11, Said(), None, memory=OUT_OF_MEMORY).reason == "killed by SIGSEGV"


def test_long_texts_and_endless_results_are_not_shown() -> None:
    assert scalars({"text": "x" * 1000, "short": "x"}) == {"short": "x"}
    assert len(scalars({str(number): number for number in range(1000)})) == 100


def test_no_line_of_the_log_has_the_key_in_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, secret="K0012345")
    journal.stream("stdout", b"key=K0012345!\n")
    journal.close()
    for name in ("output.log", "output.jsonl"):
        text = (tmp_path / name).read_text()
        assert "K0012345" not in text
        assert "key=[redacted]!" in text
