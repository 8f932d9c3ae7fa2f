"""The tools that savethat is compared with; savethat itself needs none of them.

Each that comes from PyPI has an environment of its own in the peers' folder, made when it is first
asked for; rclone and GNU parallel are the machine's.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = ("hydra-core", "hydra-submitit-launcher", "submitit")
ROOT = Path(__file__).parents[1]

_VERSIONS = """import importlib.metadata, sys
print("%d.%d.%d" % sys.version_info[:3])
for name in sys.argv[1:]:
    print(importlib.metadata.version(name))
"""


@dataclasses.dataclass(frozen=True)
class _Peer:
    """An environment with one tool: its packages, the first one is the tool, and its Python."""

    packages: tuple[str, ...]
    python: str = ""


# What a peer is, or is made of, in savethat's own environment.
_OWN = ("savethat", "b2sdk", "click", "submitit")
_PEERS = {
    "b2": _Peer(("b2",)),
    "dvc": _Peer(("dvc",)),
    # Its last release asks setuptools for what later ones do not have.
    "guild": _Peer(("guildai", "setuptools<81"), python="3.10"),
    "plots": _Peer(("matplotlib",)),
}


def b2(folder: Path) -> Path:
    """Backblaze's own command, of the version that this environment has.

    Raises:
        RuntimeError: it could not be installed, as for all tools here.
    """
    return _tool(folder, "b2", "b2")


def dvc(folder: Path) -> Path:
    """DVC's command."""
    return _tool(folder, "dvc", "dvc")


def guild(folder: Path) -> Path:
    """Guild AI's command."""
    return _tool(folder, "guild", "guild")


def rclone() -> Path:
    """rclone, which is installed where apt-get can.

    Raises:
        RuntimeError: it could not be.
    """
    return _debian("rclone")


def parallel() -> Path:
    """GNU parallel, which is installed where apt-get can.

    Raises:
        RuntimeError: it could not be.
    """
    return _debian("parallel")


def draw(folder: Path, kept: Path, plots: Path) -> None:
    """Draws what is kept in a folder, by an environment that has matplotlib.

    Args:
        folder: the peers'.
        kept: outcomes as JSON, one file a section.
        plots: where the plots go.

    Raises:
        RuntimeError: that cannot be done; Python's own words.
    """
    python = _tool(folder, "plots", "python")
    _run([str(python), "-m", "benchmarks.plots", str(kept), str(plots)])


def environment(folder: Path) -> Path:
    """The interpreter of an environment with submitit and Hydra, made in `folder` where missing.

    It is of this Python's version, and has this environment's submitit.

    Raises:
        RuntimeError: it could not be made; pip's own words.
    """
    python = folder / "bin" / "python"
    wanted = (_this_python(), importlib.metadata.version("submitit"))
    found = versions(python)
    if (found.get("python"), found.get("submitit")) != wanted:
        packages = [*PACKAGES[:-1], f"submitit=={wanted[1]}"]
        _install(folder, sys.executable, packages)
    return python


def versions(python: Path, packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """The versions of packages and of Python itself; empty where one is missing."""
    try:
        done = subprocess.run(
            [str(python), "-c", _VERSIONS, *packages], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return dict(zip(("python", *packages), done.stdout.split(), strict=True))


def all_versions(folder: Path) -> dict[str, str]:
    """The versions of savethat and of all tools that are there, by name."""
    found = {name: importlib.metadata.version(name) for name in _OWN}
    for name, peer in _PEERS.items():
        package = peer.packages[0]
        known = versions(folder / name / "bin" / "python", (package,))
        if known:
            found[package] = known[package]
            if peer.python:
                found[package] += f" (on Python {known['python']})"
    for command in ("rclone --version", "parallel --version", "git --version"):
        words = command.split()
        if shutil.which(words[0]):
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            name, _, version = done.stdout.partition("\n")[0].rpartition(" ")
            if name:
                found[name] = version
    return found


def _debian(package: str) -> Path:
    """The command of a package that is called like it."""
    subprocess.run([ROOT / "tests" / "install" / "debian.sh", package], check=False)
    found = shutil.which(package)
    if found is None:
        raise RuntimeError(f"there is no {package} on PATH")
    return Path(found)


def _tool(folder: Path, name: str, command: str) -> Path:
    peer, home = _PEERS[name], folder / name
    if not versions(home / "bin" / "python", peer.packages[:1]):
        packages = list(peer.packages)
        if name == "b2":
            packages = [f"b2=={importlib.metadata.version('b2')}"]
        _install(home, _python(peer.python), packages)
    return home / "bin" / command


def _python(version: str) -> str:
    """An interpreter of a version; this one where there is none, or no version matters."""
    if not version:
        return sys.executable
    script = ROOT / "tests" / "install" / "python.sh"
    done = subprocess.run([script, version], capture_output=True, text=True, check=False)
    return done.stdout.strip() or sys.executable


def _install(folder: Path, python: str, packages: list[str]) -> None:
    print(f"installing {', '.join(packages)} ...", file=sys.stderr)
    _run([python, "-m", "venv", "--clear", str(folder)])
    _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages])


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip()
        raise RuntimeError(f"{' '.join(command[1:4])} failed:\n{said}")


def _this_python() -> str:
    return ".".join(map(str, sys.version_info[:3]))
