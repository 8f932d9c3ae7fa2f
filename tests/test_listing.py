"""What a listing of many runs asks of B2: counted in calls and in names."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.seeding import seed_runs
from savethat.remotes.b2 import B2Remote
from savethat.run.key import member_keys
from savethat.run.layout import mark_name, marks_prefix
from savethat.run.record import Launch, Mark, Place, PlannedRun, parse_time
from savethat.worker.ledger import publish
from tests.b2_fixtures import b2_project
from tests.b2server.client import B2Server
from tests.program import Project

pytestmark = pytest.mark.b2

MANY = 12_000


@pytest.fixture
def project(tmp_path: Path, b2_server: B2Server, b2_prefix: str) -> Project:
    return b2_project(tmp_path, b2_server, b2_prefix)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What one command printed, and what it asked of B2."""

    stdout: str
    listed: int
    units: int
    downloads: int


def ask(project: Project, server: B2Server, *words: str) -> Asked:
    server.reset_stats()
    stdout = project.run(*words).stdout
    stats = server.settled()
    calls = stats["calls"]
    downloads = sum(
        call["count"] for name, call in calls.items() if name.startswith("b2_download_file")
    )
    listing = calls.get("b2_list_file_names", {})
    return Asked(stdout, listing.get("count", 0), stats["transactions"]["C"], downloads)


def launch(remote: B2Remote, stem: str, runs: int = 1) -> list[str]:
    """A launch on a cluster that is not known here, whose runs have left no mark."""
    keys = member_keys(stem, runs)
    place = Place("elsewhere", "cluster", "ada")
    planned = tuple(
        PlannedRun(key, "experiments.Fit", {"a": n}, position=n) for n, key in enumerate(keys)
    )
    publish(remote, Launch(stem, parse_time("2026-11-23T08:05:52.000000Z"), place, planned))
    return keys


def test_a_listing_comes_in_pages_of_ten_thousand_and_one_run_in_none_of_them(
    project: Project, b2_server: B2Server, b2_remote: B2Remote, b2_prefix: str
) -> None:
    keys = seed_runs(b2_server, b2_prefix, 100)
    b2_remote.put(f"{keys[50]}/output.log", b"a line")
    commands = [(name, keys[50]) for name in ("show", "logs", "download")]
    few = [ask(project, b2_server, *words) for words in commands]
    shutil.rmtree(project.data / keys[50])
    keys = seed_runs(b2_server, b2_prefix, MANY)
    for _ in ("cold", "warm"):
        found = ask(project, b2_server, "ls", "--keys")
        assert found.stdout.split() == keys
        assert (found.listed, found.downloads) == (2, 0)
    many = [ask(project, b2_server, *words) for words in commands]
    assert [(asked.listed, asked.downloads) for asked in many] == [
        (asked.listed, asked.downloads) for asked in few
    ]


