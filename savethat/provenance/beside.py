"""The record of a run, gathered in a process of its own beside it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from savethat.config import Config, load
from savethat.errors import SavethatError
from savethat.provenance import Subject, collect, write_record


def gather(
    subject: Subject,
    out: Path,
    *,
    freeze: Path | None = None,
    config: Config | None = None,
    problems: Sequence[str] = (),
) -> None:
    """Writes the record.

    Args:
        subject: the run; the key's secret half is the last of its secrets.
        out: the file to write.
        freeze: where to freeze the code, as it is now; None: it is frozen, or is not to be.
        config: the project's; None: it is read, if it is needed.
        problems: sentences for the record.

    Raises:
        OSError: the file cannot be written.
    """
    os.nice(10)  # the run goes first
    # git takes no lock that the user's own would meet.
    os.environ["GIT_OPTIONAL_LOCKS"] = "0"
    found = list(problems)
    if freeze is not None:
        from savethat.code import capture

        try:
            config = config or load(project=subject.root)
            # The key's id may be named in code.
            capsule = capture(config, freeze, secrets=subject.secrets[-1:], extra=())
            subject = dataclasses.replace(subject, capsule=capsule.name)
        except SavethatError as error:
            found.append(f"code: {error}")
    record = collect(subject)
    record["problems"] += found
    write_record(out, record)
