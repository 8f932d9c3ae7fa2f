"""The processor and the GPUs of this machine."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

from savethat.provenance.tools import ToolError, ask

_GPU_TIMEOUT = 5.0


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


def gpus(problems: list[str]) -> list[str]:
    """The names of this machine's NVIDIA GPUs, in nvidia-smi's order."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer, _ = ask(command, timeout=_GPU_TIMEOUT)
    except ToolError as error:
        problems.append(f"gpus: {error}")
        return []
    return [line.strip() for line in answer.decode(errors="replace").splitlines() if line.strip()]


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
