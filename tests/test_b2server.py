from __future__ import annotations

import hashlib
import http.client
import importlib
import io
import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.b2server.client import B2Server
from tests.b2server.raw import Answer, Raw

pytestmark = pytest.mark.b2

PART = 1_000_000
OPTIONS = ("--min-part-size", str(PART), "--part-size", str(PART))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[B2Server]:
    server = B2Server.start(tmp_path_factory.mktemp("b2") / "data", options=OPTIONS)
    yield server
    server.stop()


@pytest.fixture
def server(shared: B2Server) -> Iterator[B2Server]:
    """The shared emulator, with an empty bucket, and with neither faults nor counts."""
    Raw(shared).empty()
    shared.reset_stats()
    yield shared
    shared.faults()
    shared.config(latency_ms=0, bandwidth_mbps=0)


@pytest.fixture
def raw(server: B2Server) -> Raw:
    client = Raw(server)
    server.reset_stats()
    return client


def visible(server: B2Server, prefix: str = "") -> list[str]:
    return [file["fileName"] for file in server.files(prefix)]


# ---- b2sdk


class Sdk:
    def __init__(self, server: B2Server, interface: str) -> None:
        self.b2 = importlib.import_module(f"b2sdk.{interface}")
        self.errors = importlib.import_module(f"b2sdk.{interface}.exception")
        self.api = self.b2.B2Api(self.b2.InMemoryAccountInfo(), max_upload_workers=2)
        if interface == "v2":
            self.api.authorize_account(server.url, server.key_id, server.key)
        else:
            self.api.authorize_account(server.key_id, server.key, realm=server.url)
        self.bucket = self.api.get_bucket_by_name(server.bucket)

    def read(self, name: str) -> bytes:
        buffer = io.BytesIO()
        self.bucket.download_file_by_name(name).save(buffer)
        return buffer.getvalue()


@pytest.fixture(params=["v2", "v3"])
def sdk(server: B2Server, request: pytest.FixtureRequest) -> Iterator[Sdk]:
    client = Sdk(server, request.param)
    yield client
    client.api.session.raw_api.b2_http.session.close()


def test_sdk_files_versions_and_listing(server: B2Server, sdk: Sdk) -> None:
    for name in ("runs/a/1", "runs/a/2", "runs/b", "other", "odd/ü ä+%#?&'\""):
        sdk.bucket.upload_bytes(name.encode(), name, file_info={"key": "wért"})
        assert sdk.read(name) == name.encode()
    assert [file["fileInfo"] for file in server.files("other")] == [{"key": "wért"}]
    recursive = [version.file_name for version, _ in sdk.bucket.ls("runs", recursive=True)]
    assert recursive == ["runs/a/1", "runs/a/2", "runs/b"] == visible(server, "runs/")
    assert [folder or version.file_name for version, folder in sdk.bucket.ls("runs")] == [
        "runs/a/",
        "runs/b",
    ]

    ids = [sdk.bucket.upload_bytes(data, "versions").id_ for data in (b"old", b"new")]
    assert sdk.read("versions") == b"new"
    sdk.bucket.hide_file("versions")
    with pytest.raises(sdk.errors.FileAlreadyHidden):
        sdk.bucket.hide_file("versions")
    with pytest.raises(sdk.errors.FileNotPresent):
        sdk.read("versions")
    actions = [version.action for version in sdk.bucket.list_file_versions("versions")]
    assert actions == ["hide", "upload", "upload"]
    sdk.bucket.unhide_file("versions")
    sdk.api.delete_file_version(ids[1], "versions")
    assert sdk.read("versions") == b"old"
    sdk.api.delete_file_version(ids[0], "versions")
    with pytest.raises(sdk.errors.FileNotPresent):
        sdk.api.delete_file_version(ids[0], "versions")
    assert server.files("versions", versions=True) == []


