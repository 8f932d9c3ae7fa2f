from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from savethat.errors import DeniedError, MissingError, StorageError, UnreachableError
from savethat.remotes.base import Deleted, Remote
from savethat.remotes.directory import DirectoryRemote
from tests.remotes.contract import RemoteContract


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("remote") / "root"


@pytest.fixture
def remote(root: Path) -> Remote:
    return DirectoryRemote(root)


class TestDirectory(RemoteContract):
    pass


def test_nothing_is_made_before_something_is_stored(remote: Remote, root: Path) -> None:
    remote.check()
    remote.now()
    assert list(remote.list()) == []
    assert list(remote.folders()) == []
    assert remote.left("") == Deleted()
    assert remote.delete_prefix("x") == Deleted()
    assert not root.exists()


def test_objects_are_plain_files_and_removal_leaves_no_folder(remote: Remote, root: Path) -> None:
    remote.put("a/b/c", b"x")
    assert (root / "a/b/c").read_bytes() == b"x"
    remote.delete(["a/b/c"])
    assert list(root.iterdir()) == []


def test_what_a_killed_writer_left_is_hidden_and_goes_with_the_prefix(
    remote: Remote, root: Path
) -> None:
    remote.put("run/a", b"x")
    (root / "run" / ".savethat-part-0123").write_bytes(b"half")
    (root / "run" / "empty" / "deep").mkdir(parents=True)
    assert [entry.name for entry in remote.list()] == ["run/a"]
    assert remote.left("run/") == Deleted(2, 5)
    assert remote.delete_prefix("run/") == Deleted(2, 5)
    assert list(root.iterdir()) == []


def test_a_name_of_a_file_being_written_is_refused(remote: Remote) -> None:
    with pytest.raises(StorageError, match="kept for files being written"):
        remote.put("run/.savethat-part-1", b"")


def test_links_out_of_the_folder_are_not_followed(
    remote: Remote, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    remote.put("run/real", b"x")
    (root / "run" / "folder").symlink_to(outside)
    (root / "run" / "file").symlink_to(outside / "secret")
    (root / "run" / "inside").symlink_to(root / "run" / "real")
    (root / "run" / "loop").symlink_to(root / "run" / "loop")
    assert [entry.name for entry in remote.list()] == ["run/inside", "run/real"]
    assert remote.read("run/inside") == b"x"
    for name in ("run/file", "run/folder/secret"):
        with pytest.raises(StorageError, match="link that leads out"):
            remote.read(name)
    with pytest.raises(StorageError, match="link that leads out"):
        remote.put("run/folder/new", b"x")
    with pytest.raises(StorageError, match="link that leads out"):
        remote.delete(["run/folder/secret"])
    assert remote.delete_prefix("run/folder/") == Deleted()
    remote.delete_prefix("run/")
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert list(root.iterdir()) == []


def test_a_root_that_is_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    remote = DirectoryRemote(tmp_path / "link")
    remote.put("a/b", b"x")
    assert (tmp_path / "real/a/b").exists()
    assert [entry.name for entry in remote.list("a/")] == ["a/b"]


def test_a_put_whose_folder_was_removed_makes_none(remote: Remote, root: Path) -> None:
    first = remote.put("run/log", b"1")
    source = root.parent / "source"
    source.write_bytes(b"2" * 3_000_000)

    def remove(_count: int) -> None:
        remote.delete_prefix("run/")

    with pytest.raises(MissingError):
        remote.put("run/log", source, previous=first, progress=remove)
    assert not (root / "run").exists()


def test_a_folder_or_file_in_the_way_is_named(remote: Remote, root: Path) -> None:
    remote.put("a/b", b"x")
    with pytest.raises(StorageError, match="Is a directory") as caught:
        remote.put("a", b"x")
    assert not isinstance(caught.value, MissingError)
    with pytest.raises(StorageError, match="a/b") as caught:
        remote.put("a/b/c", b"x")
    assert not isinstance(caught.value, MissingError)
    assert [entry.name for entry in remote.list()] == ["a/b"]
    assert [path.name for path in root.rglob("*")] == ["a", "b"]


def test_check_refuses_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="is not a folder"):
        DirectoryRemote(tmp_path / "file").check()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageError),
        (errno.EDQUOT, StorageError),
        (errno.EACCES, DeniedError),
        (errno.ESTALE, UnreachableError),
    ],
)
def test_errors_of_the_file_system_are_told_apart(
    remote: Remote, tmp_path: Path, number: int, kind: type[StorageError]
) -> None:
    def fail(_count: int) -> None:
        raise OSError(number, os.strerror(number), "the disk")

    remote.put("x", b"content")
    with pytest.raises(StorageError, match=f"the disk: {os.strerror(number)}") as caught:
        remote.fetch("x", tmp_path / "x", progress=fail)
    assert type(caught.value) is kind
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(kind):
        remote.put("y", b"content", progress=fail)
    assert [entry.name for entry in remote.list()] == ["x"]
