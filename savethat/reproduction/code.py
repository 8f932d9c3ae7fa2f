"""The code of a run that is to be run again: its capsule, or its commit with its changes."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.code import capture
from savethat.config import Config
from savethat.errors import NotFoundError, SavethatError, StorageError
from savethat.run.layout import CODE
from savethat.worker.capsule import fetch_code, store_code

# What a record says may be anybody's: it becomes an argument of git's.
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
# A clone of a large repository over a slow line.
_GIT_TIMEOUT = 600.0


def code_of(
    config: Config,
    catalog: Catalog,
    row: Row,
    record: Mapping[str, Any] | None,
    say: Callable[[str], None],
) -> str:
    """The capsule of a run, at hand in the home; made from commit and diff where there is none.

    Args:
        config: the project's configuration.
        catalog: the project's runs.
        row: the run.
        record: its `reproducible.json`; None where it has none.
        say: told where the capsule cannot be had.

    Raises:
        NotFoundError: its code was not frozen, and its commit is not to be had.
        SavethatError: its changes do not apply to its commit.
    """
    if row.code:
        try:
            fetch_code(catalog.remote, catalog.home, row.code)
        except StorageError as error:
            say(f"its capsule cannot be had ({error.message}); trying its commit")
        else:
            return row.code
    git = (record or {}).get("git")
    git = git if isinstance(git, Mapping) else {}
    if _COMMIT.fullmatch(str(git.get("commit"))) is None:
        raise NotFoundError(
            f"the code of {row.key} was not frozen, and its commit is not known",
            "savethat show tells what is recorded of it",
        )
    untracked = git.get("untracked")
    if isinstance(untracked, list) and untracked:
        say(f"not recorded, so not there: {', '.join(map(str, untracked))}")
    with tempfile.TemporaryDirectory(prefix="savethat-code-") as folder:
        checkout = _check_out(config, git, Path(folder) / "checkout")
        root = checkout / _below(catalog, row, str(git.get("root") or ""))
        there = dataclasses.replace(config, root=root, files=())
        capsule = capture(there, catalog.home.root / CODE, extra=())
    store_code(catalog.remote, catalog.home, capsule.name)
    return capsule.name


def _below(catalog: Catalog, row: Row, top: str) -> Path:
    """Where the project lay in its checkout, as far as its launch tells."""
    launch = catalog.launch(row.launch)
    if launch is None or not Path(launch.root).is_relative_to(top or "/"):
        return Path()
    below = Path(launch.root).relative_to(top) if top else Path()
    return Path() if ".." in below.parts else below


def _check_out(config: Config, git: Mapping[str, Any], folder: Path) -> Path:
    """A checkout of the recorded commit with the recorded changes: from here, or its remote."""
    commit = str(git["commit"])
    for source in filter(None, (str(config.root), git.get("remote"))):
        cloned = _git("clone", "--quiet", "--no-checkout", "--", _top(str(source)), str(folder))
        if cloned and _git("-C", str(folder), "checkout", "--quiet", commit, "--"):
            break
        shutil.rmtree(folder, ignore_errors=True)
    else:
        raise NotFoundError(
            f"the commit {commit[:12]} is neither in {config.root} nor in its remote",
            "fetch it, then the same again",
        )
    diff = git.get("diff")
    if diff and not _git("-C", str(folder), "apply", "--whitespace=nowarn", "-", given=str(diff)):
        raise SavethatError(f"the recorded changes do not apply to the commit {commit[:12]}")
    return folder


def _top(source: str) -> str:
    """The checkout that a folder lies in; git clones no folder below it."""
    for folder in (Path(source), *Path(source).parents):
        if (folder / ".git").exists():
            return str(folder)
    return source


def _git(*command: str, given: str = "") -> bool:
    try:
        done = subprocess.run(
            ["git", *command],
            input=given.encode(errors="surrogateescape"),
            capture_output=True,
            timeout=_GIT_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
