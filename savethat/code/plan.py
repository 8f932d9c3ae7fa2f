"""What goes into a capsule under which name, decided by names and states alone: nothing is read."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from savethat.code.secrets import is_secret
from savethat.errors import UsageError

MOST_BYTES = 100_000_000
# A file outside the project that a link in it points to.
MOST_LINKED_BYTES = 1_000_000

_SETTINGS = "savethat.toml"


class Item(NamedTuple):
    """A file or link of a capsule.

    Args:
        name: in the capsule.
        path: on this machine, absolute.
        link: what a symbolic link says; None for a file.
        mode: of the file, as it is in the capsule.
        size: bytes, when it was looked at.
        settings: whether it is a `savethat.toml`, of which not all may enter.
        state: differs when the content may differ.
    """

    name: str
    path: str
    link: str | None
    mode: int
    size: int
    settings: bool
    state: tuple[int, ...]


def planned(
    folder: Path,
    files: Mapping[str, os.stat_result],
    settings: frozenset[str],
    prefix: str,
    warnings: list[str],
) -> list[Item]:
    """The items for the files of a folder.

    Links that lead out of the folder become what they lead to, where that is a small file.

    Args:
        folder: absolute.
        files: their states, by paths relative to it; links not followed.
        settings: absolute paths of files to be treated as `savethat.toml`.
        prefix: goes before all names.
        warnings: gets what is left out, and why.
    """
    items = []
    for name, found in files.items():
        path = f"{folder}/{name}"
        link = None
        if stat.S_ISLNK(found.st_mode):
            link = _link_inside(folder, Path(path))
            if link is None:
                linked = _linked_file(Path(path))
                if isinstance(linked, str):
                    warnings.append(f"left out, as it is a link to {linked}: {prefix}{name}")
                    continue
                found = linked
        items.append(
            Item(
                f"{prefix}{name}",
                path,
                link,
                0o755 if found.st_mode & 0o100 else 0o644,
                0 if link is not None else found.st_size,
                name.rpartition("/")[2] == _SETTINGS or path in settings,
                (
                    found.st_mode,
                    found.st_size,
                    found.st_mtime_ns,
                    found.st_ctime_ns,
                    found.st_ino,
                    found.st_dev,
                ),
            )
        )
    return items


def check_size(items: Sequence[Item], total: int) -> None:
    """Refuses a capsule of `total` bytes where that is too much.

    Raises:
        UsageError: names the largest files.
    """
    if total <= MOST_BYTES:
        return
    largest = sorted(items, key=lambda item: (-item.size, item.name))[:5]
    names = ", ".join(f"{item.name} ({_megabytes(item.size)})" for item in largest)
    raise UsageError(
        f"the project's code has {_megabytes(total)}, more than the {_megabytes(MOST_BYTES)} that "
        f"are frozen with a run; the largest files: {names}",
        "add what is not code to .gitignore, or to `[code] exclude` in savethat.toml",
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _link_inside(folder: Path, path: Path) -> str | None:
    """What the link at `path` says, relative to its place; None where it leads out of `folder`."""
    said = path.readlink()
    target = Path(os.path.normpath(path.parent / said))
    real = Path(os.path.realpath(folder))
    if said.is_absolute() and target.is_relative_to(real) and not target.is_relative_to(folder):
        target = folder / target.relative_to(real)
    # By its words it must stay inside wherever it is unpacked; in truth it must do so here, where
    # a part of its way may be another link.
    if not target.is_relative_to(folder) or not Path(os.path.realpath(path)).is_relative_to(real):
        return None
    return os.path.relpath(target, path.parent) if said.is_absolute() else str(said)


def _linked_file(path: Path) -> os.stat_result | str:
    """The state of the file that a link leads to; what that is where it may not enter."""
    try:
        found = path.stat()
    except OSError:
        return "nothing"
    if not stat.S_ISREG(found.st_mode):
        return "something outside of the project that is not a file"
    if is_secret(os.path.realpath(path)):
        return "a file that holds secrets"
    if found.st_size > MOST_LINKED_BYTES:
        return f"a file outside of the project of over {_megabytes(MOST_LINKED_BYTES)}"
    return found
