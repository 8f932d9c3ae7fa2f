"""What an application key may do: all that is needed with the least, a warning with more."""

from __future__ import annotations

from pathlib import Path

import pytest

from savethat.errors import DeniedError
from savethat.remotes.b2_rights import NEEDED
from savethat.remotes.base import Remote
from tests.b2_fixtures import Key, b2_settings, make_key, remote_at
from tests.b2server.client import B2Server
from tests.program import Project
from tests.remotes.contract import RemoteContract

pytestmark = pytest.mark.b2

# Read and Write on Backblaze's web page.
READ_AND_WRITE = (
    *NEEDED,
    "readBuckets",
    "shareFiles",
    "readBucketEncryption",
    "writeBucketEncryption",
    "readBucketReplications",
    "writeBucketReplications",
)


@pytest.fixture
def least(b2_server: B2Server, b2_prefix: str) -> Key:
    """The key that the documentation asks for."""
    return make_key(b2_server, *NEEDED, prefix=f"{b2_prefix}/")


@pytest.fixture
def remote(b2_server: B2Server, b2_prefix: str, least: Key) -> Remote:
    return remote_at(b2_server, b2_prefix, key=least)


class TestWithTheLeastKey(RemoteContract):
    def test_check_has_nothing_to_say(self, remote: Remote) -> None:
        assert list(remote.check()) == []


@pytest.fixture
def project(tmp_path: Path, b2_server: B2Server, b2_prefix: str) -> Project:
    toml = b2_settings(b2_server, b2_prefix)
    return Project.make(tmp_path / "experiments", home=tmp_path / "home", toml=toml)


def test_a_run_is_stored_listed_and_removed_with_the_least_key(
    project: Project, b2_server: B2Server, b2_prefix: str, least: Key
) -> None:
    done = project.run("setup", "--key-id", least.id, "--key-stdin", stdin=least.secret)
    assert "warning" not in done.stderr
    key = project.key("Add", "--a", "2")
    assert project.ls()[key]["synced"] is True
    assert any(key in file["fileName"] for file in b2_server.files(f"{b2_prefix}/"))
    project.run("rm", key, "--force")
    left = b2_server.files(f"{b2_prefix}/", versions=True)
    assert [file["fileName"] for file in left if key in file["fileName"]] == []


def test_setup_warns_of_the_master_key_and_stores_it(
    project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    arguments = ("setup", "--key-id", b2_server.key_id, "--key-stdin")
    stderr = project.run(*arguments, stdin=b2_server.key).stderr
    assert "master key" in stderr
    assert "every bucket" in stderr
    assert "writeKeys" in stderr
    assert (
        f'b2 key create --bucket "{b2_server.bucket}" --name-prefix "{b2_prefix}/"'
        " savethat deleteFiles,listBuckets,listFiles,readFiles,writeFiles"
    ) in stderr
    assert b2_server.key not in stderr
    assert project.ls() == {}


def test_check_names_each_right_too_many(b2_server: B2Server, b2_prefix: str) -> None:
    def warnings(*capabilities: str, prefix: str | None, bucket: bool = True) -> list[str]:
        key = make_key(b2_server, *capabilities, prefix=prefix, bucket=bucket)
        return list(remote_at(b2_server, b2_prefix, key=key).check())

    inside = f"{b2_prefix}/"
    assert warnings(*READ_AND_WRITE, prefix=inside) == []
    assert warnings(*NEEDED, prefix=b2_prefix) == []
    (warning,) = warnings(*NEEDED, "deleteBuckets", "bypassGovernance", prefix=inside)
    assert "bypassGovernance, deleteBuckets" in warning
    (warning,) = warnings(*READ_AND_WRITE, prefix=None)
    assert f"not only for what is below {inside}" in warning
    warning, _ = warnings(*NEEDED, prefix=None, bucket=False)
    assert warning.startswith("the key is good for every bucket")
    key = make_key(b2_server, *NEEDED, prefix=None)
    assert list(remote_at(b2_server, "", key=key).check()) == []


def test_a_key_for_another_prefix_is_denied(b2_server: B2Server, b2_prefix: str) -> None:
    key = make_key(b2_server, *NEEDED, prefix="elsewhere/")
    remote = remote_at(b2_server, b2_prefix, key=key)
    b2_server.reset_stats()
    for call in (remote.check, lambda: list(remote.list()), lambda: remote.put("x", b"")):
        with pytest.raises(DeniedError):
            call()
    # What the key may not, it is not asked for again.
    assert b2_server.settled()["calls"]["b2_upload_file"]["count"] == 1


def test_check_names_what_the_key_may_not(b2_server: B2Server, b2_prefix: str) -> None:
    key = make_key(b2_server, "listFiles", "readFiles", prefix=f"{b2_prefix}/")
    with pytest.raises(DeniedError, match="lacks deleteFiles, writeFiles"):
        remote_at(b2_server, b2_prefix, key=key).check()
