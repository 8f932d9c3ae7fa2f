from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from savethat.errors import MissingError, StorageError
from savethat.remotes.source import FileSource


def test_a_small_file_rewritten_while_it_is_open_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, ns=(0, 0))
    with FileSource(path) as source:
        assert source.read() == (b"one", hashlib.sha1(b"one").hexdigest())
        sha1 = source.sha1()
        path.write_bytes(b"two")
        with pytest.raises(StorageError, match="rewritten"):
            source.check(sha1)


def test_what_is_appended_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, ns=(0, 0))
    with FileSource(path) as source:
        with path.open("ab") as file:
            file.write(b" two")
        assert source.read()[0] == b"one"
        with source.open() as stream:
            assert stream.read(2) == b"on"
            assert stream.read(10) == b"e"
            assert stream.read(10) == b""
            assert stream.seek(1) == 1
            assert stream.read() == b"ne"


def test_a_file_renamed_over_it_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    with FileSource(path) as source:
        (tmp_path / "new").write_bytes(b"two")
        (tmp_path / "new").replace(path)
        assert source.read()[0] == b"one"


def test_a_file_cut_short_is_noticed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    with FileSource(path) as source, source.open() as stream:
        os.truncate(path, 10)
        with pytest.raises(StorageError, match="cut short"):
            stream.read(100)
        assert source.failure is not None


def test_a_fifo_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(StorageError, match="not a regular file"):
        FileSource(tmp_path / "fifo")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="nothing"):
        FileSource(tmp_path / "nothing")
