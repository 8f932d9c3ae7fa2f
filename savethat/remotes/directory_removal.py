"""Removes files below a folder, and the folders that this leaves empty."""

from __future__ import annotations

import bisect
import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from savethat.errors import StorageError
from savethat.remotes.base import Deleted
from savethat.remotes.directory_errors import translated
from savethat.remotes.patience import Patience
from savethat.remotes.walk import is_inside, scan, walk

# Folders at a time: on a shared file system each operation takes its while.
_PARALLEL = 8

_Items = Sequence["os.DirEntry[str]"]


def delete_below(root: Path, prefixes: Collection[str], patience: Patience) -> dict[str, Deleted]:
    """Deletes every file below each prefix, of what kind ever, and empty folders."""

    def delete(prefix: str, items: _Items) -> Deleted:
        sizes = []
        failure: StorageError | None = None
        files, folders = list(_files(root, prefix, items)), list(_folders(items))
        for name, path in files:
            try:
                patience.check()
                with translated(name):
                    sizes.append(unlink(path))
            except StorageError as error:
                failure = failure or error
        for path in sorted(folders, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):  # not empty: something came, or could not go
                path.rmdir()
        return total(sizes, failure)

    done = _of_each(root, prefixes, delete)
    for folder in {_folder(prefix) for prefix in prefixes}:
        remove_empty(root, root / folder)
    return done


def left_below(root: Path, prefixes: Collection[str], patience: Patience) -> dict[str, Deleted]:
    """What files there are below each prefix, of what kind ever."""

    def count(prefix: str, items: _Items) -> Deleted:
        patience.check()
        return total([_size(path) for _, path in _files(root, prefix, items)])

    return _of_each(root, prefixes, count)


def unlink(path: Path) -> int | None:
    """Removes one file; its size, or None if it was gone."""
    try:
        size = path.stat(follow_symlinks=False).st_size
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (IsADirectoryError, PermissionError):  # macOS calls a folder the latter
        if path.is_dir():
            return None
        raise
    return size


def remove_empty(root: Path, folder: Path) -> None:
    """Removes a folder if it is empty, and so those above it, but never the root."""
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return  # not empty, or not ours to remove
        folder = folder.parent


def total(sizes: Iterable[int | None], failure: StorageError | None = None) -> Deleted:
    """So many files and bytes; None is one that was gone."""
    there = [size for size in sizes if size is not None]
    return Deleted(len(there), sum(there), failure)


def _of_each(
    root: Path, prefixes: Collection[str], do: Callable[[str, _Items], Deleted]
) -> dict[str, Deleted]:
    """What `do` gives back of each prefix; it is called with what lies in the prefix's folder."""
    by_folder: dict[str, list[str]] = {}
    for prefix in prefixes:
        by_folder.setdefault(_folder(prefix), []).append(prefix)

    def of_folder(folder: str) -> dict[str, Deleted]:
        members = by_folder[folder]
        done = {}
        try:
            with translated(folder or str(root)):
                inside = is_inside(root, root / folder)
                # Read once for all: the marks of a node's runs lie in one.
                items = sorted(scan(root / folder) if inside else (), key=lambda item: item.name)
            names = [item.name for item in items]
        except StorageError as error:
            return {prefix: Deleted(failure=error) for prefix in members}
        for prefix in members:
            start = prefix.rpartition("/")[2]
            first = stop = bisect.bisect_left(names, start)
            while stop < len(names) and names[stop].startswith(start):
                stop += 1
            try:
                with translated(prefix):
                    done[prefix] = do(prefix, items[first:stop])
            except StorageError as error:
                done[prefix] = Deleted(failure=error)
        return done

    if len(by_folder) == 1:
        return of_folder(*by_folder)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return {
            prefix: deleted
            for done in pool.map(of_folder, by_folder)
            for prefix, deleted in done.items()
        }


def _folder(prefix: str) -> str:
    return prefix.rpartition("/")[0]


def _files(root: Path, prefix: str, items: _Items) -> Iterator[tuple[str, Path]]:
    """What is not a folder among the items and below them, with its name below the root."""
    folder = _folder(prefix)
    for item in items:
        name = f"{folder}/{item.name}" if folder else item.name
        if item.is_dir(follow_symlinks=False):
            yield from ((below, Path(file.path)) for below, file in walk(root, f"{name}/"))
        else:
            yield name, Path(item.path)


def _folders(items: _Items) -> Iterator[Path]:
    """The folders among the items, and all folders in them."""
    for item in items:
        if item.is_dir(follow_symlinks=False):
            for place, _, _ in os.walk(item.path):
                yield Path(place)


def _size(path: Path) -> int | None:
    try:
        return path.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return None
