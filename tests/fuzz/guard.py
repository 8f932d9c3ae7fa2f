"""Sees, by Python's audit events, what a parser does: it writes in its folder and runs nothing."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FORBIDDEN = (
    *("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"),
    *("pickle.find_class", "socket.connect", "subprocess.Popen"),
)
# Events whose first arguments are paths, with how many of them are.
_CHANGES = {
    **dict.fromkeys(
        ("os.chmod", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.utime"), 1
    ),
    **dict.fromkeys(("os.link", "os.rename"), 2),
    **dict.fromkeys(("shutil.rmtree",), 1),
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# The folder of what is being watched; a hook, once added, stays.
_watched: list[Path] = []


class CaughtError(Exception):
    """A parser did what it must not."""


@contextlib.contextmanager
def confined(folder: Path) -> Iterator[None]:
    """While it is open, nothing is run, connected to, unpickled, or written outside the folder."""
    # What a parser imports when it is first needed is compiled, and not written down.
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked.append(True)
    _watched.append(Path(os.path.realpath(folder)))
    try:
        yield
    finally:
        _watched.pop()
        sys.dont_write_bytecode = before


_hooked: list[bool] = []


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _watched:
        return
    if event in _FORBIDDEN:
        raise CaughtError(f"{event} {args!r}")
    if event == "open" and isinstance(args[2], int) and args[2] & _WRITING:
        _check(event, args[0])
    elif event == "os.symlink":
        _check(event, args[1])
    elif event in _CHANGES:
        for path in args[: _CHANGES[event]]:
            _check(event, path)


def _check(event: str, path: Any) -> None:
    # A file descriptor was a path, which was looked at.
    if isinstance(path, int) or path is None:
        return
    name = os.fsdecode(path)
    # With the links on its way followed, and itself not.
    place = Path(os.path.realpath(os.path.dirname(name)), os.path.basename(name))  # noqa: PTH119, PTH120
    if not place.is_relative_to(_watched[-1]) and name != os.devnull:
        raise CaughtError(f"{event} {path!r}, which is outside {_watched[-1]}")
