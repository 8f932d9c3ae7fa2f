"""savethat as a user has it: a project in a folder, and the program as a process of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).parent / "sample"
PATIENCE = 120.0
STARTED: list[subprocess.Popen[str]] = []


@dataclasses.dataclass
class Project:
    """A project on one machine.

    Args:
        root: its folder.
        env: the environment of the programs run in it.
        local_path: where its runs are kept; None: in the default place.
    """

    root: Path
    env: dict[str, str]
    local_path: Path | None = None

    @classmethod
    def make(
        cls, root: Path, *, home: Path, toml: str = "", env: Mapping[str, str] = {}
    ) -> Project:
        """A copy of the sample project; `home` is the user's."""
        shutil.copytree(SAMPLE, root)
        (root / "savethat.toml").write_text(toml)
        home.mkdir(exist_ok=True)
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SAVETHAT_", "B2_", "SLURM_", "XDG_"))
        }
        return cls(root, {**own, "HOME": str(home), "NO_COLOR": "1", **env})

    @property
    def data(self) -> Path:
        """Its local_path."""
        return self.local_path or self.root / "data_storage"

    def start(self, *args: str) -> subprocess.Popen[str]:
        """The program, started; it does not outlive its test."""
        process = subprocess.Popen(
            [sys.executable, "-m", "savethat", *args],
            cwd=self.root,
            env=self.env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        STARTED.append(process)
        return process

    def run(
        self, *args: str, code: int | None = 0, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """The program, run to its end; its exit code must be `code` where that is given."""
        done = subprocess.run(
            [sys.executable, "-m", "savethat", *args],
            cwd=self.root,
            env=self.env,
            text=True,
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, (
                f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def key(self, *args: str, code: int | None = 0) -> str:
        """Runs `savethat run …`; the key it prints last."""
        return self.run("run", *args, code=code).stdout.splitlines()[-1]

    def ls(self, *args: str, code: int = 0) -> dict[str, dict[str, Any]]:
        """`ls --json`, by key."""
        lines = self.run("ls", "--json", *args, code=code).stdout.splitlines()
        return {row["key"]: row for row in map(json.loads, lines)}

    def await_status(self, key: str, *wanted: str) -> dict[str, Any]:
        """The row of a run, once it has one of these states."""
        rows: dict[str, dict[str, Any]] = {}

        def reached() -> bool:
            rows.update(self.ls())
            return key in rows and rows[key]["status"] in wanted

        await_true(reached, lambda: f"{key} to be {wanted}: {rows.get(key)}")
        return rows[key]


def await_true(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    """Waits until something is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what()}"
        time.sleep(0.1)
