"""Runs a run again: its code, its packages, its arguments, as a new run that is linked to it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence

from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.config import Config
from savethat.errors import NotFoundError
from savethat.launch.destinations import Destination
from savethat.launch.rerun import rerun, rerun_here
from savethat.reproduction.code import code_of
from savethat.reproduction.environment import build_environment
from savethat.reproduction.facts import provenance_of
from savethat.run.layout import HIDDEN
from savethat.worker.journal import Terminal

ENVIRONMENTS = f"{HIDDEN}/environments"


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
    code = code_of(config, catalog, row, record, say)
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
