"""What a run was made from: code, packages, machine. One JSON object, `reproducible.json`.

`collect` never fails because something is missing: what could not be had is null, and `problems`
says why. It takes a good part of a second, so it is meant to run as its own process beside the
run (`python -m savethat.provenance`, see `__main__`), never before it.

The `reproducible` package tells the commit, whether the checkout is dirty, and which build of
Python and which platform this is. Packages come from `importlib.metadata` instead, because
`reproducible` asks the first `pip` on PATH, which may be another environment's. CPU facts come from
the system instead, because its `cpuinfo=True` keeps a core busy for a second; the diff from git
instead, because its own has no bound.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from savethat.config import KEY_VARIABLES
from savethat.provenance.checkout import describe_checkout
from savethat.provenance.machine import cpu, gpus, loaded_modules, operating_system
from savethat.provenance.packages import packages
from savethat.provenance.redaction import redacted
from savethat.provenance.seeds import seeds
from savethat.run.record import format_time

if TYPE_CHECKING:
    from reproducible import Context

_T = TypeVar("_T")


def collect(
    root: Path,
    argv: Sequence[str],
    secrets: Sequence[str] = (),
    *,
    args: Mapping[str, Any] | None = None,
    capsule: str = "",
    reproduces: str = "",
    attempt: int | None = None,
) -> dict[str, Any]:
    """Everything that says how to have this run again, as JSON values.

    - `timestamp` (ISO 8601, UTC), `argv`, `hostname`, `platform`
    - `python`: `version`, `implementation`, `executable`, `prefix`, `compiler`, `branch`,
      `revision`
    - `packages`: version by name; `direct_urls`: by name, `url`, `editable`, `commit` of those that
      were not installed from an index, and `subdirectory` where it lies below
    - `cpu`: `model`, `machine`, `count`, `usable`, `flags`
    - `gpus`: names; `driver`: NVIDIA's; `cuda`: the latest that the driver runs
    - `os`: `name`, `version`, `kernel`
    - `modules`: those of the cluster that are loaded, in their order (`cuda/12.4`)
    - `seeds`: `PYTHONHASHSEED` where it is set, and the arguments called seed, by dotted name
    - `capsule`: the `name` of the frozen code it runs from; null where it runs from a folder
    - `origin`: the key of the run it `reproduces`; null where it is none of another's
    - `attempt`: from 1
    - `git`: `root`, `version`, `commit`, `branch` (null: detached), `remote`, `dirty` (untracked
      files count), `diff` (against the commit, staged changes included), `diff_cut`, `untracked`
      (names), `untracked_cut`
    - `problems`: sentences on what could not be had

    Args:
        root: the project root.
        argv: the command line to record.
        secrets: values that must not appear anywhere in it. Values given to names like `b2_key`
            or `B2_APPLICATION_KEY`, and passwords in URLs, are taken out without being named.
        args: the node's, as JSON.
        capsule: the name of the run's capsule.
        reproduces: the key of the run that this one is to repeat.
        attempt: which of the run's.
    """
    problems: list[str] = []
    context = _attempt("reproducible", _context, problems)
    found = {} if context is None else context.data
    installed, direct_urls = _attempt("packages", lambda: packages(problems), problems) or ({}, {})
    cards = _attempt("gpus", lambda: gpus(problems), problems)
    record = {
        "timestamp": format_time(datetime.now(timezone.utc)),
        "argv": list(argv),
        "hostname": socket.gethostname(),
        "platform": found.get("platform") or platform.platform(),
        "python": {
            "implementation": platform.python_implementation(),
            **found.get("python", {}),
            "version": platform.python_version(),
            "executable": sys.executable,
            "prefix": sys.prefix,
        },
        "packages": installed,
        "direct_urls": direct_urls,
        "cpu": _attempt("cpu", lambda: cpu(problems), problems),
        "gpus": [*cards.names] if cards else [],
        "driver": cards.driver if cards else None,
        "cuda": cards.cuda if cards else None,
        "os": _attempt("os", operating_system, problems),
        "modules": loaded_modules(os.environ),
        "seeds": seeds(args or {}, os.environ),
        "capsule": {"name": capsule} if capsule else None,
        "origin": {"reproduces": reproduces} if reproduces else None,
        "attempt": attempt,
        "git": _attempt("git", lambda: describe_checkout(root, context, problems), problems),
        "problems": problems,
    }
    inherited = [os.environ.get(name, "") for name in KEY_VARIABLES]
    return redacted(record, (*secrets, *inherited))


def _attempt(what: str, function: Callable[[], _T], problems: list[str]) -> _T | None:
    try:
        return function()
    except Exception as error:  # a run is worth more than a complete record of it
        problems.append(f"{what}: {type(error).__name__}: {error}")
        return None


def _context() -> Context:
    # Without this, the import fails where git is not on PATH.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    with warnings.catch_warnings():
        # It asks for the time in a way that Python 3.12 deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        from reproducible import Context  # imports GitPython, and takes 0.15 s

        return Context()
