"""Files that are stored as an object and pieces: how they read, and what is refused."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from typing_extensions import override

from savethat.errors import MissingError, StorageError
from savethat.remotes import pieces
from savethat.remotes.b2 import B2Remote
from savethat.remotes.base import Entry, Progress
from savethat.remotes.directory import DirectoryRemote
from savethat.remotes.pieces import Grown, Piece
from savethat.remotes.transfer import download_tree, upload_tree
from tests.b2_fixtures import remote_at
from tests.b2server.client import B2Server

MTIME = {"src_last_modified_millis": "1700000000000"}


def sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def piece(before: bytes, data: bytes) -> Piece:
    return Piece(len(before), sha1(before), sha1(before + data), len(data))


def put_piece(remote: B2Remote, file: str, before: bytes, data: bytes) -> None:
    remote.put(piece(before, data).name(file), data, info=MTIME)


def test_a_piece_lies_beside_its_file_and_names_it() -> None:
    name = piece(b"head", b"tail").name("run/deep/out.log")
    assert name.startswith("run/deep/.savethat-tail/out.log/000000000000004-")
    assert pieces.file_of(name) == "run/deep/out.log"
    assert pieces.is_in_tail(name)
    assert pieces.file_of("run/deep/.savethat-tail/out.log/other") is None


def test_pieces_that_fit_are_read_with_their_file_and_listed_with_it(
    b2_remote: B2Remote, tmp_path: Path
) -> None:
    b2_remote.put("run/log", b"one")
    b2_remote.put("run/a", b"alone")
    put_piece(b2_remote, "run/log", b"one", b"two")
    put_piece(b2_remote, "run/log", b"onetwo", b"three")
    put_piece(b2_remote, "run/log", b"other", b"no")
    put_piece(b2_remote, "run/gone", b"", b"no")
    a, log = pieces.whole(b2_remote.list("run/"))
    assert (a.name, a.size) == ("run/a", 5)
    assert isinstance(log, Grown)
    assert (log.name, log.size, log.sha1) == ("run/log", 11, sha1(b"onetwothree"))
    assert pieces.find(b2_remote, "run/log") == log
    assert pieces.find(b2_remote, "run/gone") is None
    assert pieces.read(b2_remote, "run/log") == b"onetwothree"
    assert pieces.tail(b2_remote, log, 7) == b"hree"
    got: list[int] = []
    pieces.fetch(b2_remote, log, tmp_path / "log", progress=got.append)
    assert (tmp_path / "log").read_bytes() == b"onetwothree"
    assert (tmp_path / "log").stat().st_mtime == 1_700_000_000
    assert sum(got) == 11
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_of_two_pieces_for_one_place_the_longer_is_read(b2_remote: B2Remote) -> None:
    b2_remote.put("log", b"one")
    put_piece(b2_remote, "log", b"one", b"two")
    put_piece(b2_remote, "log", b"one", b"twothree")
    put_piece(b2_remote, "log", b"onetwothree", b"four")
    assert pieces.read(b2_remote, "log") == b"onetwothreefour"


def test_a_file_that_was_written_anew_is_read_without_the_old_pieces(b2_remote: B2Remote) -> None:
    b2_remote.put("log", b"one")
    put_piece(b2_remote, "log", b"one", b"two")
    b2_remote.replace("log", b"new")
    assert pieces.read(b2_remote, "log") == b"new"
    with pytest.raises(MissingError, match="no other"):
        pieces.read(b2_remote, "other")


class Overtaken(B2Remote):
    """A reader whose file is stored whole, by someone else, once it has been listed."""

    times = 0

    @override
    def fetch(self, name: str, target: Path, *, progress: Progress | None = None) -> None:
        self.overtake(name)
        super().fetch(name, target, progress=progress)

    @override
    def read(self, name: str, *, limit: int = sys.maxsize) -> bytes:
        self.overtake(name)
        return super().read(name, limit=limit)

    def overtake(self, name: str) -> None:
        if self.times and not pieces.is_in_tail(name):
            self.times -= 1
            content = f"onetwo{self.times}".encode()
            self.replace(name, content)
            self.delete_prefix(pieces.tail_prefix(name))
            if self.times:
                put_piece(self, name, content, b"three")


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_written_anew_while_it_is_read_is_read_again(
    b2_server: B2Server, b2_prefix: str, tmp_path: Path, times: int
) -> None:
    for how in ("read", "fetch"):
        remote = Overtaken(
            b2_server.bucket, b2_prefix, b2_server.url, b2_server.key_id, b2_server.key
        )
        remote.replace("log", b"one")
        put_piece(remote, "log", b"one", b"two")
        remote.times = times
        if how == "read":
            assert pieces.read(remote, "log") == b"onetwo0"
        else:
            entry = pieces.find(remote, "log")
            assert entry is not None
            pieces.fetch(remote, entry, tmp_path / "log")
            assert (tmp_path / "log").read_bytes() == b"onetwo0"


def test_what_changes_each_time_is_given_up(
    b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> None:
    remote = Overtaken(b2_server.bucket, b2_prefix, b2_server.url, b2_server.key_id, b2_server.key)
    remote.put("log", b"one")
    put_piece(remote, "log", b"one", b"two")
    entry = pieces.find(remote, "log")
    assert entry is not None
    remote.times = 100
    with pytest.raises(StorageError, match="written anew each time"):
        pieces.fetch(remote, entry, tmp_path / "log")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_comes_with_its_pieces_and_goes_back_without(
    b2_remote: B2Remote, tmp_path: Path
) -> None:
    b2_remote.put("run/deep/log", b"one")
    put_piece(b2_remote, "run/deep/log", b"one", b"two")
    fetched = download_tree(b2_remote, "run/", tmp_path / "run")
    assert [entry.name for entry in fetched] == ["run/deep/log"]
    assert (tmp_path / "run" / "deep" / "log").read_bytes() == b"onetwo"
    assert upload_tree(b2_remote, tmp_path / "run", "run") == 1
    assert [entry.name for entry in b2_remote.list("run/")] == ["run/deep/log"]
    assert b2_remote.read("run/deep/log") == b"onetwo"


def test_a_user_s_file_under_a_name_kept_for_pieces_is_left_out(
    b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> None:
    (tmp_path / "x" / pieces.TAIL).mkdir(parents=True)
    (tmp_path / "x" / pieces.TAIL / "mine").write_text("mine")
    (tmp_path / "y").write_text("y")
    remote = remote_at(b2_server, b2_prefix)
    assert upload_tree(remote, tmp_path, "run") == 1
    assert [entry.name for entry in remote.list("run/")] == ["run/y"]


@pytest.mark.parametrize("millis", ["x", "9" * 400, "-1" + "0" * 20])
def test_a_time_that_is_none_is_the_one_of_its_storing(millis: str) -> None:
    entry = Entry("log", 1, 5.0, None, {"src_last_modified_millis": millis})
    assert pieces.modified(entry) == 5.0


def test_a_folder_of_files_without_pieces_reads_as_it_is(tmp_path: Path) -> None:
    remote = DirectoryRemote(tmp_path)
    remote.put("run/log", b"one")
    assert pieces.whole(remote.list("run/")) == list(remote.list("run/"))
    assert pieces.read(remote, "run/log") == b"one"
