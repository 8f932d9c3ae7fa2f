"""The record of a run, gathered in a process of its own beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from savethat.errors import SavethatError
from savethat.provenance import collect, write_record
from savethat.run.layout import ARGS_FILE


def gather(
    root: Path,
    out: Path,
    argv: Sequence[str],
    secrets: Sequence[str],
    *,
    capsule: str = "",
    reproduces: str = "",
    attempt: int | None = None,
    checkout: Path | None = None,
    freeze: Callable[[], str] | None = None,
    problems: Sequence[str] = (),
) -> None:
    """Writes the record. The node's arguments are read from `args.json` beside it.

    Args:
        root: the project root.
        out: the file to write.
        argv: as for `collect`.
        secrets: as for `collect`.
        capsule: as for `collect`.
        reproduces: as for `collect`.
        attempt: as for `collect`.
        checkout: as for `collect`.
        freeze: freezes the code, and gives back the capsule's name; None: it is frozen, or is not
            to be.
        problems: sentences for the record.

    Raises:
        OSError: the file cannot be written.
    """
    os.nice(10)  # the run goes first
    # git takes no lock that the user's own would meet.
    os.environ["GIT_OPTIONAL_LOCKS"] = "0"
    found = list(problems)
    if freeze is not None:
        try:
            capsule = freeze()
        except SavethatError as error:
            found.append(f"code: {error}")
    args, problem = _args(out.with_name(ARGS_FILE))
    record = collect(
        root,
        argv,
        secrets,
        args=args,
        capsule=capsule,
        reproduces=reproduces,
        attempt=attempt,
        checkout=checkout,
    )
    record["problems"] += filter(None, (*found, problem))
    write_record(out, record)


def _args(path: Path) -> tuple[Mapping[str, Any], str]:
    """The node's arguments, none where no run lies there; and what was wrong with them."""
    try:
        args = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError) as error:
        return {}, f"seeds: {error}"
    return (args, "") if isinstance(args, dict) else ({}, f"seeds: {path} holds no arguments")
