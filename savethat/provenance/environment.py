"""What is the same for all runs of an interpreter on a machine: its packages, its build, its GPUs.

Finding it takes a fifth of a second, so it is kept in the user's cache folder for a day, for as
long as no folder that packages are imported from has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import socket
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from savethat import cache
from savethat.provenance.machine import gpus
from savethat.provenance.packages import packages
from savethat.provenance.tools import ask

_T = TypeVar("_T")

# A driver may be renewed, and a package changed in its place.
_MAX_AGE = 86_400.0
_FIELDS = {"platform", "python", "packages", "direct_urls", "gpus", "driver", "cuda", "git"}


def describe_environment(root: Path, problems: list[str]) -> dict[str, Any]:
    """`platform`, `python`, `packages`, `direct_urls`, `gpus`, `driver`, `cuda` and `git`.

    `git` is git's version, None where there is none. See `collect` for the others. What could not
    be had is empty, and `problems` says why; then nothing is kept.

    Args:
        root: the project's, from where packages may be imported.
        problems: takes sentences on what could not be had.
    """
    if known := known_environment(root):
        return known
    began = len(problems)
    stamp = _stamp(_folders())
    found = _find(problems)
    if len(problems) == began:
        cache.write(_name(root), {"time": time.time(), "stamp": stamp, "environment": found})
    return found


def known_environment(root: Path) -> dict[str, Any] | None:
    """What `describe_environment` found before, where it still holds; else None."""
    kept = cache.read(_name(root))
    try:
        young = 0 <= time.time() - kept["time"] <= _MAX_AGE
        found: dict[str, Any] = kept["environment"]
        if young and found.keys() == _FIELDS and kept["stamp"] == _stamp(kept["stamp"]):
            return found
    except (TypeError, KeyError, ValueError, AttributeError):  # there is none, or it is damaged
        pass
    return None


def attempt(what: str, function: Callable[[], _T], problems: list[str]) -> _T | None:
    """What a function returns; None where it raises: a run is worth more than its record."""
    try:
        return function()
    except Exception as error:
        problems.append(f"{what}: {type(error).__name__}: {error}")
        return None


def _find(problems: list[str]) -> dict[str, Any]:
    known = attempt("reproducible", _build, problems) or {}
    installed, direct_urls = attempt("packages", lambda: packages(problems), problems) or ({}, {})
    cards = attempt("gpus", lambda: gpus(problems), problems)
    git = shutil.which("git") and attempt("git", _git_version, problems)
    return {
        "platform": known.get("platform") or platform.platform(),
        "python": {
            "implementation": platform.python_implementation(),
            **known.get("python", {}),
            "version": platform.python_version(),
            "executable": sys.executable,
            "prefix": sys.prefix,
        },
        "packages": installed,
        "direct_urls": direct_urls,
        "gpus": [*cards.names] if cards else [],
        "driver": cards.driver if cards else None,
        "cuda": cards.cuda if cards else None,
        "git": git,
    }


def _build() -> dict[str, Any]:
    # Without this, the import fails where git is not on PATH.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    with warnings.catch_warnings():
        # It asks for the time in a way that Python 3.12 deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        from reproducible import Context  # imports GitPython, and takes 0.15 s

        return dict(Context().data)


def _git_version() -> str:
    return ask(["git", "version"])[0].decode(errors="replace").strip().removeprefix("git version ")


def _name(root: Path) -> str:
    """Where the facts of this interpreter, in this environment, are kept."""
    told = [os.environ.get(name) for name in ("PATH", "PYTHONPATH")]
    own = [sys.executable, sys.prefix, sys.version, socket.gethostname(), str(root), *told]
    return f"environment-{hashlib.sha256(json.dumps(own).encode()).hexdigest()[:16]}.json"


def _folders() -> list[tuple[str, int]]:
    return [(path or ".", 0) for path in sys.path]


def _stamp(folders: Any) -> list[list[Any]]:
    """When each of these folders was changed last: installing a package changes one."""
    return [[path, _changed(path)] for path, _ in folders]


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 # of all of sys.path, for each run
    except OSError:
        return 0
