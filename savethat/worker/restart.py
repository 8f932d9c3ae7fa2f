"""A run that its scheduler starts again: is there anything left to do?"""

from __future__ import annotations

import contextlib

from savethat.config import Config, Credentials
from savethat.errors import StorageError
from savethat.remotes import open_remote
from savethat.remotes.directory import DirectoryRemote
from savethat.run.layout import ENDINGS, marks_prefix, parse_mark_name
from savethat.run.record import PlannedRun


def earlier_ending(config: Config, credentials: Credentials | None, run: PlannedRun) -> str:
    """The mark with which an attempt of a run has ended since it was launched; empty for none.

    A worker that is killed between that mark and its own end looks to a scheduler as if it had
    been killed at work. What has ended is not to be carried out once more.

    Args:
        config: the project's configuration.
        credentials: for the remote; None in a local-only project.
        run: as it was launched: of attempts before that one nothing counts.

    """
    home = DirectoryRemote(config.local_path)
    remotes = [home, *([open_remote(config, credentials)] if config.b2 and credentials else [])]
    for remote in remotes:
        # Where nobody answers it is carried out once more, rather than not at all.
        with contextlib.suppress(StorageError):
            for entry in remote.list(marks_prefix(run.key)):
                fact = parse_mark_name(entry.name)
                if fact is not None and fact.attempt >= run.attempt and fact.mark in ENDINGS:
                    return fact.mark
    return ""
