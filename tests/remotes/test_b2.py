from __future__ import annotations

import hashlib
import http.server
import inspect
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import time
import traceback
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from savethat.errors import DeniedError, MissingError, StorageError, UnreachableError
from savethat.remotes.b2 import B2Remote
from savethat.remotes.b2_failures import B2Error
from savethat.remotes.base import Deleted, Remote
from tests.b2_fixtures import PART_SIZE, b2_key, remote_at
from tests.b2server.client import B2Server
from tests.remotes.contract import AWKWARD, RemoteContract

pytestmark = pytest.mark.b2


@pytest.fixture
def remote(b2_remote: B2Remote) -> Remote:
    return b2_remote


class TestB2(RemoteContract):
    pass


def versions(server: B2Server, prefix: str) -> int:
    return len(server.files(prefix, versions=True))


def calls(server: B2Server) -> dict[str, int]:
    return {call: counts["count"] for call, counts in server.settled()["calls"].items()}


def large_file(path: Path, parts: int = 2) -> str:
    """Writes a file that takes so many parts; its SHA-1."""
    block = os.urandom(1_000_000)
    path.write_bytes(block * (PART_SIZE * parts // len(block)) + b"end")
    return hashlib.sha1(path.read_bytes()).hexdigest()


# ---- listings


def test_a_listing_carries_headers_hash_and_time(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str
) -> None:
    info = {"status": "completed", "text": "ünï + % \n{}"}
    stored = b2_remote.put("mark", b"x", info=info)
    (entry,) = b2_remote.list()
    assert entry.info == info
    assert (entry.sha1, entry.size) == (stored.sha1, 1)
    (file,) = b2_server.files(f"{b2_prefix}/")
    assert entry.modified == file["uploadTimestamp"] / 1000


def test_thousands_of_names_take_one_listing(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str
) -> None:
    b2_server.seed(10_001, f"{b2_prefix}/index/{{i:06d}}")
    b2_server.reset_stats()
    b2_remote.check()
    b2_server.reset_stats()
    names = [entry.name for entry in b2_remote.list("index/")]
    assert names == [f"index/{i:06d}" for i in range(10_001)]
    assert calls(b2_server) == {"b2_list_file_names": 2}


def test_folders_take_one_call_whatever_they_hold(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str
) -> None:
    b2_server.seed(4_000, f"{b2_prefix}/a/{{i:06d}}")
    b2_server.seed(500, f"{b2_prefix}/small-{{i:03d}}/x")
    b2_remote.put("z-file", b"")
    b2_server.reset_stats()
    assert list(b2_remote.folders()) == ["a", *(f"small-{i:03d}" for i in range(500))]
    assert calls(b2_server) == {"b2_list_file_names": 1}


def test_what_others_hid_is_not_listed(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str, b2_cli: B2Cli
) -> None:
    for name in ("a", "b", "c"):
        b2_remote.put(name, b"x")
    for name in ("a", "c"):
        b2_cli("file", "hide", f"b2://{b2_server.bucket}/{b2_prefix}/{name}")
    assert [entry.name for entry in b2_remote.list()] == ["b"]
    with pytest.raises(MissingError):
        b2_remote.read("a")
    assert b2_remote.left("") == Deleted(5, 3)
    assert b2_remote.prune("c") == Deleted(2, 1)
    assert b2_remote.delete_prefix("") == Deleted(3, 2)
    assert versions(b2_server, b2_prefix) == 0


# ---- removal


def test_removal_takes_old_versions_and_unfinished_uploads(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> None:
    for _ in range(3):
        b2_remote.put("run/log", b"xy")
    large_file(tmp_path / "large")
    b2_server.faults(
        script=[
            {"call": "b2_upload_part", "kind": "cap", "count": 99},
            {"call": "b2_cancel_large_file", "kind": "cap", "count": 99},
        ]
    )
    with pytest.raises(DeniedError):
        b2_remote.put("run/large", tmp_path / "large")
    b2_server.faults()
    assert len(b2_server.unfinished_large_files(f"{b2_prefix}/run/")) == 1
    assert b2_remote.left("run/").versions == 4
    assert b2_remote.delete_prefix("run/").versions == 4
    assert versions(b2_server, b2_prefix) == 0


def test_names_far_apart_and_with_many_versions_are_deleted(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str
) -> None:
    b2_server.seed(3_000, f"{b2_prefix}/{{i:06d}}")
    for _ in range(3):
        b2_server.seed(1, f"{b2_prefix}/000999")
    wanted = [f"{i:06d}" for i in (0, 1, 998, 999, 1000, 2_500, 2_999)]
    b2_remote.check()
    b2_server.reset_stats()
    assert b2_remote.delete([*wanted, "missing", "zzz"]).versions == len(wanted) + 3
    assert calls(b2_server)["b2_list_file_versions"] <= 5
    assert len(b2_server.files(f"{b2_prefix}/")) == 3_000 - len(wanted)


def test_a_deletion_whose_answer_was_lost_is_ours(b2_remote: B2Remote, b2_server: B2Server) -> None:
    first = b2_remote.put("run/log", b"one")
    lost = {"call": "b2_delete_file_version", "kind": "reset-after-commit", "count": 1}
    b2_server.faults(script=[lost])
    second = b2_remote.put("run/log", b"two", previous=first)
    assert b2_remote.read("run/log") == b"two"
    b2_server.faults(script=[lost])
    assert b2_remote.delete_prefix("run/") == Deleted(1, second.size)


# ---- uploads


@pytest.mark.parametrize("kind", ["503", "429", "401expired", "reset", "408"])
def test_uploads_survive(b2_remote: B2Remote, b2_server: B2Server, kind: str) -> None:
    b2_server.faults(script=[{"call": "b2_upload_file", "kind": kind, "count": 2}], retry_after=0)
    b2_remote.put("a", b"content")
    assert b2_server.fault_plan()["fired"] == 2
    assert b2_remote.read("a") == b"content"
    assert b2_remote.left("") == Deleted(1, 7)


def test_a_large_file_goes_in_parts_with_its_hash(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> None:
    sha1 = large_file(tmp_path / "large")
    b2_server.faults(script=[{"call": "b2_upload_part", "kind": "429", "count": 2}], retry_after=0)
    sent: list[int] = []
    stored = b2_remote.put("large", tmp_path / "large", progress=sent.append)
    size = (tmp_path / "large").stat().st_size
    assert (stored.sha1, stored.size, sum(sent)) == (sha1, size, size)
    (file,) = b2_server.files(f"{b2_prefix}/")
    assert file["contentSha1"] == "none"
    (entry,) = b2_remote.list()
    assert entry.sha1 == sha1
    b2_remote.fetch("large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "large").read_bytes()
    again = b2_remote.put("large", tmp_path / "large", previous=stored)
    assert versions(b2_server, b2_prefix) == 1
    assert b2_remote.forget(again)


def test_a_large_upload_that_fails_leaves_nothing(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> None:
    large_file(tmp_path / "large", parts=3)
    b2_server.faults(script=[{"call": "b2_upload_part", "kind": "cap", "count": 99}])
    with pytest.raises(DeniedError, match="large"):
        b2_remote.put("large", tmp_path / "large")
    assert versions(b2_server, b2_prefix) == 0


def test_a_large_file_cut_short_leaves_nothing_and_ends_at_once(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> None:
    path = tmp_path / "large"
    large_file(path, parts=3)
    with pytest.raises(StorageError, match="rewritten or cut short"):
        b2_remote.put("large", path, progress=lambda _: os.truncate(path, 100))
    assert versions(b2_server, b2_prefix) == 0


@pytest.mark.parametrize(
    "name", ["back\\slash", "x" * 251, "/".join(["x" * 200] * 6), "lone\udce9surrogate"]
)
def test_names_b2_cannot_hold_are_refused_before_any_call(b2_server: B2Server, name: str) -> None:
    remote = remote_at(b2_server, "p")
    b2_server.reset_stats()
    for call in (lambda: remote.put(name, b""), lambda: remote.read(name)):
        with pytest.raises(StorageError, match="cannot be stored under this name"):
            call()
    assert calls(b2_server) == {}


# ---- downloads


def test_a_damaged_download_is_fetched_again(
    b2_remote: B2Remote, b2_server: B2Server, tmp_path: Path
) -> None:
    content = os.urandom(300_000)
    b2_remote.put("x", content)
    for kind in ("corrupt", "truncate"):
        b2_server.faults(script=[{"call": "b2_download_*", "kind": kind, "count": 1}])
        b2_remote.fetch("x", tmp_path / kind)
        assert (tmp_path / kind).read_bytes() == content
        b2_server.faults(script=[{"call": "b2_download_*", "kind": kind, "count": 1}])
        assert b2_remote.read("x") == content


@pytest.mark.parametrize("size", [1000, 2 * PART_SIZE])
def test_a_download_that_stays_damaged_never_lands(
    b2_remote: B2Remote, b2_server: B2Server, tmp_path: Path, size: int
) -> None:
    (tmp_path / "source").write_bytes(os.urandom(size))
    b2_remote.put("x", tmp_path / "source")
    b2_server.faults(script=[{"call": "b2_download_*", "kind": "corrupt", "count": 99}])
    (tmp_path / "target").write_bytes(b"old")
    with pytest.raises(StorageError, match="checksum"):
        b2_remote.fetch("x", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def test_a_file_keeps_its_time(b2_remote: B2Remote, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    os.utime(tmp_path / "x", ns=(0, 1_600_000_000_123_456_789))
    b2_remote.put("x", tmp_path / "x")
    b2_remote.fetch("x", tmp_path / "y")
    assert (tmp_path / "y").stat().st_mtime_ns == 1_600_000_000_123_000_000


# ---- who may, and whether anyone answers


def test_many_threads_authorize_once(b2_remote: B2Remote, b2_server: B2Server) -> None:
    b2_server.reset_stats()
    threads = [threading.Thread(target=b2_remote.put, args=(f"{i}", b"")) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(b2_remote.list())) == 12
    assert calls(b2_server)["b2_authorize_account"] == 1


def test_an_expired_authorization_is_renewed(b2_remote: B2Remote, b2_server: B2Server) -> None:
    b2_remote.put("a", b"x")
    b2_server.expire_tokens(uploads=True)
    b2_remote.put("b", b"x")
    assert b2_remote.read("a") == b"x"
    assert len(list(b2_remote.list())) == 2


def test_a_wrong_key_is_denied_and_not_repeated(b2_server: B2Server) -> None:
    remote = B2Remote(b2_server.bucket, "p", b2_server.url, b2_server.key_id, "wrong-secret")
    with pytest.raises(DeniedError, match=f"{b2_server.bucket} with key {b2_server.key_id}") as e:
        remote.check()
    assert "savethat setup" in e.value.hint
    assert "wrong-secret" not in f"{e.value}{e.value.hint}{remote!r}"


def test_a_missing_bucket_is_named(b2_server: B2Server) -> None:
    with pytest.raises(StorageError, match=r"no-such-bucket.*there is no such bucket"):
        remote_at(b2_server, "p", bucket="no-such-bucket").check()


def test_a_cap_is_denied(b2_remote: B2Remote, b2_server: B2Server) -> None:
    b2_remote.put("x", b"x")
    b2_server.faults(script=[{"call": "*", "kind": "cap", "count": 99}])
    for call in (lambda: b2_remote.put("y", b""), lambda: b2_remote.read("x"), b2_remote.check):
        with pytest.raises(DeniedError, match="cap"):
            call()


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_no_server_is_unreachable_for_every_call_and_thread(deaf_port: int, tmp_path: Path) -> None:
    remote = B2Remote("bucket", "p", f"http://127.0.0.1:{deaf_port}", "id", "secret-key")
    with pytest.raises(UnreachableError, match=r"bucket.*cannot be reached") as caught:
        remote.check()
    assert "secret-key" not in str(caught.value)
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            remote.fetch("x", tmp_path / "x")
        except UnreachableError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 20
    assert abs(remote.now() - time.time()) < 5


class Portal(http.server.BaseHTTPRequestHandler):
    """Answers everything, as a captive portal does."""

    status = 200

    def do_GET(self) -> None:
        body = b"<html>Please log in</html>"
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name http.server looks for

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.mark.parametrize("status", [200, 401, 403, 404, 511])
def test_a_server_that_is_no_b2_is_unreachable(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Portal, "status", status)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Portal) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            with pytest.raises(UnreachableError, match="bucket"):
                B2Remote("bucket", "p", url, "id", "secret-key").check()
        finally:
            server.shutdown()
            thread.join()


def test_a_server_that_went_away_is_unreachable(tmp_path: Path) -> None:
    server = B2Server.start(tmp_path / "server")
    try:
        remote = remote_at(server, "p")
        remote.put("x", b"x")
    finally:
        server.stop()
    remote.hurry(time.monotonic() + 1)
    with pytest.raises(UnreachableError, match="no time left"):
        list(remote.list())


def test_a_remote_cannot_be_pickled(b2_remote: B2Remote) -> None:
    b2_remote.check()
    with pytest.raises(TypeError):
        pickle.dumps(b2_remote)


# ---- errors


def test_every_error_of_b2sdk_becomes_ours() -> None:
    import requests
    from b2sdk.v2 import exception as b2

    from savethat.remotes.b2_errors import translated
    from savethat.remotes.b2_sdk import own_failures

    public = dict(inspect.getmembers(b2, inspect.isclass)).values()
    # DestFileNewer is the Synchronizer's, which is not used, and is made of its own paths.
    kinds = [k for k in public if issubclass(k, b2.B2Error) and k is not b2.DestFileNewer]
    assert len(kinds) > 50
    for kind in (*kinds, requests.ConnectionError, requests.Timeout, requests.TooManyRedirects):
        with (
            pytest.raises(StorageError, match="bucket b with key k"),
            translated("bucket b with key k"),
            own_failures(),
        ):
            raise _made(kind)


def _made(kind: type[Exception]) -> Exception:
    """An error of this class, whatever its constructor asks for."""
    parameters = list(inspect.signature(kind).parameters.values())
    names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    path = types.SimpleNamespace(relative_path="x", mod_time=1)
    known: dict[str, object] = {
        "dest_path": path,
        "source_path": path,
        "exception_info_list": [],
        "content": b"",
        "size": 1,
        "content_length": 1,
        "bytes_read": 1,
        "file_size": 2,
        "range_": (0, 1),
    }
    return kind(*(known.get(name, 1 if "second" in name else name) for name in names))


def test_the_kinds_of_errors_are_told_apart() -> None:
    from savethat.remotes.b2_errors import translate
    from savethat.remotes.b2_failures import DamagedError, GaveUpError, NoAnswerError, RefusalError

    cases: list[tuple[B2Error, type[StorageError]]] = [
        (RefusalError(503, "service_unavailable", "busy"), UnreachableError),
        (RefusalError(429, "too_many_requests", ""), UnreachableError),
        (GaveUpError("no answer"), UnreachableError),
        (NoAnswerError("no answer"), UnreachableError),
        (RefusalError(403, "download_cap_exceeded", "over"), DeniedError),
        (RefusalError(401, "bad_auth_token", ""), DeniedError),
        (RefusalError(401, "unauthorized", ""), DeniedError),
        (RefusalError(400, "file_not_present", ""), MissingError),
        (RefusalError(404, "not_found", ""), MissingError),
        (RefusalError(400, "bad_bucket_id", ""), StorageError),
        (RefusalError(400, "bad_request", "bad"), StorageError),
        (DamagedError("checksum"), StorageError),
    ]
    assert [type(translate(error, "b")) for error, _ in cases] == [kind for _, kind in cases]


def test_an_upload_token_does_not_come_along() -> None:
    from savethat.remotes.b2_errors import translated
    from savethat.remotes.b2_failures import RefusalError

    error = RefusalError(400, "auth_token_limit", "more than one upload using auth token the-token")
    assert "the-token" in str(error)
    with pytest.raises(StorageError) as caught, translated("bucket b"):
        raise error
    assert "the-token" not in "".join(traceback.format_exception(caught.value))


# ---- what people see with their own tools


class B2Cli:
    def __init__(self, server: B2Server, home: Path) -> None:
        self.program = Path(sys.executable).with_name("b2")
        self.environment = {
            **os.environ,
            "B2_ENVIRONMENT": server.url,
            **b2_key(server),
            "B2_ACCOUNT_INFO": str(home / "account_info"),
        }

    def __call__(self, *arguments: str) -> str:
        return subprocess.run(
            [str(self.program), *arguments],
            env=self.environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout


@pytest.fixture
def b2_cli(b2_server: B2Server, tmp_path_factory: pytest.TempPathFactory) -> B2Cli:
    return B2Cli(b2_server, tmp_path_factory.mktemp("b2"))


def test_b2_and_rclone_show_the_same_files(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str, tmp_path: Path, b2_cli: B2Cli
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    os.utime(source, (1_600_000_000, 1_600_000_000))
    for name in AWKWARD:
        b2_remote.put(name, source)
    listed = b2_cli("ls", "-r", f"b2://{b2_server.bucket}/{b2_prefix}/").splitlines()
    assert sorted(listed) == sorted(f"{b2_prefix}/{name}" for name in AWKWARD)

    rclone = shutil.which("rclone")
    assert rclone, "rclone is needed for the tests: install the package rclone"
    environment = {
        **os.environ,
        "RCLONE_CONFIG": str(tmp_path / "none"),
        "RCLONE_B2_ENDPOINT": b2_server.url,
        "RCLONE_B2_ACCOUNT": b2_server.key_id,
        "RCLONE_B2_KEY": b2_server.key,
        "TZ": "UTC",
    }
    listed = subprocess.run(
        [
            rclone,
            "lsf",
            "-R",
            "--files-only",
            "--format",
            "tp",
            f":b2:{b2_server.bucket}/{b2_prefix}",
        ],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout.splitlines()
    assert sorted(listed) == sorted(f"2020-09-13 12:26:40;{name}" for name in AWKWARD)


def test_a_large_upload_goes_on_where_it_stopped_in_another_process(
    b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> None:
    content = os.urandom(4 * PART_SIZE + 17)
    path = tmp_path / "large.bin"
    path.write_bytes(content)
    hurried = remote_at(b2_server, b2_prefix)
    hurried.check()
    # Two of five parts arrive before the time is up.
    b2_server.faults(script=[{"call": "b2_upload_part", "kind": "503", "after": 2, "count": 999}])
    hurried.hurry(time.monotonic() + 3)
    with pytest.raises(UnreachableError):
        hurried.put("run/large.bin", path)
    b2_server.faults()
    (begun,) = b2_server.unfinished_large_files(f"{b2_prefix}/run/")
    b2_server.reset_stats()
    stored = remote_at(b2_server, b2_prefix).put("run/large.bin", path)
    assert stored.version == begun["fileId"]
    assert b2_server.settled()["calls"]["b2_upload_part"]["ok"] == 3
    assert remote_at(b2_server, b2_prefix).read("run/large.bin") == content
    assert b2_server.unfinished_large_files(f"{b2_prefix}/run/") == []