def test_sdk_large_file_is_resumed(server: B2Server, sdk: Sdk, tmp_path: Path) -> None:
    data = os.urandom(3 * PART)
    source = tmp_path / "large"
    source.write_bytes(data)
    modified = str(int(source.stat().st_mtime * 1000))
    started = sdk.api.services.large_file.start_large_file(
        sdk.bucket.id_,
        "large",
        "application/octet-stream",
        {
            "src_last_modified_millis": modified,
            "large_file_sha1": hashlib.sha1(data).hexdigest(),
        },
    )
    sha1 = hashlib.sha1(data[:PART]).hexdigest()
    sdk.api.session.upload_part(started.file_id, 1, PART, sha1, io.BytesIO(data[:PART]))
    assert [file["fileName"] for file in server.unfinished_large_files()] == ["large"]
    assert visible(server) == []

    server.reset_stats()
    version = sdk.bucket.create_file(
        [sdk.b2.WriteIntent(sdk.b2.UploadSourceLocalFile(str(source)))],
        "large",
        content_type="application/octet-stream",
        file_info={"src_last_modified_millis": modified},
        min_part_size=PART,
        recommended_upload_part_size=PART,
    )
    assert version.id_ == started.file_id
    assert server.settled()["calls"]["b2_upload_part"]["ok"] == 2
    assert server.unfinished_large_files() == []
    assert sdk.read("large") == data
    buffer = io.BytesIO()
    sdk.bucket.download_file_by_name("large", range_=(PART - 1, 2 * PART)).save(buffer)
    assert buffer.getvalue() == data[PART - 1 : 2 * PART + 1]


@pytest.mark.parametrize(
    ("kind", "versions"),
    [
        ("503", 1),
        ("408", 1),
        ("500", 1),
        ("early503", 1),
        ("reset", 1),
        ("401expired", 1),
        ("500-after-commit", 2),
        ("reset-after-commit", 2),
    ],
)
def test_sdk_gets_over_faults_of_an_upload(server: B2Server, kind: str, versions: int) -> None:
    sdk = Sdk(server, "v2")
    server.faults(script=[{"call": "b2_upload_file", "kind": kind}])
    sdk.bucket.upload_bytes(bytes(300_000), "file")
    assert server.fault_plan()["fired"] == 1
    assert len(server.files("file", versions=True)) == versions
    sdk.api.session.raw_api.b2_http.session.close()


def test_sdk_goes_on_after_tokens_expired(server: B2Server, sdk: Sdk) -> None:
    server.expire_tokens(uploads=True)
    sdk.bucket.upload_bytes(b"data", "file")
    assert visible(server) == ["file"]
    assert server.settled()["calls"]["b2_get_upload_url"]["errors"] == {"401 expired_auth_token": 1}


def test_sdk_notices_a_corrupt_download(server: B2Server, sdk: Sdk) -> None:
    sdk.bucket.upload_bytes(bytes(200_000), "file")
    server.faults(script=[{"call": "b2_download_file_by_name", "kind": "corrupt"}])
    with pytest.raises(sdk.errors.ChecksumMismatch):
        sdk.read("file")


# ---- command lines


def test_command_lines_list_the_same(server: B2Server, raw: Raw, tmp_path: Path) -> None:
    rclone = shutil.which("rclone")
    if rclone is None:
        pytest.skip("rclone is not installed")
    names = ["a b", "runs/1/ü+", "runs/2/x"]
    for name in names:
        raw.upload(name, name.encode())
    raw.upload("hidden")
    raw.call("b2_hide_file", bucketId=raw.bucket_id, fileName="hidden")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "B2_ACCOUNT_INFO": str(tmp_path / "account"),
        "B2_ENVIRONMENT": server.url,
        "B2_APPLICATION_KEY_ID": server.key_id,
        "B2_APPLICATION_KEY": server.key,
        "RCLONE_CONFIG": str(tmp_path / "rclone.conf"),
        "RCLONE_CONFIG_TEST_TYPE": "b2",
        "RCLONE_CONFIG_TEST_ACCOUNT": server.key_id,
        "RCLONE_CONFIG_TEST_KEY": server.key,
        "RCLONE_B2_ENDPOINT": server.url,
    }

    def output(*command: str) -> list[str]:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
        return done.stdout.decode().splitlines()

    b2 = str(Path(sys.executable).with_name("b2"))
    assert output(b2, "ls", "-r", f"b2://{server.bucket}") == names
    assert sorted(output(rclone, "lsf", "-R", "--files-only", f"test:{server.bucket}")) == names
    assert output(b2, "file", "cat", f"b2://{server.bucket}/a b") == ["a b"]
    assert output(rclone, "cat", f"test:{server.bucket}/runs/1/ü+") == ["runs/1/ü+"]
    assert output(rclone, "lsf", f"test:{server.bucket}/runs") == ["1/", "2/"]


