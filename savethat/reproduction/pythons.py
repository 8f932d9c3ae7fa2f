"""Finds a Python of a version on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_TIMEOUT = 20.0
_ASK = "import platform; print(platform.python_version())"


def find_python(minor: str, version: str) -> tuple[Path, str] | None:
    """A Python of a minor version, and its whole version; None where none is found.

    Looked for are this process's own, `pythonX.Y` on PATH and those of pyenv. One of the very
    version is taken before others.

    Args:
        minor: `3.12`.
        version: `3.12.1`.
    """
    near = None
    for path in dict.fromkeys(_candidates(minor)):
        found = _version(path)
        if found == version:
            return path, found
        if near is None and found.startswith(f"{minor}."):
            near = path, found
    return near


def _candidates(minor: str) -> Iterator[Path]:
    yield Path(sys.executable)
    if on_path := shutil.which(f"python{minor}"):
        yield Path(on_path)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    # The latest first; 3.12.10 comes after 3.12.9.
    folders = sorted(pyenv.glob(f"versions/{minor}.*"), key=_number, reverse=True)
    yield from (folder / "bin" / "python" for folder in folders)


def _number(folder: Path) -> tuple[int, str]:
    patch = folder.name.rpartition(".")[2]
    return (int(patch) if patch.isdecimal() else -1), folder.name


def _version(python: Path) -> str:
    """What an interpreter calls itself; empty where it does not run, as pyenv's shims may not."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", _ASK],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
