"""B2's bad days: whatever a call meets, nothing is lost, nothing is doubled, and it ends."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from savethat.errors import DeniedError, MissingError, StorageError, UnreachableError
from savethat.remotes import b2_download, b2_retry
from savethat.remotes.b2 import B2Remote
from savethat.remotes.base import Deleted, Stored
from tests.b2_fixtures import PART_SIZE, remote_at
from tests.b2server.client import B2Server

pytestmark = pytest.mark.b2

PASSING = (
    *("503", "500", "429", "408", "401expired", "401bad", "reset", "timeout", "slow", "early503"),
    *("500-after-commit", "reset-after-commit", "timeout-after-commit"),
)
DAMAGES = ("truncate", "corrupt")
LOST = ("500-after-commit", "reset-after-commit", "timeout-after-commit")
TRIES = 9


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between tries, not their number, at a fraction of their length."""
    monkeypatch.setattr(b2_retry, "_WAITS", tuple(wait / 100 for wait in b2_retry._WAITS))


class Faulty:
    """The server, with calls that are struck first."""

    def __init__(self, server: B2Server, prefix: str) -> None:
        self.server, self.prefix = server, prefix

    def strike(
        self, kind: str, *calls: str, count: int = 2, retry_after: int | None = None
    ) -> None:
        if kind == "429" and retry_after is None:
            retry_after = 0  # it always says so
        script = [{"call": call, "kind": kind, "count": count} for call in calls or ("*",)]
        self.server.faults(script=script, retry_after=retry_after, timeout_s=0.05)

    def strike_silent(self, call: str) -> None:
        """The next call is done, and neither it nor another one of its kind has an answer."""
        kinds = (("reset-after-commit", 1), ("reset", 99))
        self.server.faults(script=[{"call": call, "kind": k, "count": n} for k, n in kinds])

    def stop(self) -> None:
        self.server.faults()

    def versions(self) -> list[tuple[str, str]]:
        """Names and SHA-1s of all versions there are."""
        return [
            (
                file["fileName"].removeprefix(f"{self.prefix}/"),
                file["fileInfo"].get("large_file_sha1", file["contentSha1"]),
            )
            for file in self.server.files(f"{self.prefix}/", versions=True)
        ]

    def calls(self) -> dict[str, int]:
        return {call: counts["count"] for call, counts in self.server.settled()["calls"].items()}


@pytest.fixture
def b2(b2_server: B2Server, b2_prefix: str, b2_remote: B2Remote) -> Faulty:
    b2_remote.check()  # authorized before anything strikes
    b2_server.reset_stats()
    return Faulty(b2_server, b2_prefix)


