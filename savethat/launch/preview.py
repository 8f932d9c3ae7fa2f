"""What a launch would be, as `--dry-run` shows it."""

from __future__ import annotations

import json

from savethat.config import Config
from savethat.launch.destinations import Destination, ToSlurm
from savethat.launch.submit import folder_of
from savethat.run.record import Launch


def preview(config: Config, launch: Launch, to: Destination) -> str:
    """The runs, a line each, and the batch scripts; nothing is submitted or written."""
    text = "".join(f"# {run.key}: {run.node} {json.dumps(run.args)}\n" for run in launch.runs)
    if isinstance(to, ToSlurm):
        from savethat.launchers import slurm

        request = slurm.Request(launch.resources, to.setup)
        folder = folder_of(config, launch.id)
        text += "\n".join(slurm.scripts(launch, request, folder=folder, chdir=config.root))
    return text
