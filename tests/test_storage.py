"""Files by key, in a local folder and on either remote."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from savethat.errors import MissingError, UsageError
from savethat.remotes.base import Remote
from savethat.remotes.directory import DirectoryRemote
from savethat.storage import Storage

NAMES = ("a file.txt", "#1 100%.csv", "ünï/+plus+.bin", "deep/er/x")


@pytest.fixture(params=["directory", "b2"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    if request.param == "b2":
        found: Remote = request.getfixturevalue("b2_remote")
        return found
    return DirectoryRemote(tmp_path / "remote")


@pytest.fixture
def here(tmp_path: Path, remote: Remote) -> Storage:
    return Storage(tmp_path / "here", remote)


@pytest.fixture
def there(tmp_path: Path, remote: Remote) -> Storage:
    """The same storage on another machine."""
    return Storage(tmp_path / "there", remote)


def fill(storage: Storage, key: str) -> None:
    for number, name in enumerate(NAMES):
        path = storage / key / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * (number * 1000))


def test_a_folder_goes_there_and_comes_back_whole(here: Storage, there: Storage) -> None:
    fill(here, "data sets/iris")
    here.upload("data sets/iris")
    path = there.download(PurePosixPath("data sets") / "iris")
    assert path == there / "data sets/iris"
    for number, name in enumerate(NAMES):
        assert (path / name).read_bytes() == bytes([number]) * (number * 1000)
    assert there.remote_ls("data sets") == ["iris/"]
    assert there.ls("data sets/iris") == sorted(["a file.txt", "#1 100%.csv", "ünï/", "deep/"])


def test_open_writes_here_and_fetches_what_is_not_here(here: Storage, there: Storage) -> None:
    with here.open("notes/today.txt", "w") as file:
        file.write("grüße")
    here.upload("notes/today.txt")
    with there.open("notes/today.txt") as file:
        assert file.read() == "grüße"
    with pytest.raises(MissingError, match="yesterday"):
        there.open("notes/yesterday.txt")


def test_what_is_the_same_is_not_sent_or_fetched_again(here: Storage, there: Storage) -> None:
    fill(here, "data")
    here.upload("data")
    there.download("data")
    before = (there / "data/deep/er/x").stat().st_ino
    there.download("data")
    assert (there / "data/deep/er/x").stat().st_ino == before
    (here / "data/deep/er/x").write_text("new")
    here.upload("data")
    assert (there.download("data") / "deep/er/x").read_text() == "new"


def test_a_misspelt_key_is_named_with_the_near_ones_and_makes_nothing(
    here: Storage, there: Storage
) -> None:
    fill(here, "data")
    here.upload("data")
    with pytest.raises(MissingError) as missing:
        there.download("dta")
    assert "dta" in missing.value.message
    assert "data" in missing.value.hint
    assert not there.local.exists() or there.ls() == []


def test_remove_removes_where_it_is_told_to(here: Storage) -> None:
    fill(here, "data")
    here.upload("data")
    here.remove("data")
    assert here.ls() == []
    assert here.remote_ls() == ["data/"]
    here.remove("data", local=False, remote=True)
    assert here.remote_ls() == []
    with pytest.raises(MissingError):
        here.remove("data", remote=True)


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "", "a/../../b", ".savethat/index"])
def test_a_key_that_leads_out_or_is_ours_is_refused(here: Storage, key: str) -> None:
    with pytest.raises(UsageError):
        here / key


def test_links_are_handled_on_purpose(here: Storage, there: Storage, tmp_path: Path) -> None:
    fill(here, "data")
    outside = tmp_path / "outside.txt"
    outside.write_text("not ours")
    (here / "data/inside link").symlink_to(here / "data/a file.txt")
    (here / "data/outside link").symlink_to(outside)
    (here / "data/folder link").symlink_to(here / "data/deep")
    os.mkfifo(here / "data/pipe")
    (here / "data/empty").mkdir()
    here.upload("data")
    path = there.download("data")
    assert (path / "inside link").read_bytes() == (here / "data/a file.txt").read_bytes()
    assert not (path / "inside link").is_symlink()
    for name in ("outside link", "folder link", "pipe", "empty"):
        assert not (path / name).exists()


def test_in_a_local_only_project_nothing_moves(tmp_path: Path) -> None:
    storage = Storage(tmp_path, DirectoryRemote(tmp_path))
    fill(storage, "data")
    storage.upload("data")
    assert storage.download("data") == tmp_path / "data"
    with pytest.raises(MissingError):
        storage.download("other")
