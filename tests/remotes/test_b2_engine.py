"""What the engine behind B2 saves: authorizations, look-ups, connections, imports."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from savethat import cache
from savethat.errors import DeniedError
from savethat.remotes.b2 import B2Remote
from savethat.remotes.pace import Pace
from tests.b2_fixtures import Key, remote_at
from tests.b2server.client import B2Server

pytestmark = pytest.mark.b2


def calls(server: B2Server) -> dict[str, int]:
    return {call: counts["count"] for call, counts in server.settled()["calls"].items()}


@pytest.fixture
def kept(b2_remote: B2Remote, b2_server: B2Server) -> Path:
    """The file of an authorization that an earlier command has kept."""
    b2_remote.put("x", b"x")
    b2_server.reset_stats()
    (path,) = cache.folder().glob("b2-*.json")
    return path


# ---- the authorization


def test_the_next_command_lists_with_one_call(
    b2_server: B2Server, b2_prefix: str, kept: Path
) -> None:
    assert kept.exists()
    names = [entry.name for entry in remote_at(b2_server, b2_prefix).list()]
    assert names == ["x"]
    assert calls(b2_server) == {"b2_list_file_names": 1}


def test_only_the_user_can_read_it_and_the_key_is_not_in_it(
    kept: Path, b2_server: B2Server
) -> None:
    assert kept.stat().st_mode & 0o777 == 0o600
    assert b2_server.key not in kept.read_text() + kept.name
    assert b2_server.key_id not in kept.name


def test_a_check_asks_for_a_new_one(b2_server: B2Server, b2_prefix: str, kept: Path) -> None:
    remote = remote_at(b2_server, b2_prefix, key=Key(b2_server.key_id, "wrong-secret"))
    with pytest.raises(DeniedError):
        remote.check()
    before = kept.read_text()
    remote_at(b2_server, b2_prefix).check()
    assert json.loads(kept.read_text())["token"] != json.loads(before)["token"]


def _cut(content: str) -> str:
    return content[:-10]


def _old(content: str) -> str:
    return json.dumps({**json.loads(content), "made": json.loads(content)["made"] - 86_400})


def _other(content: str) -> str:
    return json.dumps({**json.loads(content), "part_size": "large"})


def _elsewhere(content: str) -> str:
    return json.dumps({**json.loads(content), "api_url": "http://127.0.0.1:1"})


@pytest.mark.parametrize("change", [_cut, _old, _other, _elsewhere, lambda _: "[]"])
def test_one_that_is_of_no_use_is_replaced(
    b2_server: B2Server, b2_prefix: str, kept: Path, change: Callable[[str], str]
) -> None:
    kept.write_text(change(kept.read_text()))
    remote = remote_at(b2_server, b2_prefix)
    assert [entry.name for entry in remote.list()] == ["x"]
    assert calls(b2_server)["b2_authorize_account"] == 1
    b2_server.reset_stats()
    assert remote_at(b2_server, b2_prefix).read("x") == b"x"
    assert "b2_authorize_account" not in calls(b2_server)


def test_many_threads_replace_an_expired_one_once(
    b2_server: B2Server, b2_prefix: str, kept: Path
) -> None:
    before = kept.read_text()
    b2_server.expire_tokens(uploads=True)
    remote = remote_at(b2_server, b2_prefix)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda _: remote.read("x"), range(32))) == [b"x"] * 32
    counts = calls(b2_server)
    assert counts["b2_authorize_account"] == 1
    assert "b2_list_buckets" not in counts
    assert kept.read_text() != before


def test_it_is_not_in_what_is_shown(b2_server: B2Server, b2_prefix: str, kept: Path) -> None:
    token = json.loads(kept.read_text())["token"]
    remote = remote_at(b2_server, b2_prefix)
    list(remote.list())
    b2_server.faults(script=[{"call": "*", "kind": "cap", "count": 99}])
    with pytest.raises(DeniedError) as caught:
        remote.read("x")
    assert token not in f"{caught.value}{caught.value.hint}{remote!r}"


# ---- imports

_COMMAND = """
import sys
from savethat.remotes.b2 import B2Remote
remote = B2Remote(*sys.argv[1:])
assert [entry.name for entry in remote.list()] == ["x"]
remote.put("y", b"y")
assert remote.read("y") == b"y"
assert list(remote.folders()) == []
assert remote.delete(["y"]).versions == 1
print(*{module.partition(".")[0] for module in sys.modules})
"""


@pytest.mark.usefixtures("kept")
def test_what_is_done_often_needs_neither_b2sdk_nor_requests(
    b2_server: B2Server, b2_prefix: str
) -> None:
    server = b2_server
    arguments = (server.bucket, b2_prefix, server.url, server.key_id, server.key)
    command = [sys.executable, "-c", _COMMAND, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    imported = set(done.stdout.split())
    assert "urllib3" in imported
    assert not imported & {"b2sdk", "requests"}


# ---- connections and upload URLs


def test_threads_share_upload_urls_and_connections(
    b2_server: B2Server, b2_remote: B2Remote
) -> None:
    b2_remote.check()
    b2_server.reset_stats()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: b2_remote.put(f"{i}", b"x" * 1000), range(200)))
    assert calls(b2_server)["b2_upload_file"] == 200
    assert calls(b2_server)["b2_get_upload_url"] <= 8
    assert b2_server.stats()["connections"] <= 2 * 8


def test_a_proxy_that_is_not_for_the_host_is_passed_by(
    b2_remote: B2Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    b2_remote.put("x", b"x")


# ---- how much is done at a time


def test_no_more_than_the_limit_is_done_at_a_time() -> None:
    paced = Pace()
    lock = threading.Lock()
    active, beyond = 0, []

    def work(_: int) -> None:
        nonlocal active
        with paced:
            with lock:
                active += 1
                if active > 48:
                    beyond.append(active)
            with lock:
                active -= 1

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(work, range(1000)))
    assert beyond == []


def test_a_busy_server_is_sent_less_at_a_time() -> None:
    paced = Pace()
    first = paced.limit
    with paced:
        pass
    for _ in range(8):  # as many threads as are told
        paced.slow_down()
    assert paced.limit == first // 2
