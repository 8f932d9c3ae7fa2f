"""Where a package's modules lie: as files, found without importing any."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path


def find_modules(root: Path, package: str, until: float) -> Iterator[tuple[str, Path]]:
    """A package's modules with their files, those nearest to its top first.

    Args:
        root: the project's; the package lies in it, or in its `src`.
        package: its name.
        until: when to stop, by the monotonic clock: a package's folder may hold data sets, too.
    """
    place = _place(root, package)
    if place is None:
        return
    if place.is_file():
        yield package, place
        return
    waiting = deque([(package, place)])
    while waiting:
        package, folder = waiting.popleft()
        for path in _entries(folder):
            if time.monotonic() > until:
                return
            name = f"{package}.{path.stem}"
            if path.suffix == ".py" and path.stem.isidentifier():
                if path.stem != "__main__":
                    yield package if path.stem == "__init__" else name, path
            elif path.name.isidentifier() and path.name != "__pycache__" and path.is_dir():
                waiting.append((name, path))


def _place(root: Path, package: str) -> Path | None:
    """The folder of a package, or its one file; as for Python, a folder alone comes last."""
    folders = [base.joinpath(*package.split(".")) for base in (root, root / "src")]
    for folder in folders:
        if (folder / "__init__.py").is_file():
            return folder
        if folder.with_suffix(".py").is_file():
            return folder.with_suffix(".py")
    return next((folder for folder in folders if folder.is_dir()), None)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
