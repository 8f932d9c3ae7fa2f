"""The environment of the tools that savethat is compared with; savethat itself needs none."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

PACKAGES = ("hydra-core", "hydra-submitit-launcher", "submitit")

_VERSIONS = """import importlib.metadata, sys
print("%d.%d.%d" % sys.version_info[:3])
for name in sys.argv[1:]:
    print(importlib.metadata.version(name))
"""


def environment(folder: Path) -> Path:
    """The interpreter of an environment with the peers, made in `folder` where it is missing.

    It is of this Python's version, and has this environment's submitit.

    Raises:
        RuntimeError: it could not be made; pip's own words.
    """
    python = folder / "bin" / "python"
    wanted = (_this_python(), importlib.metadata.version("submitit"))
    found = versions(python)
    if (found.get("python"), found.get("submitit")) != wanted:
        print(f"installing {', '.join(PACKAGES)} ...", file=sys.stderr)
        packages = [*PACKAGES[:-1], f"submitit=={wanted[1]}"]
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([str(python), "-m", "pip", "install", "--quiet", *packages])
    return python


def versions(python: Path) -> dict[str, str]:
    """The versions of the peers and of Python itself; empty where one is missing."""
    try:
        done = subprocess.run(
            [str(python), "-c", _VERSIONS, *PACKAGES], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return dict(zip(("python", *PACKAGES), done.stdout.split(), strict=True))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip()
        raise RuntimeError(f"the peers could not be installed:\n{said}")


def _this_python() -> str:
    return ".".join(map(str, sys.version_info[:3]))
