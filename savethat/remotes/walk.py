"""Files below a folder: in the order of their names, and those that can be stored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from savethat.remotes.names import is_part


def walk(
    root: Path, prefix: str = "", start: str = "", stop: str = ""
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """All that is not a folder below `root`, with its name below it, sorted by that name.

    Folders that hold nothing of what is wanted are not looked into, nor are links to folders.

    Args:
        root: a folder; nothing is found where it is not there.
        prefix: where the name must start so (any string).
        start: the first name wanted, inclusive.
        stop: where to end, exclusive; empty for no end.
    """
    top = prefix.rpartition("/")[0]
    if not is_inside(root, root / top):
        return
    stack = [_level(root, f"{top}/" if top else "", prefix, start)]
    while stack:
        name, item = next(stack[-1], ("", None))
        if item is None:
            stack.pop()
        elif stop and name >= stop:
            return
        elif name.endswith("/"):
            stack.append(_level(root, name, prefix, start))
        else:
            yield name, item


def storable(folder: Path) -> tuple[list[tuple[str, Path]], list[tuple[str, str]]]:
    """The files below `folder` that can be stored, and what is left out.

    A link to a file in the folder counts as that file. Left out are links that lead out of the
    folder, to folders or to nothing, and what is neither file, folder nor link. Empty folders are
    not stored either, but lose nothing.

    Returns:
        Names below `folder` with their paths, and names with the reason they are left out.
    """
    files, left_out = [], []
    for name, item in walk(folder):
        if is_part(name):
            continue
        if item.is_symlink():
            if not is_inside(folder, item.path):
                left_out.append((name, f"it is a link that leads out of {folder}"))
                continue
            # Path's, unlike the entry's own, say no to a loop of links.
            if not Path(item.path).is_file():
                what = "a folder" if Path(item.path).is_dir() else "no file"
                left_out.append((name, f"it is a link to {what}"))
                continue
        elif not item.is_file():
            left_out.append((name, "it is neither a file nor a folder"))
            continue
        files.append((name, Path(item.path)))
    return files, left_out


def is_inside(root: Path, path: Path | str) -> bool:
    """Whether `path`, with all links followed, lies in `root` or is it."""
    # Path.resolve raises other errors on a loop of links before Python 3.13.
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def scan(folder: Path) -> list[os.DirEntry[str]]:
    """A folder's entries; none where it is gone."""
    try:
        with os.scandir(folder) as items:
            return list(items)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _level(
    root: Path, folder: str, prefix: str, start: str
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """One folder's entries that may matter; folders end in `/`, as their files' names sort."""
    found = []
    for item in scan(root / folder):
        is_folder = item.is_dir(follow_symlinks=False)
        name = f"{folder}{item.name}/" if is_folder else folder + item.name
        if name.startswith(prefix) and (name >= start or (is_folder and start.startswith(name))):
            found.append((name, item))
    found.sort(key=lambda pair: pair[0])
    return iter(found)