# ---- rules of the API


def test_a_wrong_key_or_token_is_refused(server: B2Server, raw: Raw) -> None:
    assert Raw(server, key="wrong").account.error == (401, "bad_auth_token")
    assert Raw(server, key_id="nobody").account.error == (401, "bad_auth_token")
    tampered = raw.token[:-2] + ("AA" if raw.token[-2:] != "AA" else "BB")
    for token in ("nonsense", tampered):
        refused = raw.call("b2_list_file_names", token, bucketId=raw.bucket_id)
        assert refused.error == (401, "bad_auth_token")
    server.expire_tokens()
    expired = raw.call("b2_list_file_names", bucketId=raw.bucket_id)
    assert expired.error == (401, "expired_auth_token")


def test_one_upload_at_a_time_on_a_url(raw: Raw, server: B2Server) -> None:
    url = raw.upload_url()
    host, port = raw.host.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as first:
        head = (
            f"POST {urllib.parse.urlsplit(url['uploadUrl']).path} HTTP/1.1\r\n"
            f"Authorization: {url['authorizationToken']}\r\nX-Bz-File-Name: first\r\n"
            f"Content-Type: b2/x-auto\r\nX-Bz-Content-Sha1: {hashlib.sha1(b'x').hexdigest()}\r\n"
            "Content-Length: 1\r\nExpect: 100-continue\r\n\r\n"
        )
        first.sendall(head.encode())
        assert first.recv(100).startswith(b"HTTP/1.1 100")
        # The emulator has read the head, but may not have begun the upload yet.
        for _ in range(100):
            second = raw.upload("second", b"y", url)
            if second.status != 200:
                break
        assert second.error == (400, "auth_token_limit")
        first.sendall(b"x")
        assert first.recv(100).startswith(b"HTTP/1.1 200")
    assert raw.upload("third", b"z", url).status == 200
    assert {"first", "third"} <= set(visible(server))


@pytest.mark.parametrize("kind", ["503", "500", "408"])
def test_a_failed_upload_url_stays_bad(server: B2Server, raw: Raw, kind: str) -> None:
    url = raw.upload_url()
    server.faults(script=[{"call": "b2_upload_file", "kind": kind}])
    assert raw.upload("file", b"", url).status == int(kind)
    assert raw.upload("file", b"", url).error == (503, "service_unavailable")
    assert raw.upload("file").status == 200


def test_an_upload_url_stays_good_after_too_many_requests(server: B2Server, raw: Raw) -> None:
    url = raw.upload_url()
    server.faults(script=[{"call": "b2_upload_file", "kind": "429"}], retry_after=7)
    refused = raw.upload("file", b"", url)
    assert refused.error == (429, "too_many_requests")
    assert refused.headers["retry-after"] == "7"
    assert raw.upload("file", b"", url).status == 200


def test_the_sha1_of_a_body_is_judged(server: B2Server, raw: Raw) -> None:
    for data in (b"small", bytes(2 * PART)):  # packed, and in a file of its own
        tail = hashlib.sha1(data).hexdigest().encode()
        assert raw.upload("good", data + tail, sha1="hex_digits_at_end").status == 200
        assert raw.upload("bad", data, sha1="1" * 40).error == (400, "bad_request")
        wrong = raw.upload("bad", data + b"0" * 40, sha1="hex_digits_at_end")
        assert wrong.error == (400, "bad_request")
        assert raw.download("good").body == data
    unverified = raw.upload("other", b"data", sha1="do_not_verify").json["contentSha1"]
    assert unverified == "unverified:" + hashlib.sha1(b"data").hexdigest()
    assert visible(server) == ["good", "other"]