def sha1(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def write(path: Path, size: int) -> bytes:
    path.write_bytes(os.urandom(1000) * (size // 1000))
    return path.read_bytes()


# ---- every kind of fault, in every call


@pytest.mark.parametrize("kind", PASSING)
def test_the_first_calls_of_everything_are_struck(
    b2: Faulty, b2_remote: B2Remote, tmp_path: Path, kind: str
) -> None:
    b2.strike(kind)
    first = b2_remote.put("a/b", b"one")
    b2.strike(kind)
    second = b2_remote.put("a/b", b"two", previous=first)
    assert b2.versions() == [("a/b", second.sha1)]
    b2.strike(kind, "b2_delete_file_version", "b2_list_file_versions")
    third = b2_remote.replace("a/b", b"three")
    assert b2.versions() == [("a/b", third.sha1)]
    b2.strike(kind)
    assert b2_remote.read("a/b") == b"three"
    b2.strike(kind)
    b2_remote.fetch("a/b", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"three"
    b2.strike(kind)
    assert [entry.name for entry in b2_remote.list()] == ["a/b"]
    b2.strike(kind)
    assert b2_remote.forget(third)
    b2_remote.put("a/c", b"four")
    b2.strike(kind)
    assert b2_remote.delete_prefix("a/") == Deleted(1, 4)
    assert b2.versions() == []
    remote = remote_at(b2.server, b2.prefix)
    b2.strike(kind, count=1)
    remote.check()


@pytest.mark.parametrize("kind", [*PASSING, *DAMAGES])
def test_the_first_calls_of_a_large_file_are_struck(
    b2: Faulty, b2_remote: B2Remote, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "large"
    content = write(path, 2 * PART_SIZE + 1000)
    b2.strike(
        kind,
        *("b2_start_large_file", "b2_get_upload_part_url", "b2_upload_part", "b2_copy_part"),
        *("b2_finish_large_file", "b2_delete_file_version", "b2_download_*"),
    )
    stored = b2_remote.put("large", path)
    assert b2.versions() == [("large", sha1(content))]
    with path.open("ab") as file:
        file.write(b"appended")
    b2_remote.extend("large", path, stored)
    assert b2.versions() == [("large", sha1(content + b"appended"))]
    b2_remote.fetch("large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content + b"appended"


def test_a_tenth_of_all_calls_are_struck(b2: Faulty, b2_remote: B2Remote, tmp_path: Path) -> None:
    write(tmp_path / "large", 2 * PART_SIZE)
    seed = 5
    b2.server.faults(rate=0.1, kinds=[*PASSING, *DAMAGES], seed=seed, retry_after=0, timeout_s=0.05)

    def work(thread: int) -> dict[str, str]:
        """A run's life with its files; gives back what is to be left, with SHA-1s."""
        chance = random.Random(thread)
        left: dict[str, str] = {}
        for number in range(20):
            name = f"{thread}/{number}"
            content = chance.randbytes(chance.choice([0, 10, 100_000]))
            stored = b2_remote.put(name, content)
            for _ in range(chance.randrange(3)):
                content += b"more"
                stored = b2_remote.put(name, content, previous=stored)
            if chance.random() < 0.3:
                content = b"replaced"
                stored = b2_remote.replace(name, content)
            assert b2_remote.read(name) == content
            if chance.random() < 0.3:
                removed = b2_remote.forget(stored) if chance.random() < 0.5 else None
                assert removed or b2_remote.delete([name]).versions == 1
            else:
                left[name] = stored.sha1
        if thread < 2:
            left[f"{thread}/large"] = b2_remote.put(f"{thread}/large", tmp_path / "large").sha1
        return left

    with ThreadPoolExecutor(8) as pool:
        wanted = {name: sha1 for left in pool.map(work, range(8)) for name, sha1 in left.items()}
    assert b2.server.fault_plan()["fired"] > 50
    assert sorted(b2.versions()) == sorted(wanted.items())
    b2_remote.delete_prefix("")
    assert b2.versions() == []


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_download_goes_on_where_it_broke_off(
    b2: Faulty, b2_remote: B2Remote, tmp_path: Path, kind: str
) -> None:
    content = write(tmp_path / "x", 2_000_000)
    b2_remote.put("x", tmp_path / "x")
    got: list[int] = []
    b2.strike(kind, "b2_download_*")
    b2_remote.fetch("x", tmp_path / "back", progress=got.append)
    assert (tmp_path / "back").read_bytes() == content
    assert sum(got) == len(content)


@pytest.mark.parametrize("kind", [*DAMAGES, "reset", "503"])
def test_a_large_download_comes_in_ranges(
    b2: Faulty, b2_remote: B2Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(b2_download, "_RANGE", 300_000)
    content = os.urandom(2_000_003)
    b2_remote.put("x", content)
    got: list[int] = []
    b2.server.faults(
        script=[{"call": "b2_download_*", "kind": kind, "after": 1, "count": 2}], retry_after=0
    )
    b2_remote.fetch("x", tmp_path / "x", progress=got.append)
    assert (tmp_path / "x").read_bytes() == content
    assert sum(got) == len(content)
    assert b2_remote.read("x") == content
    assert b2.calls()["b2_download_file_by_id"] >= 6


# ---- what a call that failed leaves to the next


@pytest.mark.parametrize("kind", LOST)
def test_an_upload_that_failed_is_settled_by_the_next(
    b2: Faulty, b2_remote: B2Remote, tmp_path: Path, kind: str
) -> None:
    first = b2_remote.put("run/log", b"one")
    b2.strike(kind, "b2_upload_file", count=TRIES)
    with pytest.raises(UnreachableError):
        b2_remote.put("run/log", b"two", previous=first)
    assert len(b2.versions()) == 1 + TRIES
    b2.stop()
    third = b2_remote.put("run/log", b"three", previous=first)
    assert b2.versions() == [("run/log", third.sha1)]


def test_a_version_deleted_without_an_answer_is_not_taken_for_removed(
    b2: Faulty, b2_remote: B2Remote
) -> None:
    first = b2_remote.put("run/log", b"one")
    b2.strike_silent("b2_delete_file_version")
    with pytest.raises(UnreachableError):
        b2_remote.put("run/log", b"two", previous=first)
    b2.stop()
    third = b2_remote.put("run/log", b"three", previous=first)
    assert b2.versions() == [("run/log", third.sha1)]


@pytest.mark.parametrize("kind", LOST)
def test_what_was_removed_does_not_come_back_whatever_happens(
    b2: Faulty, b2_remote: B2Remote, kind: str
) -> None:
    first = b2_remote.put("run/log", b"one")
    remote_at(b2.server, b2.prefix).delete_prefix("run/")
    b2.strike(kind, "b2_upload_file", "b2_delete_file_version")
    with pytest.raises(MissingError):
        b2_remote.put("run/log", b"two", previous=first)
    assert b2.versions() == []


def test_what_another_wrote_stays_whatever_happens(b2: Faulty, b2_remote: B2Remote) -> None:
    first = b2_remote.put("log", b"one")
    other = remote_at(b2.server, b2.prefix).replace("log", b"by another")
    b2.strike("reset-after-commit", "b2_upload_file", "b2_delete_file_version")
    with pytest.raises(MissingError):
        b2_remote.put("log", b"two", previous=first)
    assert b2.versions() == [("log", other.sha1)]


def test_a_large_file_whose_end_is_unknown_is_settled_by_the_next(
    b2: Faulty, b2_remote: B2Remote, tmp_path: Path
) -> None:
    content = write(tmp_path / "large", PART_SIZE + 1000)
    b2.strike("500-after-commit", "b2_finish_large_file", "b2_get_file_info", count=TRIES)
    with pytest.raises(UnreachableError):
        b2_remote.put("large", tmp_path / "large")
    b2.strike("reset-after-commit", "b2_start_large_file", count=TRIES)
    with pytest.raises(UnreachableError):
        b2_remote.put("large", tmp_path / "large")
    b2.stop()
    b2_remote.put("large", tmp_path / "large")
    assert b2.versions() == [("large", sha1(content))]


def test_prune_takes_what_a_killed_writer_left(
    b2: Faulty, b2_remote: B2Remote, tmp_path: Path
) -> None:
    write(tmp_path / "large", 2 * PART_SIZE)
    b2.strike("cap", "b2_upload_part", "b2_cancel_large_file", count=9)
    with pytest.raises(DeniedError):
        b2_remote.put("run/large", tmp_path / "large")
    b2.stop()
    b2_remote.put("run/log", b"one")
    log = b2_remote.put("run/log", b"two")
    assert len(b2.versions()) == 3
    assert b2_remote.prune("run/").versions == 2
    assert b2.versions() == [("run/log", log.sha1)]


# ---- extending


def grown(remote: B2Remote, path: Path, size: int = PART_SIZE + 1000) -> Stored:
    """A file that is stored and has grown since."""
    write(path, size)
    stored = remote.put("log", path)
    with path.open("ab") as file:
        file.write(b"appended")
    return stored


def test_only_what_was_appended_is_sent(b2: Faulty, b2_remote: B2Remote, tmp_path: Path) -> None:
    path = tmp_path / "log"
    before = grown(b2_remote, path)
    b2.server.reset_stats()
    sent: list[int] = []
    after = b2_remote.extend("log", path, before, progress=sent.append)
    assert sum(sent) == len("appended")
    calls = b2.calls()
    assert (calls["b2_copy_part"], calls["b2_upload_part"]) == (1, 1)
    assert not [call for call in calls if call.startswith("b2_list")]
    assert b2.versions() == [("log", after.sha1)]
    b2_remote.fetch("log", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_a_beginning_that_changed_is_sent_whole(
    b2: Faulty, b2_remote: B2Remote, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    before = grown(b2_remote, path)
    with path.open("rb+") as file:
        file.write(b"changed")
    b2_remote.extend("log", path, before)
    assert b2.versions() == [("log", sha1(path.read_bytes()))]


def test_a_large_file_that_was_removed_is_not_extended(
    b2: Faulty, b2_remote: B2Remote, tmp_path: Path
) -> None:
    before = grown(b2_remote, tmp_path / "log")
    remote_at(b2.server, b2.prefix).delete_prefix("")
    with pytest.raises(MissingError, match="log is no longer there"):
        b2_remote.extend("log", tmp_path / "log", before)
    assert b2.versions() == []


def test_what_we_deleted_without_an_answer_is_extended(
    b2: Faulty, b2_remote: B2Remote, tmp_path: Path
) -> None:
    before = grown(b2_remote, tmp_path / "log")
    b2.strike_silent("b2_delete_file_version")
    with pytest.raises(UnreachableError):
        b2_remote.extend("log", tmp_path / "log", before)
    b2.stop()
    after = b2_remote.extend("log", tmp_path / "log", before)
    assert b2.versions() == [("log", after.sha1)]


# ---- every call ends


def each_call(remote: B2Remote, folder: Path) -> list[Callable[[], object]]:
    """Calls of every kind, of objects `x` (small) and `large` that are there."""
    return [
        lambda: remote.put("y", b"y"),
        lambda: remote.put("y", folder / "large"),
        lambda: remote.read("x"),
        lambda: remote.fetch("large", folder / "back"),
        lambda: list(remote.list()),
        lambda: remote.delete_prefix("none/"),
    ]


@pytest.fixture
def calls(b2: Faulty, b2_remote: B2Remote, tmp_path: Path) -> list[Callable[[], object]]:
    write(tmp_path / "large", 2 * PART_SIZE)
    b2_remote.put("x", b"x")
    b2_remote.put("large", tmp_path / "large")
    return each_call(b2_remote, tmp_path)


@pytest.mark.parametrize("kind", ["429", "503"])
def test_an_hour_is_not_waited_for(
    b2: Faulty, calls: list[Callable[[], object]], kind: str
) -> None:
    for call in calls:
        b2.strike(kind, count=99, retry_after=3600)
        with pytest.raises(UnreachableError, match="to be left alone for 3600 s"):
            call()


def test_what_is_under_way_ends_at_the_moment(
    b2: Faulty, b2_remote: B2Remote, calls: list[Callable[[], object]]
) -> None:
    b2.server.faults(script=[{"call": "*", "kind": "slow", "count": 99}], timeout_s=200)
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
        while b2.server.fault_plan()["fired"] < len(calls):
            time.sleep(0.01)
        b2_remote.hurry(time.monotonic() + 0.2)
        errors = [future.exception() for future in futures]
    assert [type(error) for error in errors] == [UnreachableError] * len(calls)
    assert all("no time left" in str(error) for error in errors)


def test_a_wait_beyond_the_moment_is_not_begun(
    b2: Faulty, b2_remote: B2Remote, calls: list[Callable[[], object]]
) -> None:
    b2_remote.hurry(time.monotonic() + 25)
    for call in calls:
        b2.strike("503", count=99, retry_after=40)
        with pytest.raises(UnreachableError, match="no time left"):
            call()


def test_a_slow_link_is_not_cut(
    b2: Faulty, b2_remote: B2Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("SEND_TIMEOUT", "READ_TIMEOUT"):
        monkeypatch.setattr(b2_retry, limit, 0.5)
    content = write(tmp_path / "x", 1_200_000)
    b2.server.config(bandwidth_mbps=8)
    b2.server.reset_stats()
    try:
        b2_remote.put("x", tmp_path / "x")
        assert b2_remote.read("x") == content
    finally:
        b2.server.config(bandwidth_mbps=0)
    assert b2.calls()["b2_upload_file"] == b2.calls()["b2_download_file_by_name"] == 1


def test_threads_whose_authorization_expired_ask_for_one(b2: Faulty, b2_remote: B2Remote) -> None:
    b2_remote.put("x", b"x")
    b2.server.expire_tokens(uploads=True)
    b2.server.reset_stats()
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(lambda _: b2_remote.read("x"), range(40))) == [b"x"] * 40
    assert b2.calls()["b2_authorize_account"] == 1


@pytest.fixture
def hole() -> Iterator[str]:
    """The URL of a host whose packets are dropped."""
    with socket.socket() as server, socket.socket() as one, socket.socket() as another:
        server.bind(("127.0.0.1", 0))
        server.listen(0)  # room for one that nobody accepts
        for client in (one, another):
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_no_way_out_is_noticed_by_all_threads_at_once(
    hole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    within = b2_retry.FIRST_TRIES * b2_retry.FIRST_CONNECT_TIMEOUT + 1
    assert within < b2_retry.FIRST_CONTACT < 10
    monkeypatch.setattr(b2_retry, "FIRST_CONNECT_TIMEOUT", 0.5)
    remote = B2Remote("bucket", "p", hole, "id", "secret-key")
    errors: list[StorageError] = []

    def ask() -> None:
        try:
            remote.put("x", b"x")
        except UnreachableError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # One thread found out, for all of them.
    assert len(errors) == 8
    assert len({id(error) for error in errors}) == 1


def test_a_name_server_that_keeps_silent_is_not_waited_for(
    hole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("savethat.remotes.b2_contact.FIRST_CONTACT", 0.2)
    with pytest.raises(UnreachableError, match="no connection in"):
        B2Remote("bucket", "p", hole, "id", "secret-key").check()
