"""What a run was made from: code, packages, machine. One JSON object, `reproducible.json`.

`collect` never fails because something is missing: what could not be had is null, and `problems`
says why. It takes a good part of a second at first, so it is meant to run as its own process beside
the run (`python -m savethat.provenance`, see `__main__`), never before it. What it found holds for
other runs, too: `recall` makes their record of that at once.

The `reproducible` package tells which build of Python and which platform this is. Packages come
from `importlib.metadata` instead, because `reproducible` asks the first `pip` on PATH, which may be
another environment's. CPU facts come from the system instead, because its `cpuinfo=True` keeps a
core busy for a second; the checkout from git instead, because its diff has no bound and it asks git
a dozen times.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from savethat.config import KEY_VARIABLES
from savethat.provenance.checkout import describe_checkout
from savethat.provenance.environment import attempt as try_to
from savethat.provenance.environment import describe_environment, known_environment
from savethat.provenance.machine import cpu, loaded_modules, operating_system
from savethat.provenance.redaction import redacted
from savethat.provenance.seeds import seeds
from savethat.run.record import format_time
from savethat.untrusted import read_json


@dataclasses.dataclass(frozen=True)
class Subject:
    """What a record is made of.

    Args:
        root: the project root.
        argv: the command line to record.
        secrets: values that must not appear anywhere in it. Values given to names like `b2_key`
            or `B2_APPLICATION_KEY`, and passwords in URLs, are taken out without being named.
        args: the node's, as JSON.
        capsule: the name of the run's capsule.
        reproduces: the key of the run that this one is to repeat.
        attempt: which of the run's.
        checkout: a file for what is found of the checkout, for other runs of a launch whose code
            is frozen; if it is there it is believed.
    """

    root: Path
    argv: Sequence[str] = ()
    secrets: Sequence[str] = ()
    args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    capsule: str = ""
    reproduces: str = ""
    attempt: int | None = None
    checkout: Path | None = None


def collect(subject: Subject) -> dict[str, Any]:
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
    """
    problems: list[str] = []
    own = _own(subject, problems)
    environment = describe_environment(subject.root, problems)
    git, checkout, hidden = _kept(subject), subject.checkout, _hidden(subject)
    if git is None:
        began = len(problems)
        version = environment["git"]
        git = try_to("git", lambda: describe_checkout(subject.root, version, problems), problems)
        if git is not None and checkout is not None and len(problems) == began:
            with contextlib.suppress(OSError):  # the next run looks for itself
                write_record(checkout, redacted({"argv": [], "git": git}, hidden)["git"])
    return redacted({**own, **environment, "git": git, "problems": problems}, hidden)


def recall(subject: Subject) -> dict[str, Any] | None:
    """As `collect`, of what it found for another run; None where not all of that holds still."""
    if (git := _kept(subject)) is None:
        return None
    if (environment := known_environment(subject.root)) is None:
        return None
    problems: list[str] = []
    own = _own(subject, problems)
    # What is kept of the checkout is without secrets, and its diff may be long.
    record = redacted({**own, **environment, "problems": problems}, _hidden(subject))
    return {**record, "git": git}


def write_record(out: Path, record: Mapping[str, Any]) -> None:
    """Writes a record aside and renames it: nobody sees half of it.

    Raises:
        OSError: it cannot be written.
    """
    aside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        aside.write_text(json.dumps(record, indent=1), encoding="utf-8")
        aside.replace(out)
    finally:
        aside.unlink(missing_ok=True)


def _own(subject: Subject, problems: list[str]) -> dict[str, Any]:
    """What is the run's own."""
    return {
        "timestamp": format_time(datetime.now(timezone.utc)),
        "argv": list(subject.argv),
        "hostname": socket.gethostname(),
        "cpu": try_to("cpu", lambda: cpu(problems), problems),
        "os": try_to("os", operating_system, problems),
        "modules": loaded_modules(os.environ),
        "seeds": seeds(subject.args, os.environ),
        "capsule": {"name": subject.capsule} if subject.capsule else None,
        "origin": {"reproduces": subject.reproduces} if subject.reproduces else None,
        "attempt": subject.attempt,
    }


def _kept(subject: Subject) -> dict[str, Any] | None:
    """What another run of the launch has found of the checkout; None where none has."""
    if subject.checkout is None:
        return None
    try:
        found = read_json(subject.checkout.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _hidden(subject: Subject) -> list[str]:
    return [*subject.secrets, *(os.environ.get(name, "") for name in KEY_VARIABLES)]