@pytest.mark.parametrize(
    "name", ["é" * 512 + "x", "/absolute", "double//slash", "end/", "back\\slash", "bell\x07", ""]
)
def test_a_name_against_the_rules_is_refused(raw: Raw, server: B2Server, name: str) -> None:
    assert raw.upload(name).error == (400, "bad_request")
    assert raw.upload("é" * 512).status == 200
    assert visible(server) == ["é" * 512]


def test_the_limits_of_file_info(raw: Raw) -> None:
    assert raw.upload("file", info={f"k{i}": "v" for i in range(10)}).status == 200
    assert raw.upload("file", info={f"k{i}": "v" for i in range(11)}).status == 400
    assert raw.upload("file", info={"key": "v" * 6900}).status == 200
    assert raw.upload("file", info={"key": "v" * 7000}).status == 400
    assert raw.upload("file", info={"b2-unknown": "v"}).status == 400


def test_a_key_restricted_to_a_prefix(server: B2Server, raw: Raw) -> None:
    for name in ("mine/1", "theirs/1"):
        raw.upload(name, b"data")
    key = raw.call(
        "b2_create_key",
        accountId=raw.account.json["accountId"],
        capabilities=["listBuckets", "listFiles", "readFiles", "writeFiles"],
        keyName="restricted",
        bucketId=raw.bucket_id,
        namePrefix="mine/",
    ).json
    restricted = Raw(server, key["applicationKeyId"], key["applicationKey"])
    unauthorized = (401, "unauthorized")
    assert restricted.names(prefix="mine/") == [("mine/1", "upload")]
    assert restricted.upload("mine/2").status == 200
    assert restricted.download("mine/1").body == b"data"
    listing = restricted.call("b2_list_file_names", bucketId=raw.bucket_id)
    assert listing.error == unauthorized
    assert restricted.upload("theirs/2").error == unauthorized
    assert restricted.download("theirs/1").error == unauthorized
    own = server.files("mine/1")[0]
    delete = restricted.call("b2_delete_file_version", fileName="mine/1", fileId=own["fileId"])
    assert delete.error == unauthorized
    assert visible(server) == ["mine/1", "mine/2", "theirs/1"]


@pytest.mark.parametrize("page", [1, 2, 100])
def test_listing_with_a_delimiter(raw: Raw, page: int) -> None:
    for name in ("t/a", "t/b/1", "t/b/2", "t/b0", "t/c/d/e", "u"):
        raw.upload(name)
    folders = [("t/a", "upload"), ("t/b/", "folder"), ("t/b0", "upload"), ("t/c/", "folder")]
    assert raw.names(page, prefix="t/", delimiter="/") == folders
    assert raw.names(page, delimiter="/") == [("t/", "folder"), ("u", "upload")]
    assert [name for name, _ in raw.names(page, prefix="t/b")] == ["t/b/1", "t/b/2", "t/b0"]


def test_versions_are_paged_past_one_that_is_deleted(raw: Raw) -> None:
    ids = [raw.upload("file", b"%d" % i).json["fileId"] for i in range(4)][::-1]
    page: dict[str, Any] = {"bucketId": raw.bucket_id, "maxFileCount": 2}
    first = raw.call("b2_list_file_versions", **page).json
    assert [file["fileId"] for file in first["files"]] == ids[:2]
    assert first["nextFileId"] == ids[2]
    raw.call("b2_delete_file_version", fileName="file", fileId=ids[2])
    start = {"startFileName": "file", "startFileId": ids[2]}
    second = raw.call("b2_list_file_versions", **page, **start).json
    assert [file["fileId"] for file in second["files"]] == ids[3:]


