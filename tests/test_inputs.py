"""What a run read from storage is recorded, whatever becomes of the run."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from savethat.inputs import LIMIT, Input, Inputs, InputsRecord
from savethat.remotes.directory import DirectoryRemote
from savethat.remotes.source import FileSource
from savethat.run.layout import INPUTS_FILE
from savethat.storage import Storage
from tests.b2_fixtures import b2_key, b2_settings
from tests.b2server.client import B2Server
from tests.program import Project, await_true

RUN = "Fit_2026-11-23T08-05-52_k3x9w2pq"

# Nodes that read in every way there is, in a module of the project's own.
NODES = '''
import dataclasses
import time
import savethat
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class ReadArgs:
    fails: bool = False
    flag: str = ""


class Read(savethat.Node[ReadArgs, int]):
    """Reads files and runs."""

    def _run(self) -> int:
        with self.storage.open("data/b.csv") as file:
            length = len(file.read())
        self.storage.download("data")
        with self.storage.open("scratch/own.txt", "w") as file:
            file.write("own")
        with self.storage.open("scratch/own.txt") as file:
            file.read()
        (self.output_dir / "own.txt").write_text("own")
        for run in self.storage.find_runs("Add"):
            run.result()
            run.open("log.csv").close()
        if self.args.flag:
            Path(self.args.flag).touch()
            time.sleep(1000)
        if self.args.fails:
            raise ValueError("after reading")
        return length


class Own(savethat.Node[ReadArgs, None]):
    """Writes a file of its own that has the record's name."""

    def _run(self) -> None:
        self.storage.download("data")
        (self.output_dir / "inputs.json").write_text('{"x": 1}')


class Resumes(savethat.Node[ReadArgs, None]):
    resumable = True

    def _run(self) -> None:
        self.storage.download(f"data/{'ab'[self.attempt - 1]}.csv")
        if self.attempt == 1:
            raise RuntimeError("once")
