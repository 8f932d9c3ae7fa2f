"""What commands cost, in calls, bytes and imports: more than here is a step back.

Other counts stand beside what they count: `test_listing` (names listed, calls for one key),
`test_carry` (what goes out again), `remotes/test_b2` and `test_b2_engine` (calls of a remote),
`test_b2_launches` (calls and files of a launch), `test_removal` (listings of `rm`), `launchers/`
(squeue's calls).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.b2_fixtures import b2_project
from tests.b2server.client import B2Server
from tests.program import Project

# Modules that Python has imported at the end of a command, in all: a tenth of slack for other
# versions of Python and of the libraries.
IMPORTS: dict[tuple[str, ...], int] = {("--help",): 125, ("ls",): 153, ("ls", "--keys"): 280}

# The same of the process of a node that only imports savethat.
CHILD_IMPORTS = 155
# What the process beside it has resident, on B2.
SUPERVISOR_BYTES = 40_000_000


@pytest.fixture
def project(tmp_path: Path, b2_server: B2Server, b2_prefix: str) -> Project:
    made = b2_project(tmp_path, b2_server, b2_prefix)
    # The authorization is kept from here on.
    made.run("ls")
    return made


def cost(project: Project, server: B2Server, *words: str) -> tuple[dict[str, int], dict[str, Any]]:
    """The calls by their names, and all that was counted."""
    server.reset_stats()
    project.run(*words)
    stats = server.settled()
    return {name: call["count"] for name, call in stats["calls"].items()}, stats


@pytest.mark.b2
def test_a_small_run_is_free_of_charge_but_for_its_files(
    project: Project, b2_server: B2Server
) -> None:
    calls, stats = cost(project, b2_server, "run", "Add", "--a", "2")
    # The launch record, the files and the marks; the one listing looks whether it was removed.
    assert calls.pop("b2_upload_file") <= 14
    assert calls == {
        "b2_delete_file_version": 3,
        "b2_get_upload_url": calls["b2_get_upload_url"],
        "b2_list_file_names": 1,
    }
    assert (stats["transactions"]["B"], stats["transactions"]["C"]) == (0, 1)
    assert stats["bytes_in"] < 20_000


@pytest.mark.b2
@pytest.mark.parametrize("command", [("ls",), ("ls", "--json"), ("du",), ("gc", "--older", "1d")])
def test_what_only_looks_asks_once(
    project: Project, b2_server: B2Server, command: tuple[str, ...]
) -> None:
    for number in range(3):
        project.run("run", "Add", "--a", str(number))
    calls, stats = cost(project, b2_server, *command)
    assert calls == {"b2_list_file_names": 1}
    assert stats["transactions"]["C"] == 1


@pytest.mark.b2
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_node_s_process_imports_what_it_needs_and_its_supervisor_is_small(
    project: Project,
) -> None:
    (project.root / "experiments" / "lean.py").write_text(
        """
import dataclasses
import os
import re
import sys
from pathlib import Path

import savethat


@dataclasses.dataclass(frozen=True)
class LeanArgs:
    x: int = 1  # a number


class Lean(savethat.Node[LeanArgs, dict[str, object]]):
    def _run(self) -> dict[str, object]:
        status = Path(f"/proc/{os.getppid()}/status").read_text()
        resident = re.search(r"VmRSS:\\s*(\\d+) kB", status)
        return {"modules": sorted(sys.modules), "kB": int(resident[1])}
"""
    )
    key = project.key("Lean")
    result = json.loads((project.data / key / "results.json").read_text())
    assert result["kB"] * 1024 < SUPERVISOR_BYTES
    imported = set(result["modules"])
    heavy = {"argparse", "asyncio", "b2sdk", "click", "loguru", "psutil", "sqlite3", "tap"}
    assert not imported & (heavy | {"urllib3", "savethat.storage", "savethat.remotes"})
    assert len(imported) <= CHILD_IMPORTS


@pytest.mark.parametrize("words", IMPORTS)
def test_start_up_imports_no_more(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "savethat.toml").touch()
    code = (
        "import sys; from savethat.cli.main import main\n"
        "try: main()\n"
        "finally: print(len(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split()[-1]) <= IMPORTS[words]
