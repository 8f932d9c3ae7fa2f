"""What every remote does, whatever keeps the objects."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from savethat.errors import MissingError, StorageError, UnreachableError
from savethat.remotes.base import Deleted, Remote

AWKWARD = (
    "with space.txt",
    "ünïcode/日本語.txt",
    "hash#tag.txt",
    "per%cent%20.txt",
    "plus+sign.txt",
    "question?&=.txt",
    "quote'\".txt",
    "deep/er/than/that/x",
)
NOT_NAMES = ("", "/etc/passwd", "../up", "a/../../up", "a//b", "a/", "./a", "new\nline", "nul\0")


class RemoteContract:
    """The suite: a subclass gives a fixture `remote`, fresh and empty."""

    def names(self, remote: Remote, prefix: str = "") -> list[str]:
        return [entry.name for entry in remote.list(prefix)]

    def test_what_is_put_is_read_back(self, remote: Remote) -> None:
        stored = remote.put("a/b.txt", b"content")
        assert remote.read("a/b.txt") == b"content"
        assert (stored.name, stored.size) == ("a/b.txt", 7)
        assert stored.sha1 == hashlib.sha1(b"content").hexdigest()

    @pytest.mark.parametrize("size", [0, 1, 1024 * 1024 + 1])
    def test_a_file_is_stored_and_fetched_whole(
        self, remote: Remote, tmp_path: Path, size: int
    ) -> None:
        source = tmp_path / "source"
        source.write_bytes(bytes(i % 251 for i in range(1024)) * (size // 1024 + 1))
        with source.open("rb+") as file:
            file.truncate(size)
        sent: list[int] = []
        got: list[int] = []
        stored = remote.put("file", source, progress=sent.append)
        target = tmp_path / "new folder" / "target"
        remote.fetch("file", target, progress=got.append)
        assert target.read_bytes() == source.read_bytes()
        assert stored.sha1 == hashlib.sha1(source.read_bytes()).hexdigest()
        assert sum(sent) == sum(got) == stored.size == size
        assert [path.name for path in target.parent.iterdir()] == ["target"]
        assert abs(target.stat().st_mtime - source.stat().st_mtime) < 60

    @pytest.mark.parametrize("name", AWKWARD)
    def test_awkward_names_are_kept(self, remote: Remote, tmp_path: Path, name: str) -> None:
        stored = remote.put(name, name.encode())
        assert remote.read(name) == name.encode()
        assert self.names(remote) == [name]
        remote.fetch(name, tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == name.encode()
        assert remote.forget(stored)
        assert self.names(remote) == []

    @pytest.mark.parametrize("name", NOT_NAMES)
    def test_names_that_lead_elsewhere_are_refused(
        self, remote: Remote, tmp_path: Path, name: str
    ) -> None:
        with pytest.raises(StorageError, match="cannot be stored under this name"):
            remote.put(name, b"x")
        with pytest.raises(StorageError):
            remote.read(name)
        with pytest.raises(StorageError):
            remote.fetch(name, tmp_path / "target")
        with pytest.raises(StorageError):
            remote.delete([name])
        assert list(tmp_path.iterdir()) == []

    def test_prefixes_that_lead_elsewhere_are_refused(self, remote: Remote) -> None:
        for prefix in ("../", "a/../../b", "/etc"):
            for ask in (remote.delete_prefix, remote.left):
                with pytest.raises(StorageError):
                    ask(prefix)
            with pytest.raises(StorageError):
                list(remote.list(prefix))
            with pytest.raises(StorageError):
                list(remote.folders(prefix))

    def test_a_listing_is_sorted_and_complete(self, remote: Remote) -> None:
        names = ["Z", "a-b", "a.b", "a/x", "a/y/z", "a0", "b", "é", "日"]
        before = time.time()
        for name in reversed(names):
            remote.put(name, name.encode())
        entries = list(remote.list())
        assert [entry.name for entry in entries] == names
        assert [entry.size for entry in entries] == [len(e.name.encode()) for e in entries]
        assert all(abs(entry.modified - before) < 60 for entry in entries)

    def test_a_prefix_is_any_string(self, remote: Remote) -> None:
        for name in ("Fit_1/x", "Fit_2/x", "FitMore_1/x", "Other/x"):
            remote.put(name, b"")
        assert self.names(remote, "Fit") == ["FitMore_1/x", "Fit_1/x", "Fit_2/x"]
        assert self.names(remote, "Fit_") == ["Fit_1/x", "Fit_2/x"]
        assert self.names(remote, "Fit_1/") == ["Fit_1/x"]
        assert self.names(remote, "nothing") == []

    def test_a_listing_begins_and_ends_where_it_is_told(self, remote: Remote) -> None:
        for name in ("a/1", "a/2", "b/1", "b/2", "c/1"):
            remote.put(name, b"")
        assert [e.name for e in remote.list(start="a/2", stop="b/2")] == ["a/2", "b/1"]
        assert [e.name for e in remote.list("b/", start="b/2")] == ["b/2"]
        assert [e.name for e in remote.list("b/", start="a")] == ["b/1", "b/2"]
        assert [e.name for e in remote.list("b/", stop="a")] == []

    def test_folders_are_those_with_objects(self, remote: Remote) -> None:
        for name in ("file", "one/x", "one/two/x", "one-more/x", "other/a/b/c"):
            remote.put(name, b"")
        assert sorted(remote.folders()) == ["one", "one-more", "other"]
        assert sorted(remote.folders("one/")) == ["two"]
        assert sorted(remote.folders("nothing/")) == []

    def test_a_missing_object_is_said_to_be_missing(self, remote: Remote, tmp_path: Path) -> None:
        remote.put("folder/file", b"")
        for name in ("nothing", "folder", "folder/file/below"):
            with pytest.raises(MissingError, match=name):
                remote.read(name)
            with pytest.raises(MissingError, match=name):
                remote.fetch(name, tmp_path / "new" / "target")
        assert list(tmp_path.iterdir()) == []

    def test_put_again_leaves_the_new_content_only(self, remote: Remote) -> None:
        first = remote.put("log", b"one")
        second = remote.put("log", b"one two", previous=first)
        third = remote.put("log", b"one two three", previous=second)
        assert remote.read("log") == b"one two three"
        assert remote.left("log") == Deleted(1, 13)
        assert remote.forget(third)

    def test_an_object_removed_meanwhile_does_not_come_back(self, remote: Remote) -> None:
        first = remote.put("run/log", b"one")
        remote.delete_prefix("run/")
        with pytest.raises(MissingError, match="run/log"):
            remote.put("run/log", b"two", previous=first)
        assert remote.left("run/") == Deleted()

    def test_an_object_replaced_meanwhile_stays(self, remote: Remote) -> None:
        first = remote.put("log", b"one")
        remote.replace("log", b"by another")
        with pytest.raises(MissingError):
            remote.put("log", b"two", previous=first)
        assert remote.read("log") == b"by another"
        assert remote.left("log").versions == 1

    def test_replace_leaves_no_other_version(self, remote: Remote) -> None:
        remote.put("x", b"1")
        remote.put("x", b"22")
        remote.put("x.more", b"stays")
        remote.replace("x", b"333")
        assert remote.read("x") == b"333"
        assert remote.left("x") == Deleted(2, 8)

    def test_forget_deletes_that_version_once(self, remote: Remote) -> None:
        stored = remote.put("a/b", b"x")
        assert remote.forget(stored)
        assert not remote.forget(stored)
        assert remote.left("") == Deleted()

    def test_delete_takes_names_only(self, remote: Remote) -> None:
        for name in ("a/1", "a/10", "a/2", "b"):
            remote.put(name, b"xy")
        assert remote.delete(["a/1", "b", "nothing", "a/missing"]) == Deleted(2, 4)
        assert self.names(remote) == ["a/10", "a/2"]
        assert remote.delete([]) == Deleted()

    def test_delete_prefix_takes_everything_below(self, remote: Remote) -> None:
        for name in ("run_1/a", "run_1/b/c", "run_1/b/d/e", "run_10/a", "other"):
            remote.put(name, b"xyz")
        assert remote.left("run_1/") == Deleted(3, 9)
        assert remote.delete_prefix("run_1/") == Deleted(3, 9)
        assert remote.left("run_1/") == Deleted()
        assert self.names(remote) == ["other", "run_10/a"]
        assert remote.delete_prefix("run_1/") == Deleted()
        assert remote.delete_prefix("") == Deleted(2, 6)

    def test_many_prefixes_are_one_removal(self, remote: Remote) -> None:
        runs = [f"Run_{number:02d}" for number in range(40)]
        for run in runs:
            for name in (f"{run}/a", f"{run}/b/c", f"index/{run}.1", f"index/{run}0.1"):
                remote.put(name, b"xyz")
        going = [run for run in runs if run not in ("Run_03", "Run_20")]
        prefixes = [prefix for run in going for prefix in (f"{run}/", f"index/{run}.")]
        prefixes += ["Missing/", "Run_0x", "index/Missing."]
        there = remote.left_below(prefixes)
        assert list(map(there.get, prefixes)) == [
            *([Deleted(2, 6), Deleted(1, 3)] * len(going)),
            *([Deleted()] * 3),
        ]
        assert remote.delete_below(prefixes) == there
        assert set(remote.left_below(prefixes).values()) == {Deleted()}
        assert remote.left("index/") == Deleted(42, 126)
        assert sorted(remote.folders()) == ["Run_03", "Run_20", "index"]
        assert (remote.delete_below([]), remote.left_below([])) == ({}, {})

    def test_a_file_that_is_not_there_cannot_be_stored(
        self, remote: Remote, tmp_path: Path
    ) -> None:
        with pytest.raises(MissingError, match="nothing"):
            remote.put("x", tmp_path / "nothing")
        with pytest.raises(StorageError, match="not a regular file"):
            remote.put("x", tmp_path)
        assert remote.left("") == Deleted()

    def test_a_failed_fetch_leaves_the_target_as_it_was(
        self, remote: Remote, tmp_path: Path
    ) -> None:
        target = tmp_path / "target"
        target.write_bytes(b"old")
        with pytest.raises(MissingError):
            remote.fetch("nothing", target)
        assert target.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [target]

    def test_a_file_that_grows_is_stored_as_it_once_was(
        self, remote: Remote, tmp_path: Path
    ) -> None:
        log = tmp_path / "log"
        log.write_bytes(b"a" * 3_000_000)
        stop = threading.Event()

        def grow() -> None:
            with log.open("ab", buffering=0) as file:
                while not stop.is_set():
                    file.write(b"b" * 1000)

        writer = threading.Thread(target=grow)
        writer.start()
        try:
            stored = remote.put("log", log)
        finally:
            stop.set()
            writer.join()
        content = remote.read("log")
        assert len(content) == stored.size >= 3_000_000
        assert log.read_bytes().startswith(content)

    def test_a_file_rewritten_meanwhile_is_not_stored(self, remote: Remote, tmp_path: Path) -> None:
        path = tmp_path / "model"
        path.write_bytes(b"a" * 3_000_000)

        def rewrite(_count: int) -> None:
            with path.open("rb+") as file:
                file.seek(1_500_000)
                file.write(os.urandom(1000))

        with pytest.raises(StorageError):
            remote.put("model", path, progress=rewrite)
        assert remote.left("") == Deleted()

    def test_a_file_cut_short_meanwhile_is_not_stored(self, remote: Remote, tmp_path: Path) -> None:
        path = tmp_path / "model"
        path.write_bytes(b"a" * 3_000_000)
        with pytest.raises(StorageError, match="rewritten or cut short"):
            remote.put("model", path, progress=lambda _: os.truncate(path, 1000))
        assert remote.left("") == Deleted()

    def test_what_was_appended_extends_what_is_there(self, remote: Remote, tmp_path: Path) -> None:
        log = tmp_path / "log"
        log.write_bytes(os.urandom(min(remote.extends_from, 10_000) + 1_000))
        before = remote.put("log", log, info={"line": "1"})
        with log.open("ab") as file:
            file.write(b"appended")
        after = remote.extend("log", log, before, info={"line": "2"})
        assert remote.read("log") == log.read_bytes()
        assert after.sha1 == hashlib.sha1(log.read_bytes()).hexdigest()
        assert (after.name, after.size) == ("log", log.stat().st_size)
        assert remote.left("") == Deleted(1, after.size)
        (entry,) = remote.list()
        assert entry.info is None or entry.info["line"] == "2"
        assert remote.forget(after)

    def test_what_is_extended_but_was_rewritten_is_stored_as_it_is(
        self, remote: Remote, tmp_path: Path
    ) -> None:
        log = tmp_path / "log"
        log.write_bytes(os.urandom(10_000))
        before = remote.put("log", log)
        log.write_bytes(os.urandom(5_000))
        after = remote.extend("log", log, before)
        assert remote.read("log") == log.read_bytes()
        assert remote.left("") == Deleted(1, after.size)

    def test_what_was_removed_is_not_extended(self, remote: Remote, tmp_path: Path) -> None:
        log = tmp_path / "log"
        log.write_bytes(b"one")
        before = remote.put("run/log", log)
        remote.delete_prefix("run/")
        with pytest.raises(MissingError, match="run/log"):
            remote.extend("run/log", log, before)
        assert remote.left("") == Deleted()

    def test_pruning_leaves_what_is_listed(self, remote: Remote) -> None:
        for name in ("run/a", "run/b", "other"):
            remote.put(name, b"1")
            remote.put(name, b"22")
        pruned = remote.prune("run/")
        assert remote.left("run/") == Deleted(2, 4)
        assert remote.prune("run/") == Deleted()
        assert [remote.read(name) for name in ("run/a", "run/b", "other")] == [b"22"] * 3
        assert remote.prune("") in (pruned, Deleted(1, 1))

    def test_nothing_is_done_once_the_time_is_over(self, remote: Remote, tmp_path: Path) -> None:
        stored = remote.put("x", b"x")
        (tmp_path / "file").write_bytes(b"y")
        remote.hurry(time.monotonic() + 1000)
        assert remote.read("x") == b"x"
        remote.hurry(time.monotonic())
        for call in (
            remote.check,
            lambda: list(remote.list()),
            lambda: list(remote.folders()),
            lambda: remote.put("y", b"y"),
            lambda: remote.put("y", tmp_path / "file"),
            lambda: remote.replace("x", b"y"),
            lambda: remote.extend("x", tmp_path / "file", stored),
            lambda: remote.read("x"),
            lambda: remote.fetch("x", tmp_path / "target"),
            lambda: remote.forget(stored),
            lambda: remote.delete(["x"]),
            lambda: remote.delete_prefix(""),
            lambda: remote.left(""),
        ):
            with pytest.raises(UnreachableError, match="no time left"):
                call()
        remote.hurry(None)
        assert remote.read("x") == b"x"
        assert remote.left("") == Deleted(1, 1)

    def test_a_transfer_ends_when_the_time_is_over(self, remote: Remote, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(os.urandom(5_000_000))
        remote.put("x", source)

        def hurry(_count: int) -> None:
            remote.hurry(time.monotonic())

        with pytest.raises(UnreachableError):
            remote.fetch("x", tmp_path / "target", progress=hurry)
        remote.hurry(None)
        with pytest.raises(UnreachableError):
            remote.put("y", source, progress=hurry)
        remote.hurry(None)
        assert self.names(remote) == ["x"]
        assert [path.name for path in tmp_path.iterdir()] == ["source"]

    def test_the_clock_is_the_servers(self, remote: Remote) -> None:
        remote.put("x", b"")
        (entry,) = remote.list()
        assert abs(remote.now() - entry.modified) < 30

    def test_check_accepts_a_store_that_works(self, remote: Remote) -> None:
        remote.check()

    def test_many_threads_at_once(self, remote: Remote) -> None:
        names = [f"many/{i % 7}/{i}" for i in range(60)]
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda name: remote.put(name, name.encode()), names))
            assert list(pool.map(remote.read, names)) == [name.encode() for name in names]
        assert remote.delete_prefix("many/").versions == 60
        assert remote.left("") == Deleted()

    def test_its_repr_names_it(self, remote: Remote) -> None:
        assert remote.url in repr(remote)