'''


def sha1(content: str) -> str:
    return hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture(params=["local", "b2"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    toml, env = "", {}
    if request.param == "b2":
        server: B2Server = request.getfixturevalue("b2_server")
        prefix: str = request.getfixturevalue("b2_prefix")
        toml, env = b2_settings(server, prefix), b2_key(server)
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home", toml=toml, env=env)
    (project.root / "experiments" / "reading.py").write_text(NODES)
    return project


def put(project: Project, **files: str) -> None:
    """Makes the data set what `files` say, and leaves no copy of it here that a remote has."""
    code = """
import json, sys, savethat
storage = savethat.get_storage()
for name, content in json.loads(sys.argv[1]).items():
    with storage.open(f"data/{name}.csv", "w") as file:
        file.write(content)
storage.upload("data")
if storage.remote.url != str(storage.local):
    storage.remove("data")
"""
    subprocess.run(
        [sys.executable, "-c", code, json.dumps(files)],
        cwd=project.root,
        env=project.env,
        check=True,
    )


def inputs(project: Project, key: str) -> list[tuple[str, int, str]]:
    """What the run's record says, as it is stored."""
    project.run("download", key)
    record = InputsRecord.from_json(json.loads((project.data / key / INPUTS_FILE).read_bytes()))
    assert record.left_out == 0
    return [(file.key, file.size, file.sha1) for file in record.files]


def test_a_folder_is_recorded_file_by_file_and_anew_when_it_changed(project: Project) -> None:
    put(project, a="12345", b="x")
    first = project.key("Fetch", "--dataset", "data")
    put(project, a="54321")
    second = project.key("Fetch", "--dataset", "data")
    assert inputs(project, first) == [
        ("data/a.csv", 5, sha1("12345")),
        ("data/b.csv", 1, sha1("x")),
    ]
    assert inputs(project, second) == [
        ("data/a.csv", 5, sha1("54321")),
        ("data/b.csv", 1, sha1("x")),
    ]


def test_all_ways_of_reading_count_also_where_the_node_fails(project: Project) -> None:
    put(project, a="1", b="2")
    other = project.key("Add", "--a", "2")
    key = project.key("Read", "--fails", "true", code=1)
    log = "step,loss\n1,0.5\n"
    found = inputs(project, key)
    assert [entry for entry in found if not entry[0].endswith(".pickle")] == [
        ("data/b.csv", 1, sha1("2")),
        ("data/a.csv", 1, sha1("1")),
        (f"{other}/log.csv", len(log), sha1(log)),
    ]
    assert f"{other}/results.pickle" in [name for name, _, _ in found]


def test_an_interrupted_node_and_one_in_this_process_record_too(project: Project) -> None:
    put(project, a="1", b="2")
    flag = project.root / "flag"
    process = project.start("run", "Read", "--flag", str(flag))
    await_true(flag.exists, lambda: "the node to have read")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    (key,) = project.ls()
    assert len(inputs(project, key)) == 2
    code = "from experiments.reading import *; Read(ReadArgs(fails=True)).run()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project.root, env=project.env, capture_output=True
    )
    assert b"after reading" in done.stderr
    (key,) = project.ls("--status", "failed")
    assert len(inputs(project, key)) == 2


def test_a_run_that_read_nothing_has_no_record(project: Project) -> None:
    key = project.key("Add", "--a", "2")
    project.run("download", key)
    assert not (project.data / key / INPUTS_FILE).exists()


def test_a_node_s_own_file_of_that_name_is_kept(project: Project) -> None:
    put(project, a="1")
    key = project.key("Own")
    project.run("download", key)
    assert json.loads((project.data / key / INPUTS_FILE).read_text()) == {"x": 1}
    assert "is the node's own" in project.run("logs", key).stdout


def test_an_attempt_that_goes_on_keeps_what_the_first_had_read(project: Project) -> None:
    put(project, a="1", b="2")
    key = project.key("Resumes", code=1)
    project.run("retry", key)
    project.await_status(key, "completed")
    assert [name for name, _, _ in inputs(project, key)] == ["data/a.csv", "data/b.csv"]


# --- the recorder ---------------------------------------------------------------------------


def test_a_file_is_hashed_again_only_when_it_looks_different(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    plain = FileSource.sha1

    def sha1_counted(source: FileSource) -> str:
        hashed.append(source.path)
        return plain(source)

    monkeypatch.setattr(FileSource, "sha1", sha1_counted)
    recorder = Inputs(RUN)
    storage = Storage(tmp_path, DirectoryRemote(tmp_path), inputs=recorder)
    path = tmp_path / "x"
    path.write_text("1")
    for _ in range(3):
        storage.open("x").close()
        storage.download("x")
    path.write_text("22")
    storage.download("x")
    os.utime(path, (1, 1))
    storage.download("x")
    assert len(hashed) == 3
    assert recorder.record().files == (Input("x", 1, sha1("1")), Input("x", 2, sha1("22")))


def test_own_files_parts_and_what_cannot_be_read_are_no_inputs(tmp_path: Path) -> None:
    recorder = Inputs(RUN)
    storage = Storage(tmp_path, DirectoryRemote(tmp_path), inputs=recorder)
    for name in (f"{RUN}/a", f"{RUN}2/a", "deep/.savethat-part-1", "deep/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    os.mkfifo(tmp_path / "deep" / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "deep")
    for key in (RUN, f"{RUN}/a", f"{RUN}2", "deep", "link"):
        storage.download(key)
    storage.open(f"{RUN}/a").close()
    recorder.used([("gone", tmp_path / "gone")])
    assert [file.key for file in recorder.record().files] == [f"{RUN}2/a", "deep/x", "link/x"]


def test_past_the_limit_files_are_counted_once_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LIMIT == 10_000
    monkeypatch.setattr("savethat.inputs.LIMIT", 2)
    for number in range(5):
        (tmp_path / str(number)).touch()
    recorder = Inputs(RUN)
    for _ in range(2):
        recorder.used((str(number), tmp_path / str(number)) for number in range(5))
    record = recorder.record()
    assert ([file.key for file in record.files], record.left_out) == (["0", "1"], 3)
    assert InputsRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    (tmp_path / "run").mkdir()
    recorder.save(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [INPUTS_FILE]


def test_a_record_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    recorder = Inputs(RUN)
    recorder.used([("x", tmp_path / "x")])
    recorder.save(tmp_path / "no such folder")


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"format": 2, "files": [], "left_out": 0},
        {"format": 1, "files": [], "left_out": True},
        {"format": 1, "files": [1], "left_out": 0},
        {"format": 1, "files": [{"key": "x", "size": 1}], "left_out": 0},
        {"format": 1, "files": [{"key": "x", "size": "1", "sha1": ""}], "left_out": 0},
        {"format": 1, "files": [{"key": 1, "size": 1, "sha1": ""}], "left_out": 0},
        {"format": 1, "files": None, "left_out": 0},
    ],
)
def test_what_is_no_record_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="not a record"):
        InputsRecord.from_json(data)
