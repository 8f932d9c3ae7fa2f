"""A bucket that others can write to: nothing of it is run, obeyed, or written outside."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import os
import pickle
import pty
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from b2sdk import v2

import savethat
from savethat.run.layout import code_name, launch_name, mark_name
from savethat.run.record import Launch, Mark, Place, PlannedRun
from tests.b2_fixtures import b2_project
from tests.b2server.client import B2Server
from tests.program import Project

pytestmark = pytest.mark.b2

T0 = datetime(2026, 11, 23, 8, 5, 52, tzinfo=timezone.utc)
EVIL = "Add_2026-11-23T08-05-52_evil2222"
# A title, a clear screen, a carriage return, a bell, a C1 introducer, an override, half a pair.
OBEYED = "\x1b]0;owned\x07\x1b[2J\rfaked\n\x9b31m\u202e\ud800"
DEEP = b"[" * 100_000
COMMANDS = (
    *(["ls"], ["ls", "--json"], ["ls", "--files"], ["ls", "--absolute", "--sort", "args.a"]),
    *(["ls", "--columns", "args.a,result.sum"], ["ls", "--arg", "a=2"], ["ls", "--tag", "x"]),
    *(["show", EVIL], ["show", "--json", EVIL], ["logs", EVIL], ["code", EVIL, "unpacked"]),
    *(["download", EVIL], ["sync"], ["retry", EVIL], ["rm", "--dry-run", "Add"], ["cancel", EVIL]),
)


class Explosive:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.canary}",)


class Bucket:
    """The project's folder in the bucket, as anybody with a key for it can fill it."""

    def __init__(self, server: B2Server, prefix: str) -> None:
        self._api = v2.B2Api(v2.InMemoryAccountInfo())
        self._api.authorize_account(server.url, server.key_id, server.key)
        self._bucket = self._api.get_bucket_by_name(server.bucket)
        self._prefix = prefix
        self._server = server

    def plant(self, name: str, content: bytes, info: dict[str, str] | None = None) -> None:
        self._bucket.upload_bytes(content, f"{self._prefix}/{name}", file_info=info or {})

    def names(self) -> set[str]:
        start = f"{self._prefix}/"
        return {file["fileName"].removeprefix(start) for file in self._server.files(start)}

    def close(self) -> None:
        self._api.session.raw_api.b2_http.session.close()


@pytest.fixture
def bucket(b2_server: B2Server, b2_prefix: str) -> Iterator[Bucket]:
    bucket = Bucket(b2_server, b2_prefix)
    yield bucket
    bucket.close()


@pytest.fixture
def project(tmp_path: Path, b2_server: B2Server, b2_prefix: str) -> Project:
    return b2_project(tmp_path, b2_server, b2_prefix)


def evil_mark(user: str) -> Mark:
    place = Place("foreground", OBEYED, user, OBEYED)
    return Mark(
        *(EVIL, 1, "completed", "experiments.nodes.Add", EVIL, place, T0, T0, T0),
        reason=OBEYED,
        args={"a": OBEYED, OBEYED: 10**400, "n": [float("nan")]},
        result={"sum": float("inf"), OBEYED: OBEYED},
        tags=(OBEYED,),
        code=capsule()[0],
    )


