"""The processor, the GPUs and the system of this machine."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from savethat.provenance.tools import ToolError, ask

_GPU_TIMEOUT = 5.0
# Only the head of nvidia-smi's table tells it; no query does.
_CUDA = re.compile(r"CUDA (?:UMD )?Version\s*:\s*(\d[\d.]*)")


@dataclasses.dataclass(frozen=True)
class Gpus:
    """A machine's NVIDIA GPUs.

    Args:
        names: in nvidia-smi's order.
        driver: the driver's version; None without GPUs.
        cuda: the latest version of CUDA that the driver runs; None where it does not say.
    """

    names: tuple[str, ...] = ()
    driver: str | None = None
    cuda: str | None = None


def cpu(problems: list[str]) -> dict[str, Any]:
    """Model, instruction set and number of processors.

    `count` are those of the machine, `usable` those this process may run on. `flags`, the
    instruction set's extensions, decide which code numerical libraries choose.
    """
    try:
        model, flags = _from_sysctl() if sys.platform == "darwin" else _from_proc()
    except (OSError, ToolError) as error:
        problems.append(f"cpu: {error}")
        model, flags = None, []
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "model": model,
        "machine": platform.machine(),
        "count": os.cpu_count(),
        "usable": usable,
        "flags": sorted(flags),
    }


def gpus(problems: list[str]) -> Gpus:
    """This machine's NVIDIA GPUs, as nvidia-smi tells them: the process imports no CUDA itself."""
    if shutil.which("nvidia-smi") is None:
        return Gpus()
    try:
        rows = _nvidia_smi("--query-gpu=name,driver_version", "--format=csv,noheader")
        cards = [row.rpartition(",") for row in rows.splitlines() if row.strip()]
        if not cards:
            return Gpus()
        cuda = _CUDA.search(_nvidia_smi())
    except ToolError as error:
        problems.append(f"gpus: {error}")
        return Gpus()
    names = tuple(name.strip() for name, _, _ in cards)
    return Gpus(names, cards[0][2].strip(), cuda[1] if cuda else None)


def operating_system() -> dict[str, str | None]:
    """Name and version of the system (`Ubuntu`, `22.04`; `macOS`, `14.5`), and its kernel's."""
    name, version = platform.system(), None
    if sys.platform == "darwin":
        name, version = "macOS", platform.mac_ver()[0]
    else:
        try:
            release = platform.freedesktop_os_release()
            name, version = release["NAME"], release.get("VERSION_ID")
        except OSError:  # containers of next to nothing have no such file
            pass
    return {"name": name, "version": version, "kernel": platform.release()}


def loaded_modules(environ: Mapping[str, str]) -> list[str]:
    """The cluster's modules that are loaded, as both Environment Modules and Lmod tell them."""
    return [name for name in environ.get("LOADEDMODULES", "").split(":") if name]


def _nvidia_smi(*options: str) -> str:
    answer, _ = ask(["nvidia-smi", *options], timeout=_GPU_TIMEOUT)
    return answer.decode(errors="replace")


def _from_proc() -> tuple[str | None, list[str]]:
    """As Linux tells it; x86 says `model name` and `flags`, ARM only `Features`."""
    facts: dict[str, str] = {}
    with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    return facts.get("model name"), (facts.get("flags") or facts.get("Features", "")).split()


def _from_sysctl() -> tuple[str | None, list[str]]:
    answer, _ = ask(["sysctl", "-n", "machdep.cpu.brand_string"], timeout=_GPU_TIMEOUT)
    try:  # only Intel's have it
        features, _ = ask(["sysctl", "-n", "machdep.cpu.features"], timeout=_GPU_TIMEOUT)
    except ToolError:
        features = b""
    return answer.decode().strip() or None, features.decode().lower().split()
