"""A folder as a remote: what a project without B2 uses, on this machine or a shared file system."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from typing_extensions import override

from savethat.errors import DeniedError, MissingError, StorageError
from savethat.remotes.base import Deleted, Entry, Progress, Remote, Stored, whole
from savethat.remotes.directory_errors import translated
from savethat.remotes.directory_removal import (
    delete_below,
    left_below,
    remove_empty,
    total,
    unlink,
)
from savethat.remotes.names import check_name, check_prefix, is_part, part_name, too_large
from savethat.remotes.patience import Patience
from savethat.remotes.source import BLOCK, FileSource
from savethat.remotes.walk import is_inside, scan, walk


class DirectoryRemote(Remote):
    """Objects as files below a folder.

    It keeps no info headers (`Entry.info` and `Entry.sha1` are None) and one version of an object.
    A link to a file inside the folder counts as that file; links that lead out of it and links to
    folders are not followed, only removed.

    Args:
        root: the folder; made when the first object is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._clock_offset: float | None = None
        self._lock = threading.Lock()
        self._patience = Patience()

    def __repr__(self) -> str:
        return f"DirectoryRemote({str(self.root)!r})"

    @property
    @override
    def url(self) -> str:
        return str(self.root)

    @property
    @override
    def extends_from(self) -> int:
        return sys.maxsize

    @override
    def hurry(self, until: float | None) -> None:
        """Sets a moment that no call goes on past, but for one operation of the file system."""
        self._patience.hurry(until)

    @override
    def check(self) -> Sequence[str]:
        """Asks whether the folder can be read and written, or made where it is not there yet."""
        self._patience.check()
        place = self.root
        while not place.exists() and place != place.parent:
            place = place.parent
        if not place.is_dir():
            raise StorageError(f"{place} is not a folder", "correct local_path in savethat.toml")
        if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
            raise DeniedError(f"{place} is not writable", "correct local_path in savethat.toml")
        return ()

    @override
    def now(self) -> float:
        """Seconds since the epoch by the file system's clock, which may be another machine's.

        It is read once, from a file written and removed at once; this machine's clock serves where
        that cannot be done.
        """
        with self._lock:
            if self._clock_offset is None:
                self._clock_offset = self._measure()
        return time.time() + self._clock_offset

    def _measure(self) -> float:
        probe = self.root / part_name()
        try:
            probe.touch(exist_ok=False)
            try:
                return probe.stat().st_mtime - time.time()
            finally:
                probe.unlink()
        except OSError:
            return 0.0

    @override
    def list(self, prefix: str = "", *, start: str = "", stop: str = "") -> Iterator[Entry]:
        check_prefix(prefix)
        with translated(prefix or self.url):
            self._patience.check()
            for name, item in walk(self.root, prefix, start, stop):
                if is_part(name) or not self._is_object(item):
                    continue
                try:
                    status = item.stat()
                except FileNotFoundError:
                    continue
                yield Entry(name, status.st_size, status.st_mtime)

    @override
    def folders(self, prefix: str = "") -> Iterator[str]:
        check_prefix(prefix)
        with translated(prefix or self.url):
            self._patience.check()
            for item in scan(self.root / prefix):
                # The contract knows only objects: a folder without any does not exist.
                if item.is_dir(follow_symlinks=False) and any(self.list(f"{prefix}{item.name}/")):
                    yield item.name

    @override
    def put(
        self,
        name: str,
        source: Path | bytes,
        *,
        info: Mapping[str, str] | None = None,
        previous: Stored | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        target = self._path(name)
        aside = target.with_name(part_name())

        def still_there() -> None:
            if previous is not None and self._version(target) != previous.version:
                raise _gone(name)

        self._patience.check()
        with contextlib.ExitStack() as stack, translated(name):
            file_source = None
            if isinstance(source, Path):
                file_source = stack.enter_context(FileSource(source))
            still_there()
            try:
                # What was removed meanwhile must not come back: then its folder is not made again.
                with _create(aside, make=previous is None) as file:
                    if file_source:
                        size, sha1 = file_source.size, self._copy(file_source, file, progress)
                    else:
                        assert isinstance(source, bytes)
                        file.write(source)
                        size = len(source)
                        sha1 = hashlib.sha1(source, usedforsecurity=False).hexdigest()
                        if progress:
                            progress(size)
                version = self._version(aside)
                still_there()
                aside.replace(target)
            except BaseException as error:
                aside.unlink(missing_ok=True)
                if isinstance(error, FileNotFoundError):
                    raise _gone(name) from error
                raise
        assert version is not None
        return Stored(name, size, sha1, version)

    @override
    def replace(
        self,
        name: str,
        source: Path | bytes,
        *,
        info: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        return self.put(name, source, info=info, progress=progress)

    @override
    def extend(
        self,
        name: str,
        source: Path,
        previous: Stored,
        *,
        info: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        return self.put(name, source, info=info, previous=previous, progress=progress)

    @override
    def read(self, name: str, *, limit: int = sys.maxsize) -> bytes:
        self._patience.check()
        with translated(name), self._object(name).open("rb") as file:
            content = file.read(limit + 1) if limit < sys.maxsize else file.read()
        if len(content) > limit:
            raise too_large(name, limit)
        return content

    @override
    def fetch(self, name: str, target: Path, *, progress: Progress | None = None) -> None:
        """Copies an object to a local file, written aside and renamed; keeps its modification time.

        A folder keeps no SHA-1 to check it against.

        Raises:
            MissingError: there is no such object.
        """
        self._patience.check()
        with translated(name), self._object(name).open("rb") as file:
            aside = target.with_name(part_name())
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with aside.open("xb") as copy:
                    for block in iter(lambda: file.read(BLOCK), b""):
                        self._patience.check()
                        copy.write(block)
                        if progress:
                            progress(len(block))
                status = os.fstat(file.fileno())
                os.utime(aside, ns=(status.st_atime_ns, status.st_mtime_ns))
                aside.replace(target)
            except BaseException:
                aside.unlink(missing_ok=True)
                raise

    @override
    def forget(self, stored: Stored) -> bool:
        target = self._path(stored.name)
        self._patience.check()
        with translated(stored.name):
            if self._version(target) != stored.version:
                return False
            return self._unlink(target) is not None

    @override
    def delete(self, names: Iterable[str]) -> Deleted:
        sizes = []
        for name in names:
            self._patience.check()
            with translated(name):
                sizes.append(self._unlink(self._path(name)))
        return total(sizes)

    @override
    def delete_prefix(self, prefix: str) -> Deleted:
        """Deletes every file below `prefix` (any string), of what kind ever, and empty folders."""
        return whole(self.delete_below([prefix]).values())

    @override
    def delete_below(self, prefixes: Collection[str]) -> dict[str, Deleted]:
        for prefix in prefixes:
            check_prefix(prefix)
        return delete_below(self.root, prefixes, self._patience)

    @override
    def prune(self, prefix: str) -> Deleted:
        """Does nothing: a folder keeps one version, and what is half written shows in `left`."""
        check_prefix(prefix)
        return Deleted()

    @override
    def left(self, prefix: str) -> Deleted:
        return whole(self.left_below([prefix]).values())

    @override
    def left_below(self, prefixes: Collection[str]) -> dict[str, Deleted]:
        for prefix in prefixes:
            check_prefix(prefix)
        return left_below(self.root, prefixes, self._patience)

    def _copy(self, source: FileSource, target: BinaryIO, progress: Progress | None) -> str:
        """Copies the source and gives back its SHA-1."""
        digest = hashlib.sha1(usedforsecurity=False)
        with source.open() as stream:
            for block in iter(lambda: stream.read(BLOCK), b""):
                assert block is not None
                self._patience.check()
                target.write(block)
                digest.update(block)
                if progress:
                    progress(len(block))
        source.check(digest.hexdigest())
        return digest.hexdigest()

    def _path(self, name: str) -> Path:
        """Where the object lies; refuses names, and links on the way, that lead out of the root."""
        check_name(name)
        path = self.root / name
        with translated(name):
            if not is_inside(self.root, path.parent):
                raise StorageError(
                    f"{name} lies behind a link that leads out of {self.root}",
                    "replace the link by a folder",
                )
        return path

    def _object(self, name: str) -> Path:
        path = self._path(name)
        if path.is_symlink() and not is_inside(self.root, path):
            raise StorageError(f"{name} is a link that leads out of {self.root}")
        if not path.is_file():
            raise MissingError(f"there is no {name} in {self.root}")
        return path

    def _is_object(self, item: os.DirEntry[str]) -> bool:
        if item.is_symlink():
            return Path(item.path).is_file() and is_inside(self.root, item.path)
        return item.is_file()

    def _version(self, path: Path) -> str | None:
        try:
            status = path.stat(follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return f"{status.st_ino}:{status.st_mtime_ns}"

    def _unlink(self, path: Path) -> int | None:
        """Removes one file, and the folders it leaves empty; its size, or None if it was gone."""
        size = unlink(path)
        if size is not None:
            remove_empty(self.root, path.parent)
        return size


def _create(path: Path, *, make: bool) -> BinaryIO:
    """Opens a new file; with `make`, makes its folder, which a removal may take away meanwhile."""
    for _ in range(10 if make else 0):
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            return path.open("xb")
    return path.open("xb")


def _gone(name: str) -> MissingError:
    return MissingError(f"{name} is no longer there: it was removed or replaced meanwhile")