def test_json_has_all_runs_oldest_first(
    project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    keys = seed_runs(b2_server, b2_prefix, 20, nodes=("Fit", "Add"))
    rows = [json.loads(line) for line in project.run("ls", "--json").stdout.splitlines()]
    assert [row["key"] for row in rows] == keys
    assert rows[3]["args"] == {"lr": 0.1, "seed": 3, "dataset": "houses"}
    assert rows[3]["result"] == {"mse": 0.25}
    assert (rows[3]["submitted_at"], rows[3]["duration_s"]) == ("2026-01-01T00:03:00.000000Z", 42.0)


def test_the_runs_of_a_node_are_listed_without_those_of_others(
    project: Project, b2_server: B2Server, b2_remote: B2Remote, b2_prefix: str
) -> None:
    seed_runs(b2_server, b2_prefix, 4_000, nodes=("Fit", "FitMore", "Fit_all", "Other"))
    for stem in ("FitMore_2026-11-23T08-05-52_k3x9w2pq", "Fit_all_2026-11-23T08-05-52_k3x9w2pq"):
        launch(b2_remote, stem)
    (own,) = launch(b2_remote, "Fit_2026-11-23T08-05-52_k3x9w2pq")
    everything = ask(project, b2_server, "ls", "--keys")
    found = ask(project, b2_server, "ls", "--keys", "--node", "Fit")
    assert found.stdout.split() == [
        key for key in everything.stdout.split() if key.startswith("Fit_2026")
    ]
    assert own in found.stdout
    # A unit is a thousand names: two listings of a thousand at most, instead of one of 4,003.
    assert found.units <= everything.units - 5 + 2
    assert "FitMore" not in project.run("ls", "--keys", "Fit_2026").stdout


def test_a_launch_record_is_read_once_and_anew_where_it_was_rewritten(
    project: Project, b2_server: B2Server, b2_remote: B2Remote
) -> None:
    stem = "Fit_2026-11-23T08-05-52_k3x9w2pq"
    keys = launch(b2_remote, stem, runs=12)
    first, second = (ask(project, b2_server, "ls", "--keys") for _ in range(2))
    assert first.stdout.split() == second.stdout.split() == keys
    assert (first.downloads, second.downloads) == (1, 0)
    keys = launch(b2_remote, stem, runs=11)
    third = ask(project, b2_server, "ls", "--keys")
    assert (third.stdout.split(), third.downloads) == (keys, 1)


@pytest.mark.parametrize("harm", ["damaged", "locked", "in the way"])
def test_what_happens_to_the_kept_records_costs_a_call_only(
    harm: str, project: Project, b2_server: B2Server, b2_remote: B2Remote
) -> None:
    keys = launch(b2_remote, "Fit_2026-11-23T08-05-52_k3x9w2pq")
    ask(project, b2_server, "ls", "--keys")
    (path,) = project.root.parent.rglob("launches-*.sqlite3")
    assert path.stat().st_mode & 0o777 == 0o600
    other = sqlite3.connect(path)
    if harm == "locked":
        other.execute("BEGIN EXCLUSIVE")
    else:
        path.write_bytes(b"no database" * 100) if harm == "damaged" else path.unlink()
    if harm == "in the way":
        path.mkdir()
    found = ask(project, b2_server, "ls", "--keys")
    other.close()
    assert (found.stdout.split(), found.downloads) == (keys, 1)
    if harm == "damaged":
        downloads = [ask(project, b2_server, "ls", "--keys").downloads for _ in range(2)]
        assert downloads[-1] == 0


# --- what is kept of ended runs -------------------------------------------------------------------


def listed_anew(project: Project, tmp_path: Path, *words: str) -> str:
    """What a command prints without anything kept."""
    shutil.rmtree(tmp_path / "elsewhere", ignore_errors=True)
    env = {**project.env, "XDG_CACHE_HOME": str(tmp_path / "elsewhere")}
    return dataclasses.replace(project, env=env).run(*words).stdout


def put_mark(remote: B2Remote, mark: Mark) -> None:
    name = mark_name(mark.key, mark.attempt, mark.mark)
    remote.replace(name, json.dumps(mark.to_json()).encode(), info=mark.to_info())


def kept_file(project: Project) -> Path:
    (path,) = project.root.parent.rglob("runs-1-*.sqlite3")
    return path


def test_what_is_kept_of_ended_runs_says_what_is_there(
    project: Project, b2_server: B2Server, b2_remote: B2Remote, b2_prefix: str, tmp_path: Path
) -> None:
    keys = seed_runs(b2_server, b2_prefix, 12, nodes=("Fit", "Add"))
    launch(b2_remote, "Fit_2026-11-23T08-05-52_k3x9w2pq", runs=2)
    odd = dataclasses.replace(
        Mark.from_info(next(iter(b2_remote.list(marks_prefix(keys[3])))).info or {}),
        attempt=2,
        mark="failed",
        reason="it … \x1b[31m \ud800",
        finished_at=None,
        args={"text": "x" * 9_000, "nan": math.nan},
        tags=("a", "b"),
        left=("log",),
        kept="machine:/x",
        dropped=3,
        position=0,
        array_size=7,
        code="0" * 32,
    )
    put_mark(b2_remote, odd)
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: b2_remote.delete([mark_name(keys[5], 1, "completed")]),
        lambda: put_mark(b2_remote, dataclasses.replace(odd, dropped=4)),
        lambda: put_mark(b2_remote, dataclasses.replace(odd, attempt=3, mark="started")),
        lambda: seed_runs(b2_server, b2_prefix, 3, nodes=("Mul",)),
    ]
    for step in steps:
        step()
        anew = listed_anew(project, tmp_path, "ls", "--json")
        for _ in ("as it changed", "as it was"):
            assert project.run("ls", "--json").stdout == anew
        # What streams is on disk meanwhile, what is cut short in memory.
        assert project.run("ls", "--json", "--limit", "99").stdout == anew
        own = [line for line in anew.splitlines() if '"key": "Fit_' in line]
        assert project.run("ls", "--json", "--node", "Fit").stdout.splitlines() == own
    assert keys[5] not in anew


def test_what_is_kept_is_written_when_something_changed_and_dropped_with_what_is_gone(
    project: Project, b2_server: B2Server, b2_remote: B2Remote, b2_prefix: str
) -> None:
    keys = seed_runs(b2_server, b2_prefix, 20)
    project.run("ls")
    before = kept_file(project).stat()
    assert stat.S_IMODE(before.st_mode) == 0o600
    project.run("ls")
    assert kept_file(project).stat().st_mtime_ns == before.st_mtime_ns
    b2_remote.delete_prefix(marks_prefix(keys[0]))
    project.run("ls")
    with contextlib.closing(sqlite3.connect(kept_file(project))) as database:
        assert database.execute("SELECT COUNT(*) FROM runs").fetchone() == (19,)


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE runs SET submitted = 'yesterday'",
        "UPDATE runs SET place = '[]'",
        "UPDATE runs SET mark = mark || 'x'",
        "UPDATE pages SET others = 'x'",
        "DELETE FROM runs WHERE mark LIKE '%00-03-00%'",
        "damaged",
        "locked",
    ],
)
def test_what_happens_to_the_kept_runs_costs_time_only(
    harm: str, project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    keys = seed_runs(b2_server, b2_prefix, 20)
    project.run("ls")
    path = kept_file(project)
    with contextlib.closing(sqlite3.connect(path)) as other:
        if harm == "damaged":
            path.write_bytes(b"no database" * 100)
        elif harm == "locked":
            other.execute("BEGIN EXCLUSIVE")
        else:
            other.execute(harm)
            other.commit()
        assert project.run("ls", "--keys").stdout.split() == keys
    assert project.run("ls", "--keys").stdout.split() == keys
