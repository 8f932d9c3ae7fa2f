"""Compares what a node wrote with what B2 holds, by the emulator's own account."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from tests.deaths import cells
from tests.deaths.site import PREFIX, SETTLE, Site
from tests.test_queue import Server


@dataclasses.dataclass
class Found:
    """What was found of a run.

    Args:
        wrong: what is missing, changed, doubled or unfinished.
        files: how many files were compared.
        leftovers: what a worker that was killed left half done.
        log: its `output.log`.
    """

    wrong: list[str] = dataclasses.field(default_factory=list)
    files: int = 0
    leftovers: int = 0
    log: str = ""


def names(site: Site) -> list[str]:
    """The names of all versions in the bucket, as often as they are there."""
    return [file["fileName"] for file in site.b2.files(f"{PREFIX}/", versions=True)]


def look(site: Site, key: str, at: float) -> Found:
    """Compares a run's files as anyone would download them with the node's account of them.

    Args:
        site: where it ran.
        key: the run's.
        at: when it was struck.
    """
    found = Found()
    if site.cell.death != cells.CANCEL_PENDING:  # which has never had a file
        _compare(site, key, at, found)
    counts = collections.Counter(name for name in names(site) if key in name)
    doubled = [name for name, count in counts.items() if count > 1]
    unfinished = [file["fileName"] for file in site.b2.unfinished_large_files(f"{PREFIX}/{key}/")]
    if site.cell.sudden and not site.cell.resumes:
        # Nobody was left to tidy up; `rm` does it.
        found.leftovers = len(doubled) + len(unfinished)
        return found
    found.wrong += [f"more than one version of {name}" for name in doubled]
    found.wrong += [f"unfinished upload of {name}" for name in unfinished]
    return found


def _compare(site: Site, key: str, at: float, found: Found) -> None:
    states: dict[str, list[str]] = collections.defaultdict(list)
    required: dict[str, int] = {}
    for entry in site.entries():
        if entry["what"] == "begun":
            states[entry["name"]].append(entry["sha1"])
        elif _must_be_safe(site, entry, at):
            required[entry["name"]] = len(states[entry["name"]]) - 1
    elsewhere = _download(site, key)
    if elsewhere is None:
        if required or not site.cell.sudden:
            found.wrong.append("download found nothing")
        return
    log = elsewhere / "output.log"
    found.log = log.read_text() if log.exists() else ""
    for name, least in required.items():
        path = elsewhere / name
        if not path.is_file():
            found.wrong.append(f"{name} is not in B2")
            continue
        sha1 = hashlib.sha1(path.read_bytes()).hexdigest()
        if sha1 not in states[name]:
            found.wrong.append(f"{name} is in no state that it ever had")
        elif sha1 not in states[name][least:]:
            found.wrong.append(f"{name} is in B2 as it was before")
        found.files += 1


def _must_be_safe(site: Site, entry: dict[str, Any], at: float) -> bool:
    if not site.cell.sudden or entry["at"] > at:
        return True
    settled = site.account / "settled"
    settle = SETTLE[site.cell.weather]
    return settled.exists() and entry["at"] < settled.stat().st_mtime - settle / 2


def _download(site: Site, key: str) -> Path | None:
    """The run's files on a machine that has nothing but the bucket."""
    local_path = site.account.parent / "elsewhere"
    env = {**site.project.env, "SAVETHAT_LOCAL_PATH": str(local_path)}
    done = Server(site.project.root, env).run("download", key, code=None)
    return Path(done.stdout.strip()) if done.returncode == 0 else None
