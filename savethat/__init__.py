"""Saves ML experiments: typed nodes, run here or as SLURM jobs, kept on Backblaze B2.

Public names are imported on first use: `import savethat` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savethat.face import on_first_use

if TYPE_CHECKING:
    from savethat.args import Args as Args
    from savethat.catalog.frame import runs_frame as runs_frame
    from savethat.catalog.run import Run as Run
    from savethat.cli.main import run_main as run_main
    from savethat.config import project_dir as project_dir
    from savethat.errors import SavethatError as SavethatError
    from savethat.launch.face import submit as submit
    from savethat.launch.face import sweep as sweep
    from savethat.logs import logger as logger
    from savethat.node import Node as Node
    from savethat.storage import Storage as Storage
    from savethat.storage import get_storage as get_storage

__version__ = "0.1.0"

_HOMES = {
    "Args": "savethat.args",
    "Node": "savethat.node",
    "Run": "savethat.catalog.run",
    "SavethatError": "savethat.errors",
    "Storage": "savethat.storage",
    "get_storage": "savethat.storage",
    "logger": "savethat.logs",
    "project_dir": "savethat.config",
    "run_main": "savethat.cli.main",
    "runs_frame": "savethat.catalog.frame",
    "submit": "savethat.launch.face",
    "sweep": "savethat.launch.face",
}

__all__ = [
    "__version__",
    *sorted(_HOMES),
]

__getattr__ = on_first_use(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
