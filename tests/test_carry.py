"""Carry-out to B2: what is sent, in which order, and what a reader sees meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import random
import threading
import types
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from savethat.errors import StorageError
from savethat.remotes import pieces
from savethat.remotes.b2 import B2Remote
from savethat.remotes.base import Deleted, Progress, Remote, Stored
from savethat.remotes.directory import DirectoryRemote
from savethat.worker import growing, tasks
from savethat.worker.carry import CarryOut, Fingerprint
from savethat.worker.journal import Journal
from tests.b2_fixtures import PART_SIZE, remote_at
from tests.b2server.client import B2Server

KEY = "FitOLS_2026-11-23T08-05-52_k3x9w2pq"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    (tmp_path / "journal").mkdir()
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


@pytest.fixture
def carry(folder: Path, b2_remote: B2Remote, journal: Journal) -> CarryOut:
    return CarryOut(folder, b2_remote, KEY, journal)


def as_read(remote: Remote) -> dict[str, bytes]:
    """The run's files as a reader sees them."""
    files = [entry.name for entry in pieces.whole(remote.list(f"{KEY}/"))]
    return {name.removeprefix(f"{KEY}/"): pieces.read(remote, name) for name in files}


def as_written(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def objects(server: B2Server, prefix: str) -> list[str]:
    """Every version there is, by name."""
    return [file["fileName"] for file in server.files(f"{prefix}/", versions=True)]


def assert_whole(server: B2Server, prefix: str, folder: Path) -> None:
    """No piece is left, and of each file one version."""
    names = sorted(f"{prefix}/{KEY}/{name}" for name in as_written(folder))
    assert sorted(objects(server, prefix)) == names


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def bytes_in(server: B2Server) -> int:
    count: int = server.stats()["bytes_in"]
    return count


@pytest.mark.parametrize(
    ("step", "times", "most"), [(25_000, 60, 2.2), (1_000_000, 30, 1.2)], ids=["small", "large"]
)
def test_a_growing_log_costs_little_more_than_what_it_grew_by(
    carry: CarryOut,
    folder: Path,
    b2_server: B2Server,
    b2_prefix: str,
    b2_remote: B2Remote,
    step: int,
    times: int,
    most: float,
) -> None:
    log = folder / "output.log"
    b2_server.reset_stats()
    sent = 0
    for number in range(times):
        append(log, random.Random(number).randbytes(step))
        carry.carry()
        sent += bytes_in(b2_server)
        if number % 10 == 9:
            assert as_read(b2_remote) == as_written(folder)
        b2_server.reset_stats()
    assert len(objects(b2_server, b2_prefix)) <= growing.MOST_PIECES + 1
    carry.carry(final=True)
    sent += bytes_in(b2_server)
    assert_whole(b2_server, b2_prefix, folder)
    assert as_read(b2_remote) == as_written(folder)
    assert sent <= most * log.stat().st_size


def test_a_log_that_grows_for_long_has_few_pieces(
    carry: CarryOut,
    folder: Path,
    b2_server: B2Server,
    b2_prefix: str,
    b2_remote: B2Remote,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(growing, "MOST_PIECES", 12)
    log = folder / "output.log"
    append(log, b"x" * growing.WHOLE_BELOW)
    b2_server.reset_stats()
    for number in range(60):
        append(log, random.Random(number).randbytes(1_000))
        carry.carry()
        assert len(objects(b2_server, b2_prefix)) <= 13
    assert as_read(b2_remote) == as_written(folder)
    carry.carry(final=True)
    assert_whole(b2_server, b2_prefix, folder)


def test_nothing_is_listed_or_fetched_to_send_what_grew(
    carry: CarryOut, folder: Path, b2_server: B2Server
) -> None:
    append(folder / "output.log", b"x" * growing.WHOLE_BELOW)
    carry.carry()
    b2_server.reset_stats()
    for _ in range(3):
        append(folder / "output.log", b"more\n")
        (folder / "other").write_text("new")
        carry.carry()
        (folder / "other").unlink()
        carry.carry()
    transactions = b2_server.stats()["transactions"]
    assert (transactions["B"], transactions["C"]) == (0, 0)


def test_what_was_touched_or_written_again_as_it_was_is_not_sent(
    carry: CarryOut, folder: Path, b2_server: B2Server
) -> None:
    (folder / "model").write_bytes(b"x" * 1000)
    carry.carry()
    b2_server.reset_stats()
    os.utime(folder / "model", (1, 1))
    carry.carry()
    (folder / "new").write_bytes(b"x" * 1000)
    (folder / "new").replace(folder / "model")
    carry.carry()
    assert "b2_upload_file" not in b2_server.settled()["calls"]


def test_a_file_that_looks_as_before_on_a_coarse_clock_is_compared(
    carry: CarryOut, folder: Path, b2_remote: B2Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, tick = Fingerprint.of, 2_000_000_000

    def coarse(path: Path) -> Fingerprint | None:
        seen = of(path)
        assert seen is not None
        return dataclasses.replace(
            seen,
            mtime_ns=seen.mtime_ns // tick * tick,
            ctime_ns=seen.ctime_ns // tick * tick,
        )

    monkeypatch.setattr(Fingerprint, "of", coarse)
    for content in (b"one", b"two"):
        (folder / "model").write_bytes(content)
        carry.carry()
        assert as_read(b2_remote) == {"model": content}


def test_a_file_that_is_back_before_its_deletion_was_done_stays(
    folder: Path, b2_server: B2Server, b2_prefix: str, journal: Journal
) -> None:
    remote = mortal_at(b2_server, b2_prefix)
    (folder / "model").write_text("old")
    CarryOut(folder, remote, KEY, journal).carry()
    carry = CarryOut(folder, remote, KEY, journal, earlier=True)
    (folder / "model").unlink()
    remote.steps_left = 0
    with pytest.raises(Killed):
        carry.carry()
    remote.steps_left = None
    (folder / "model").write_text("new")
    carry.carry()
    assert as_read(remote) == {"model": b"new"}
    assert_whole(b2_server, b2_prefix, folder)


def test_a_folder_takes_no_pieces(folder: Path, journal: Journal, tmp_path: Path) -> None:
    remote = DirectoryRemote(tmp_path / "remote")
    carry = CarryOut(folder, remote, KEY, journal)
    for _ in range(3):
        append(folder / "output.log", b"x" * growing.WHOLE_BELOW)
        carry.carry()
    assert [entry.name for entry in remote.list()] == [f"{KEY}/output.log"]
    assert as_read(remote) == as_written(folder)


# How long there is.
TIME = 60.0


@pytest.mark.parametrize(("size", "least", "most"), [(100, 9, 48), (300_000, 1, 8)])
def test_many_small_files_go_at_a_time_and_few_large_ones(
    carry: CarryOut,
    folder: Path,
    b2_server: B2Server,
    b2_remote: B2Remote,
    size: int,
    least: int,
    most: int,
) -> None:
    for number in range(100 if size < 1000 else 20):
        (folder / f"{number}.bin").write_bytes(bytes(size))
    b2_server.config(latency_ms=40)
    b2_server.reset_stats()
    carry.carry()
    stats = b2_server.stats()
    # The server takes a request to be under way until after it has answered it; connections are
    # made for those that are.
    assert stats["max_inflight"] >= least
    assert stats["connections"] <= most
    b2_server.config(latency_ms=0)
    assert as_read(b2_remote) == as_written(folder)


class Recording(B2Remote):
    """Notes what is written; once that of a name is, the time is over. Its clock is its own."""

    written: list[str]
    last = ""
    moment = 0.0

    @override
    def put(
        self,
        name: str,
        source: Path | bytes,
        *,
        info: Mapping[str, str] | None = None,
        previous: Stored | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        self.written.append(name.removeprefix(f"{KEY}/"))
        stored = super().put(name, source, info=info, previous=previous, progress=progress)
        if name == f"{KEY}/{self.last}":
            self.moment = TIME
        return stored


@pytest.fixture
def recording(b2_server: B2Server, b2_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Recording:
    remote = Recording(b2_server.bucket, b2_prefix, b2_server.url, b2_server.key_id, b2_server.key)
    remote.written = []
    monkeypatch.setattr(tasks, "PARALLEL", 1)
    monkeypatch.setattr(tasks, "time", types.SimpleNamespace(monotonic=lambda: remote.moment))
    return remote


WORTH = [
    "output.log",
    "output.jsonl",
    "args.json",
    "results.pickle",
    "results.json",
    "reproducible.json",
    "inputs.json",
    "checkpoint.9",
    "a.csv",
    "b.csv",
    "checkpoint.8",
]


def write_by_worth(folder: Path) -> None:
    for name in reversed(WORTH):
        (folder / name).write_bytes(
            b"x" * (100_000 if "point" in name else 1_000 + WORTH.index(name))
        )
        os.utime(folder / name, (1_700_000_000, 1_700_000_000 + name.endswith("9")))


def test_what_is_worth_most_goes_first_and_what_there_is_no_time_for_is_left(
    folder: Path, recording: Recording, journal: Journal
) -> None:
    write_by_worth(folder)
    carry = CarryOut(folder, recording, KEY, journal)
    assert carry.left() == WORTH
    recording.last = "checkpoint.9"
    carry.carry(TIME, final=True)
    assert recording.written == WORTH[:8]
    assert carry.left() == WORTH[8:]
    carry.carry()
    assert recording.written == WORTH
    assert carry.left() == []
    append(folder / "output.log", b"!")
    assert carry.left() == ["output.log"]
    assert carry.size()[0] == len(WORTH)


def test_with_no_time_nothing_is_begun(
    folder: Path, recording: Recording, journal: Journal
) -> None:
    write_by_worth(folder)
    carry = CarryOut(folder, recording, KEY, journal)
    carry.carry(0.0, final=True)
    assert recording.written == []
    assert carry.left() == WORTH


def test_with_little_time_pieces_go_first_and_whole_files_last(
    folder: Path, recording: Recording, journal: Journal
) -> None:
    carry = CarryOut(folder, recording, KEY, journal)
    append(folder / "output.log", b"x" * growing.WHOLE_BELOW)
    carry.carry()
    append(folder / "output.log", b"more")
    (folder / "model").write_text("model")
    recording.written.clear()
    recording.last = "model"
    carry.carry(TIME, final=True)
    first, second = recording.written
    assert (pieces.file_of(first), second) == ("output.log", "model")
    assert carry.left() == []
    assert as_read(recording) == as_written(folder)


def test_a_file_that_cannot_be_read_hides_no_other(
    carry: CarryOut, folder: Path, b2_remote: B2Remote, journal: Journal
) -> None:
    (folder / "bad\\name").write_text("x")
    (folder / "good").write_text("good")
    with pytest.raises(StorageError, match="backslash"):
        carry.carry()
    assert as_read(b2_remote) == {"good": b"good"}
    assert carry.left() == ["bad\\name"]


def test_what_takes_a_file_s_place_is_there_before_the_file_goes(
    carry: CarryOut, folder: Path, b2_remote: B2Remote
) -> None:
    (folder / "checkpoint.1").write_text("one")
    carry.carry()
    (folder / "checkpoint.1").unlink()
    (folder / "checkpoint\\2").write_text("two")
    with pytest.raises(StorageError, match="backslash"):
        carry.carry()
    assert as_read(b2_remote) == {"checkpoint.1": b"one"}
    (folder / "checkpoint\\2").rename(folder / "checkpoint.2")
    carry.carry()
    assert as_read(b2_remote) == {"checkpoint.2": b"two"}


def test_files_that_never_stand_still_are_stored_as_they_were(
    carry: CarryOut, folder: Path, b2_server: B2Server, b2_prefix: str, b2_remote: B2Remote
) -> None:
    size = 3_000_000
    over = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if over.is_set():
                return
            append(folder / "output.log", b"%08d\n" % number * 500)
            (folder / "aside").write_bytes(b"%08d" % number * (size // 8))
            (folder / "aside").replace(folder / "replaced")
            with (folder / "rewritten").open("wb") as file:
                for _ in range(8):
                    file.write(b"%08d" % number * (size // 64))
            (folder / f"brief{number % 3}").write_text("x")
            with contextlib.suppress(FileNotFoundError):
                (folder / f"brief{(number + 1) % 3}").unlink()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(12):
            carry.carry()
            read = as_read(b2_remote)
            if "output.log" in read:
                lines = read["output.log"].splitlines()
                assert lines == sorted(lines)
                assert set(map(len, lines[:-1])) <= {8}
            for name in ("replaced", "rewritten"):
                assert len({read.get(name, b"")[i : i + 8] for i in range(0, size, 8)} - {b""}) <= 1
            assert len(read.get("replaced", b"x" * size)) == size
    finally:
        over.set()
        writer.join()
    carry.carry(final=True)
    assert as_read(b2_remote) == as_written(folder)
    b2_remote.prune("")
    assert_whole(b2_server, b2_prefix, folder)


class Killed(BaseException):
    """Ends a carry-out at one of its steps, as a SIGKILL would."""


class Mortal(B2Remote):
    """Counts the steps that change what is stored, and is killed at one of them."""

    steps_left: int | None = None

    def step(self) -> None:
        if self.steps_left is not None:
            if self.steps_left == 0:
                raise Killed
            self.steps_left -= 1

    @override
    def put(
        self,
        name: str,
        source: Path | bytes,
        *,
        info: Mapping[str, str] | None = None,
        previous: Stored | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        self.step()
        return super().put(name, source, info=info, previous=previous, progress=progress)

    @override
    def extend(
        self,
        name: str,
        source: Path,
        previous: Stored,
        *,
        info: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        self.step()
        return super().extend(name, source, previous, info=info, progress=progress)

    @override
    def forget(self, stored: Stored) -> bool:
        self.step()
        return super().forget(stored)

    @override
    def delete(self, names: Iterable[str]) -> Deleted:
        self.step()
        # As if it ended midway, whatever it had got to.
        for name in sorted(names):
            super().delete([name])
            self.step()
        return Deleted()


def mortal_at(server: B2Server, prefix: str) -> Mortal:
    return Mortal(server.bucket, prefix, server.url, server.key_id, server.key)


@pytest.mark.parametrize("final", [False, True])
def test_killed_at_any_step_a_reader_sees_a_true_state_and_the_next_attempt_goes_on(
    folder: Path,
    b2_server: B2Server,
    b2_prefix: str,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    final: bool,
) -> None:
    monkeypatch.setattr(growing, "MOST_PIECES", 3)
    monkeypatch.setattr(growing, "_FEW", 1)
    for step in itertools.count():
        prefix = f"{b2_prefix}/{final}-{step}"
        for path in folder.iterdir():
            path.unlink()
        log = folder / "output.log"
        append(log, b"a" * growing.WHOLE_BELOW)
        states = [log.read_bytes()]
        remote = mortal_at(b2_server, prefix)
        carry = CarryOut(folder, remote, KEY, journal)
        carry.carry()
        for number in range(3):
            append(log, b"%d" % number * 100)
            states.append(log.read_bytes())
            carry.carry()
        append(log, b"last")
        states.append(log.read_bytes())
        remote.steps_left = step
        try:
            carry.carry(final=final)
        except Killed:
            killed = True
        else:
            killed = False
        remote.steps_left = None
        read = as_read(remote)["output.log"]
        assert read in states[-2:]
        # What the next attempt is given: what was stored.
        log.write_bytes(read)
        append(log, b"next")
        carry = CarryOut(folder, remote, KEY, journal, earlier=True)
        carry.carry()
        assert as_read(remote) == as_written(folder)
        carry.carry(final=True)
        assert as_read(remote) == as_written(folder)
        remote.prune("")
        assert_whole(b2_server, prefix, folder)
        if not killed:
            break
    assert step >= 2


def test_the_next_attempt_sends_only_what_differs(
    folder: Path, b2_server: B2Server, b2_remote: B2Remote, journal: Journal
) -> None:
    (folder / "model").write_bytes(os.urandom(100_000))
    append(folder / "output.log", b"x" * growing.WHOLE_BELOW)
    carry = CarryOut(folder, b2_remote, KEY, journal)
    carry.carry()
    append(folder / "output.log", b"piece")
    carry.carry()
    b2_server.reset_stats()
    append(folder / "output.log", b"attempt 2")
    carry = CarryOut(folder, b2_remote, KEY, journal, earlier=True)
    carry.carry()
    assert bytes_in(b2_server) < 10_000
    assert as_read(b2_remote) == as_written(folder)


def test_what_a_straggler_wrote_meanwhile_does_not_stay(
    folder: Path, tmp_path: Path, b2_server: B2Server, b2_prefix: str, journal: Journal
) -> None:
    remote = remote_at(b2_server, b2_prefix)
    old_folder = tmp_path / "old"
    for path in (folder, old_folder):
        path.mkdir(exist_ok=True)
        (path / "model").write_text("first")
        append(path / "output.log", b"x" * growing.WHOLE_BELOW)
    old = CarryOut(old_folder, remote, KEY, journal)
    old.carry()
    new = CarryOut(folder, remote, KEY, journal, earlier=True)
    new.carry()
    (old_folder / "model").write_text("straggler")
    (old_folder / "other").write_text("straggler")
    append(old_folder / "output.log", b"straggler")
    old.carry()
    append(folder / "output.log", b"new")
    new.carry(final=True)
    assert as_read(remote) == as_written(folder)
    remote.prune("")
    assert_whole(b2_server, b2_prefix, folder)


def test_a_log_that_becomes_large_in_the_next_attempt_is_extended(
    folder: Path, b2_server: B2Server, b2_prefix: str, b2_remote: B2Remote, journal: Journal
) -> None:
    append(folder / "output.log", os.urandom(PART_SIZE + 1_000))
    CarryOut(folder, b2_remote, KEY, journal).carry()
    carry = CarryOut(folder, b2_remote, KEY, journal, earlier=True)
    carry.carry()
    append(folder / "output.log", b"first")  # its version is not known: it is sent whole
    carry.carry()
    b2_server.reset_stats()
    append(folder / "output.log", b"second")
    carry.carry(final=True)
    assert bytes_in(b2_server) < 10_000
    assert as_read(b2_remote) == as_written(folder)
    assert_whole(b2_server, b2_prefix, folder)


@dataclasses.dataclass(frozen=True)
class Step:
    """Something that happens to a file, or to the run.

    Args:
        what: `append`, `truncate`, `rewrite`, `replace`, `delete`, `carry` or `kill`.
        file: which.
        size: bytes that are added or left; for `kill` the step at which it comes.
    """

    what: str
    file: int = 0
    size: int = 0


CHANGES = st.builds(
    Step,
    st.sampled_from(["append", "append", "append", "truncate", "rewrite", "replace", "delete"]),
    st.integers(0, 1),
    st.sampled_from([0, 1, 100, growing.WHOLE_BELOW, 3 * growing.WHOLE_BELOW]),
)
CARRIES = st.one_of(
    st.just(Step("carry")), st.builds(Step, st.just("kill"), st.just(0), st.integers(0, 4))
)


def change(step: Step, path: Path, number: int) -> None:
    data = random.Random(number).randbytes(step.size)
    if step.what == "append":
        append(path, data)
    elif step.what == "rewrite":
        path.write_bytes(data)
    elif step.what == "replace":
        path.with_name("aside").write_bytes(data)
        path.with_name("aside").replace(path)
    elif path.exists():
        if step.what == "truncate":
            with path.open("rb+") as file:
                file.truncate(min(step.size, path.stat().st_size))
        else:
            path.unlink()


_examples = itertools.count()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(CHANGES, CARRIES), min_size=1, max_size=12))
def test_a_reader_sees_states_that_files_had(
    folder: Path,
    b2_server: B2Server,
    b2_prefix: str,
    journal: Journal,
    steps: list[tuple[Step, Step]],
) -> None:
    prefix = f"{b2_prefix}/{next(_examples)}"
    for path in folder.iterdir():
        path.unlink()
    remote = mortal_at(b2_server, prefix)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(growing, "MOST_PIECES", 3)
        patch.setattr(growing, "_FEW", 1)
        had: dict[str, set[bytes]] = defaultdict(set)
        carry = CarryOut(folder, remote, KEY, journal)
        for number, (changing, carrying) in enumerate(steps):
            change(changing, folder / f"file{changing.file}", number)
            for name, content in as_written(folder).items():
                had[name].add(content)
            if carrying.what == "kill":
                remote.steps_left = carrying.size
                with contextlib.suppress(Killed):
                    carry.carry()
                remote.steps_left = None
                carry = CarryOut(folder, remote, KEY, journal, earlier=True)
                for name, content in as_read(remote).items():
                    assert content in had[name]
            else:
                carry.carry()
                assert as_read(remote) == as_written(folder)
                assert carry.left() == []
        carry.carry(final=True)
    assert as_read(remote) == as_written(folder)
    remote.prune("")
    assert_whole(b2_server, prefix, folder)


def test_what_a_killed_attempt_left_behind_its_last_version_goes_in_the_end(
    b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model.ckpt").write_text("second")
    killed = remote_at(b2_server, b2_prefix)
    for content in (b"first", b"second"):  # killed before it deleted the first
        killed.put("KEY/model.ckpt", content)
    journal = Journal(tmp_path)
    carry = CarryOut(folder, remote_at(b2_server, b2_prefix), "KEY", journal, earlier=True)
    carry.carry(final=True)
    files = b2_server.files(f"{b2_prefix}/KEY/", versions=True)
    assert [file["fileName"] for file in files] == [f"{b2_prefix}/KEY/model.ckpt"]
