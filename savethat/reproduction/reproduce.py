"""Runs a run again: its code, its packages, its arguments, as a new run that is linked to it."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.code import capture
from savethat.config import Config
from savethat.errors import NotFoundError, SavethatError, StorageError
from savethat.launch.destinations import Destination
from savethat.launch.rerun import rerun, rerun_here
from savethat.reproduction.environment import build_environment
from savethat.reproduction.facts import provenance_of
from savethat.run.layout import CODE, HIDDEN
from savethat.worker.capsule import fetch_code, store_code
from savethat.worker.journal import Terminal

ENVIRONMENTS = f"{HIDDEN}/environments"
_GIT_TIMEOUT = 600.0


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a run is to be run with again.

    Args:
        row: the run.
        code: the capsule's name.
        python: the interpreter, of an environment with the packages that it had.
    """

    row: Row
    code: str
    python: str


def prepare(
    config: Config, catalog: Catalog, row: Row, *, here: bool, say: Callable[[str], None]
) -> Recipe:
    """Has a run's code and environment ready on this machine.

    Args:
        config: the project's configuration.
        catalog: the project's runs.
        row: the run, with all of its arguments.
        here: take the present environment instead of building the recorded one.
        say: told what takes time.

    Raises:
        NotFoundError: neither its code was frozen, nor is its commit to be had.
        SavethatError: its environment cannot be built.
        StorageError: its files cannot be read.
    """
    record = provenance_of(catalog, row)
    code = _code(config, catalog, row, record, say)
    if here:
        return Recipe(row, code, sys.executable)
    if record is None:
        raise NotFoundError(
            f"{row.key} has no record of its packages", "--here takes the present environment"
        )
    python = build_environment(record, config.local_path / ENVIRONMENTS, say=say)
    return Recipe(row, code, str(python))


def reproduce_here(
    config: Config, recipe: Recipe, argv: Sequence[str], terminal: Terminal | None
) -> str:
    """Runs it again in the foreground; the new run's key."""
    return rerun_here(config, recipe.row, recipe.code, recipe.python, argv, terminal)


def reproduce_at(config: Config, recipe: Recipe, to: Destination, argv: Sequence[str]) -> str:
    """Submits it again; the new run's key.

    Raises:
        SchedulerError: the scheduler refused it.
    """
    return rerun(config, recipe.row, recipe.code, recipe.python, to, argv)


def _code(
    config: Config,
    catalog: Catalog,
    row: Row,
    record: dict[str, Any] | None,
    say: Callable[[str], None],
) -> str:
    """The capsule of a run, at hand in the home; made from commit and diff where there is none."""
    if row.code:
        try:
            fetch_code(catalog.remote, catalog.home, row.code)
            return row.code
        except StorageError as error:
            say(f"its capsule cannot be had ({error.message}); trying its commit")
    git = (record or {}).get("git") or {}
    if not git.get("commit"):
        raise NotFoundError(
            f"the code of {row.key} was not frozen, and its commit is not known",
            "savethat show tells what is recorded of it",
        )
    with tempfile.TemporaryDirectory(prefix="savethat-code-") as folder:
        root = _check_out(config, git, Path(folder) / "checkout")
        there = dataclasses.replace(config, root=root, files=())
        capsule = capture(there, catalog.home.root / CODE, extra=())
    store_code(catalog.remote, catalog.home, capsule.name)
    return capsule.name


def _check_out(config: Config, git: dict[str, Any], folder: Path) -> Path:
    """A checkout of the recorded commit, with the recorded changes: from here, or its remote."""
    commit = str(git["commit"])
    sources = [str(config.root), *([str(git["remote"])] if git.get("remote") else [])]
    for source in sources:
        cloned = _git("clone", "--quiet", "--no-checkout", "--", source, str(folder))
        if cloned and _git("-C", str(folder), "checkout", "--quiet", commit, "--"):
            break
        subprocess.run(["rm", "-rf", str(folder)], check=False)
    else:
        raise NotFoundError(
            f"the commit {commit[:12]} is neither in {config.root} nor in its remote",
            "fetch it, then the same again",
        )
    diff = git.get("diff")
    if diff and not _git("-C", str(folder), "apply", "--whitespace=nowarn", "-", given=str(diff)):
        raise SavethatError(f"the recorded changes do not apply to the commit {commit[:12]}")
    inside = Path(str(config.root)).name if git.get("root") != str(config.root) else ""
    return folder / inside if inside and (folder / inside).is_dir() else folder


def _git(*command: str, given: str = "") -> bool:
    try:
        done = subprocess.run(
            ["git", *command],
            input=given.encode(),
            capture_output=True,
            timeout=_GIT_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