def capsule() -> tuple[str, bytes]:
    """A capsule that would write beside the folder it is unpacked in."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("../escaped.py")
        archive.addfile(member)
    return hashlib.sha256(file.getvalue()).hexdigest()[:32], gzip.compress(file.getvalue())


def header(mark: Mark, /, **changes: object) -> dict[str, str]:
    return {"savethat": json.dumps({**mark.to_json(), **changes})}


def tree(folder: Path, *, apart: Path) -> dict[str, int]:
    """All files below a folder with their sizes, but for one of its folders."""
    return {
        str(path): path.lstat().st_size
        for path in folder.rglob("*")
        if not path.is_dir() and not path.is_relative_to(apart) and "__pycache__" not in path.parts
    }


def test_whatever_lies_in_the_bucket_is_shown_or_refused_and_no_more(
    project: Project, bucket: Bucket, tmp_path: Path
) -> None:
    key = project.key("Add", "--a", "2")
    user = project.ls()[key]["user"]
    canary = tmp_path / "canary"
    evil, mark_of_evil = evil_mark(user), mark_name(EVIL, 1, "completed")
    # It says that more is in its content, which is not a mark.
    bucket.plant(mark_of_evil, DEEP, header(evil, cut=["args"]))
    explosive = pickle.dumps(Explosive(canary))
    for name, content in {
        "results.pickle": explosive,
        "results.json": DEEP,
        "reproducible.json": json.dumps([1]).encode(),
        "inputs.json": b'{"format":1,"files":[{"key":1}],"left_out":1e999}',
        "args.json": explosive,
        "output.log": OBEYED.encode(errors="replace"),
        "../../escaped.txt": b"escaped",
        f"{'x' * 200}\x9b31m": b"",
    }.items():
        bucket.plant(f"{EVIL}/{name}", content)
    bucket.plant(code_name(evil.code), capsule()[1])
    for number, content in enumerate((DEEP, b"\xff", b"{}", b"9" * 5_000)):
        bucket.plant(launch_name(f"Add_2026-11-23T08-05-5{number}_evil2222"), content)
    bucket.plant(launch_name(f"{EVIL}.x"), b"{}")
    bucket.plant(mark_name(EVIL, 2, "failed"), b"", header(evil, launch="../../x"))
    before = tree(tmp_path, apart=project.data)
    for command in COMMANDS:
        done = project.run(*command, code=None)
        said = done.stdout + done.stderr
        assert "Traceback" not in said, (command, said)
        assert done.returncode in (0, 1, 4, 5, 7), (command, said)
        if command[0] != "logs":
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", said), (command, said)
        if command[0] == "ls":
            assert key in done.stdout or "--tag" in command, (command, said)
    after = tree(tmp_path, apart=project.data)
    assert {name for name in after if after[name] != before.get(name)} <= {
        name for name in after if str(tmp_path / "home") in name
    }
    assert not canary.exists()
    both = project.run("diff", EVIL, key, code=None)
    assert both.returncode in (1, 5)
    assert "Traceback" not in both.stderr


def test_a_listing_names_what_it_cannot_read_and_lists_the_rest(
    project: Project, bucket: Bucket, b2_server: B2Server
) -> None:
    key = project.key("Add", "--a", "2")
    good = dataclasses.replace(evil_mark("anna"), reason="", tags=(), args={}, result={})
    odd: dict[str, dict[str, Any]] = {
        "newer savethat": {"format": 2},
        "another run": {"key": key, "launch": key},
        "launch id": {"launch": "../../../etc"},
        "capsule": {"code": "../../x"},
        "pid": {"place": {**good.to_json()["place"], "pid": -1}},
        "heartbeat": {"heartbeat": float("nan")},
        "time": {"submitted_at": "0001-01-01T00:00:00.000000Z"},
    }
    names = {}
    for attempt, (what, change) in enumerate(odd.items(), 2):
        names[what] = mark_name(EVIL, attempt, "failed")
        failed = dataclasses.replace(good, attempt=attempt, mark="failed")
        bucket.plant(names[what], b"", header(failed, **change))
    large = launch_name("Add_2026-11-23T08-05-52_large222")
    bucket.plant(large, b" " * 100_000_000)
    b2_server.reset_stats()
    done = project.run("ls")
    calls = b2_server.settled()["calls"]
    assert not [call for call in calls if call.startswith("b2_download")]
    assert key in done.stdout
    assert EVIL not in done.stdout
    warned = {line for line in done.stderr.splitlines() if line.startswith("warning:")}
    assert len(warned) == len(odd) + 1
    for name in (*names.values(), large):
        assert sum(name in line for line in warned) == 1
    assert "upgrade" in next(line for line in warned if names["newer savethat"] in line)


def test_removing_a_planted_run_removes_nothing_else(project: Project, bucket: Bucket) -> None:
    keys = [project.key("Add", "--a", str(number)) for number in range(2)]
    user = project.ls()[keys[0]]["user"]
    before = bucket.names()
    evil = evil_mark(user)
    bucket.plant(mark_name(EVIL, 1, "completed"), b"", header(evil))
    # A record under one name, of a launch that is another's.
    other = Launch(keys[0], T0, evil.place, (PlannedRun(keys[0], "experiments.nodes.Add", {}),))
    bucket.plant(launch_name(EVIL), json.dumps(other.to_json()).encode())
    bucket.plant(f"{EVIL}/../{keys[1]}/results.json", b"not below that run")
    done = project.run("rm", "--force", EVIL, code=None)
    assert "Traceback" not in done.stderr
    assert before <= bucket.names()
    assert not [name for name in bucket.names() if name.startswith((f"{EVIL}/", "index/"))]
    assert {row["status"] for row in project.ls().values()} == {"completed"}


def test_nothing_is_written_through_a_link_in_a_runs_folder(
    project: Project, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.plant(mark_name(EVIL, 1, "completed"), b"", header(evil_mark("anna")))
    bucket.plant(f"{EVIL}/data/authorized_keys", b"mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = project.data / EVIL
    folder.mkdir(parents=True)
    (folder / "data").symlink_to(outside)
    done = project.run("download", EVIL, code=5)
    assert "a link that leads out" in done.stderr
    assert not any(outside.iterdir())


def test_a_log_may_colour_a_terminal_and_no_more(project: Project, bucket: Bucket) -> None:
    bucket.plant(mark_name(EVIL, 1, "completed"), b"", header(evil_mark("anna")))
    log = "\x1b[31mred\x1b[0m \x1b]52;c;cm0gLXJm\x07 50%\r100%\n"
    bucket.plant(f"{EVIL}/output.log", log.encode())
    assert project.run("logs", EVIL).stdout == log.replace("\r", "\n")  # as text mode reads it
    master, slave = pty.openpty()
    with os.fdopen(slave, "wb") as terminal:
        subprocess.run(
            [sys.executable, "-m", "savethat", "logs", EVIL],
            cwd=project.root,
            env=project.env,
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            check=True,
        )
        shown = os.read(master, 10_000).decode()
    os.close(master)
    assert shown == "\x1b[31mred\x1b[0m \\x1b]52;c;cm0gLXJm\\x07 50%\r100%\r\n"


def test_a_frame_of_planted_runs_unpickles_nothing(
    project: Project, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    late = dataclasses.replace(evil_mark("anna"), finished_at=T0.replace(year=9999))
    bucket.plant(mark_name(EVIL, 1, "completed"), b"", header(late))
    bucket.plant(f"{EVIL}/results.pickle", pickle.dumps(Explosive(canary)))
    for name, value in project.env.items():
        monkeypatch.setenv(name, value)
    runs = savethat.get_storage(project.root / "savethat.toml").find_runs()
    assert list(savethat.runs_frame(runs)["key"]) == [EVIL]
    assert EVIL in repr(runs)
    assert EVIL in runs._repr_html_()
    assert not canary.exists()