def test_ranges_of_a_download(raw: Raw) -> None:
    data = bytes(range(256)) * 1000
    raw.upload("file", data)
    wanted = {"bytes=0-0": data[:1], "bytes=5-": data[5:], "bytes=-7": data[-7:]}
    for asked, part in wanted.items():
        answer = raw.download("file", Range=asked)
        assert (answer.status, answer.body) == (206, part)
    assert raw.download("file", Range="bytes=256000-").error == (416, "range_not_satisfiable")
    head = raw.download("file", "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "256000")


def test_finishing_a_large_file_is_checked(raw: Raw, server: B2Server) -> None:
    start = {"bucketId": raw.bucket_id, "fileName": "large", "contentType": "b2/x-auto"}
    file_id = raw.call("b2_start_large_file", **start).json["fileId"]

    def part(number: int, data: bytes) -> str:
        url = raw.call("b2_get_upload_part_url", fileId=file_id).json
        sha1 = hashlib.sha1(data).hexdigest()
        headers = {
            "Authorization": url["authorizationToken"],
            "X-Bz-Part-Number": str(number),
            "X-Bz-Content-Sha1": sha1,
        }
        path = urllib.parse.urlsplit(url["uploadUrl"]).path
        assert raw.http("POST", path, data, headers).status == 200
        return sha1

    def finish(*sha1s: str) -> Answer:
        return raw.call("b2_finish_large_file", fileId=file_id, partSha1Array=list(sha1s))

    first, last = part(1, b"short"), part(2, b"last")
    assert finish(first, last, first).error == (400, "missing_part")
    assert finish(first, "f" * 40).error == (400, "part_sha1_mismatch")
    assert finish(first, last).error == (400, "bad_request")  # only the last part may be short
    first = part(1, bytes(PART))
    assert finish(first, last).status == 200
    assert finish(first, last).error == (400, "bad_request")
    assert raw.download("large").body == bytes(PART) + b"last"
    assert server.files()[0]["contentSha1"] == "none"


# ---- faults, control, persistence


def test_faults_that_lose_the_connection(server: B2Server, raw: Raw) -> None:
    for kind in ("reset", "timeout", "reset-after-commit", "timeout-after-commit"):
        server.faults(script=[{"call": "b2_upload_file", "kind": kind}], timeout_s=0.1)
        with pytest.raises((OSError, http.client.HTTPException)):
            raw.upload(kind, bytes(100_000))
    assert visible(server) == ["reset-after-commit", "timeout-after-commit"]


def test_faults_of_downloads_and_other_calls(server: B2Server, raw: Raw) -> None:
    raw.upload("file", bytes(1000))
    script = [
        {"call": "b2_download_*", "kind": "corrupt"},
        {"call": "b2_download_*", "kind": "truncate"},
        {"call": "b2_download_*", "kind": "cap"},
        {"call": "b2_list_file_names", "kind": "401bad", "after": 1},
        {"call": "b2_list_file_names", "kind": "slow"},
    ]
    server.faults(script=script, timeout_s=0)
    corrupt = raw.download("file").body
    assert len(corrupt) == 1000
    assert corrupt.count(0) == 999
    with pytest.raises(http.client.IncompleteRead):
        raw.download("file")
    assert raw.download("file").error == (403, "download_cap_exceeded")
    listing = {"bucketId": raw.bucket_id}
    assert raw.call("b2_list_file_names", **listing).status == 200
    assert raw.call("b2_list_file_names", **listing).error == (401, "bad_auth_token")
    assert raw.call("b2_list_file_names", **listing).status == 200
    assert server.fault_plan()["fired"] == 5


def test_faults_by_chance_follow_their_seed(server: B2Server, raw: Raw) -> None:
    def statuses() -> list[int]:
        server.faults(rate=0.5, kinds=["503", "429"], seed=3, calls=["b2_list_*"])
        return [raw.call("b2_list_file_names", bucketId=raw.bucket_id).status for _ in range(20)]

    first = statuses()
    assert set(first) == {200, 429, 503}
    assert statuses() == first
    assert raw.upload("file").status == 200  # no call of the pattern


def test_transactions_are_counted_as_billed(tmp_path: Path) -> None:
    server = B2Server.start(tmp_path / "data")
    try:
        raw = Raw(server)
        server.seed(3123, "bill/{i:05d}", size=10)
        server.reset_stats()
        listing: dict[str, Any] = {"bucketId": raw.bucket_id, "maxFileCount": 10_000}
        page = raw.call("b2_list_file_names", **listing).json
        assert len(page["files"]) == 3123
        assert server.stats()["transactions"] == {"A": 0, "B": 0, "C": 4}
        raw.call("b2_list_file_names", prefix="none/", **listing)
        assert raw.download("bill/00001", "HEAD").status == 200
        raw.call("b2_list_file_names", "bad token", **listing)
        raw.upload("file")
        stats = server.stats()
        assert stats["transactions"] == {"A": 2, "B": 1, "C": 5}
        assert stats["errors"] == 1
    finally:
        server.stop()


def test_lifecycle_rules_are_applied_on_demand(server: B2Server, raw: Raw) -> None:
    rule = {
        "fileNamePrefix": "life/",
        "daysFromUploadingToHiding": 2,
        "daysFromHidingToDeleting": 1,
    }
    bucket: dict[str, Any] = {"accountId": raw.account.json["accountId"], "bucketId": raw.bucket_id}
    assert raw.call("b2_update_bucket", lifecycleRules=[rule], **bucket).status == 200
    for name in ("life/x", "life/x", "kept"):
        raw.upload(name)
    assert server.lifecycle(1.5) == {"hidden": 0, "deleted": 1, "cancelled": 0}
    assert server.lifecycle(2.5)["hidden"] == 1
    assert visible(server) == ["kept"]
    raw.call("b2_update_bucket", lifecycleRules=[], **bucket)


def test_kill_and_restart_keep_the_data(tmp_path: Path) -> None:
    server = B2Server.start(tmp_path / "data", options=OPTIONS)
    try:
        raw = Raw(server)
        bodies = {"small": b"data", "large": os.urandom(2 * PART), "hidden": b"x", "gone": b"y"}
        ids = {name: raw.upload(name, data).json["fileId"] for name, data in bodies.items()}
        raw.call("b2_hide_file", bucketId=raw.bucket_id, fileName="hidden")
        raw.call("b2_delete_file_version", fileName="gone", fileId=ids["gone"])
        start = {"bucketId": raw.bucket_id, "fileName": "unfinished", "contentType": "b2/x-auto"}
        raw.call("b2_start_large_file", **start)
        before, url = server.files(versions=True), server.url
        assert [file["action"] for file in before] == [
            "hide",
            "upload",
            "upload",
            "upload",
            "start",
        ]
        server.kill()
        with (tmp_path / "data" / "meta.log").open("ab") as log:
            log.write(b'{"op": "file", "id": "torn')
        server.restart()
        assert server.url == url
        assert server.files(versions=True) == before
        assert raw.download("large").body == bodies["large"]  # the token outlives it too
        assert raw.upload("new", b"more").status == 200
        assert [file["fileName"] for file in server.unfinished_large_files()] == ["unfinished"]
        with pytest.raises(RuntimeError, match="in use"):
            B2Server.start(tmp_path / "data")
    finally:
        server.kill()


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys\n"
        "from tests.b2server.client import B2Server\n"
        "print(B2Server.start(pathlib.Path(sys.argv[1])).url, flush=True)\n"
        "os._exit(9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data")],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 9
    url = urllib.parse.urlsplit(done.stdout.strip())
    assert url.hostname is not None
    gone = threading.Event()
    for _ in range(200):
        try:
            socket.create_connection((url.hostname, url.port or 0), timeout=5).close()
        except ConnectionRefusedError:
            gone.set()
            break
        gone.wait(0.1)
    assert gone.is_set()
