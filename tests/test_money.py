"""`du` and `gc`: what runs cost, which may go, and what is left when that is cut short."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from savethat.catalog import dropping, pruning
from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.catalog.usage import dollars
from savethat.errors import UsageError
from savethat.remotes.directory import DirectoryRemote
from savethat.run.layout import mark_name
from savethat.run.record import Place
from savethat.run.status import Status
from tests.b2_fixtures import b2_project
from tests.b2server.client import B2Server
from tests.program import Project

PLACE = Place("foreground", "foreground", "anna")
NOW = datetime(2026, 11, 25, tzinfo=timezone.utc)


def row(
    key: str,
    result: Mapping[str, Any] | None = None,
    *,
    node: str = "a.Fit",
    status: Status = Status.COMPLETED,
    days: int = 0,
    synced: bool | None = True,
) -> Row:
    """A run that ended some days ago."""
    return Row(
        key=key,
        node=node,
        status=status,
        reason="",
        submitted_at=None,
        launch=key,
        place=PLACE,
        finished_at=NOW - timedelta(days=days),
        result=result or {},
        synced=synced,
    )


def going(rows: list[Row], **options: Any) -> list[str]:
    return [each.key for each in pruning.choose(rows, **options)[0]]


def test_only_what_is_over_and_in_storage_may_go() -> None:
    rows = [row(status.value, status=status) for status in Status]
    assert set(going(rows)) == {"completed", "failed", "cancelled", "lost"}
    chosen, staying = pruning.choose([row("here", synced=False)])
    assert chosen == []
    assert "savethat sync" in staying[0][1]


def test_the_best_of_each_node_stay() -> None:
    rows = [row(f"a{mse}", {"mse": mse}) for mse in (3, 1, 2.5)]
    rows += [row(f"b{mse}", {"mse": mse}, node="a.Other") for mse in (9, 8)]
    assert going(rows, best=pruning.parse_best("mse:1")) == ["a3", "a2.5", "b9"]
    assert going(rows, best=pruning.parse_best("-result.mse:2")) == ["a1"]


def test_runs_that_cannot_be_compared_stay_and_those_without_success_go() -> None:
    rows = [
        row("good", {"mse": 1.0}),
        row("bad", {"mse": float("inf")}),
        row("nan", {"mse": float("nan")}),
        row("word", {"mse": "small"}),
        row("none"),
        row("failed", status=Status.FAILED),
    ]
    chosen, staying = pruning.choose(rows, best=pruning.parse_best("mse:1"))
    assert [each.key for each in chosen] == ["bad", "failed"]
    assert [each.key for each, _ in staying] == ["nan", "word", "none"]


def test_a_result_that_no_run_has_is_named() -> None:
    with pytest.raises(UsageError, match="mes") as error:
        pruning.choose([row("a", {"mse": 1.0})], best=pruning.parse_best("mes:1"))
    assert "mse" in error.value.hint
    assert going([row("a", status=Status.FAILED)], best=pruning.parse_best("mes:1")) == ["a"]


def test_age_spares_the_younger_and_the_best_are_of_the_older() -> None:
    rows = [row("old", {"mse": 2}, days=100), row("older", {"mse": 3}, days=200)]
    rows += [row("young", {"mse": 1}, days=1)]
    before = NOW - timedelta(days=90)
    assert going(rows, before=before) == ["old", "older"]
    assert going(rows, before=before, best=pruning.parse_best("mse:1")) == ["older"]


@pytest.mark.parametrize("text", ["mse", "mse:0", ":3", "mse:x", "mse:-1"])
def test_a_wrong_best_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        pruning.parse_best(text)


def test_a_slip_in_keep_is_refused() -> None:
    assert pruning.is_kept("deep/x.csv", pruning.parse_kept("results, *.csv"))
    assert not pruning.is_kept("model.pt", pruning.parse_kept("args,results,logs,provenance"))
    for text in ("result", "", ","):
        with pytest.raises(UsageError):
            pruning.parse_kept(text)


def test_a_terabyte_costs_its_price() -> None:
    assert dollars(10**12) == 6.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project without B2, with three runs: one has failed."""
    path = tmp_path_factory.mktemp("money")
    project = Project.make(path / "experiments", home=path / "home")
    for number in (1, 2):
        project.key("Add", "--a", str(number))
    project.key("End", "--how", "raise", code=1)
    return project


def du(project: Project, *args: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in project.run("du", "--json", *args).stdout.splitlines()]


def test_du_sums_up_and_shows_no_money_where_none_is_paid(folder: Project) -> None:
    rows = folder.ls()
    found = du(folder)
    assert list(found[0]) == ["key", "node", "status", "files", "bytes", "dollars_per_month"]
    assert {each["key"]: each["bytes"] for each in found} == {
        key: each["bytes"] for key, each in rows.items()
    }
    assert [each["bytes"] for each in found] == sorted(
        (each["bytes"] for each in found), reverse=True
    )
    assert all(each["dollars_per_month"] == 0 for each in found)
    assert {each["name"]: each["runs"] for each in du(folder, "--by", "node")} == {
        "experiments.nodes.Add": 2,
        "experiments.nodes.End": 1,
    }
    assert len(du(folder, "--limit", "1")) == 1
    done = folder.run("du", "Add")
    assert done.stdout.splitlines()[-1].split()[:2] == ["total", "2"]
    assert "$" not in done.stdout + done.stderr
    assert "No run matches" in folder.run("du", "--queued").stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["criterion"]),
        (["--keep", "results"], ["criterion"]),
        (["--failed", "--keep", "result"], ["did you mean results"]),
        (["--keep-best", "sum"], ["NAME:N"]),
        (["--keep-best", "sums:1"], ["sums", "sum"]),
        (["--older", "soon"], ["soon"]),
    ],
)
def test_gc_refuses_what_it_cannot_mean(folder: Project, args: list[str], words: list[str]) -> None:
    done = folder.run("gc", *args, "--force", code=2)
    assert all(word in done.stderr for word in words)
    assert len(folder.ls()) == 3


def test_gc_proposes_and_removes_nothing_by_itself(folder: Project) -> None:
    one, two, failed = folder.ls()
    done = folder.run("gc", "--keep-best", "-sum:1")
    assert sorted(line.split()[0] for line in done.stdout.splitlines()) == sorted([one, failed])
    assert "2 runs" in done.stderr
    assert "--force" in done.stderr
    assert two in folder.run("gc", "--keep-best", "sum:1", "--force", "--dry-run").stdout
    assert "Nothing to remove" in folder.run("gc", "--older", "90d", "--force").stderr
    assert len(folder.ls()) == 3


def test_gc_in_a_folder(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home")
    keep = project.key("Add", "--a", "1")
    project.key("Add", "--a", "2")
    assert "Deleted 1 run" in project.run("gc", "--keep-best", "sum:1", "-y").stderr
    assert list(project.ls()) == [keep]
    project.run("gc", "Add", "--keep", "args,results", "-y")
    assert sorted(path.name for path in (project.data / keep).iterdir()) == [
        "args.json",
        "dropped.json",
        "results.json",
        "results.pickle",
    ]
    (after,) = project.ls().values()
    assert (after["status"], after["files"], after["result"]) == ("completed", 4, {"sum": 2.0})
    (mark,) = project.data.glob(f".savethat/index/Add/{keep}.*")
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"place": dataclasses.asdict(PLACE)}))
    assert "--user anna" in project.run("gc", "Add", "--force").stderr
    assert list(project.ls()) == [keep]
    project.run("gc", "Add", "--user", "anna", "--force")
    assert project.ls() == {}


def test_a_run_without_an_ending_keeps_its_files_or_goes_whole(tmp_path: Path) -> None:
    key = "Fit_2026-11-23T08-05-52_k3x9w2pq"
    lost = dataclasses.replace(row(key, status=Status.LOST), mark=mark_name(key, 1, "started"))
    home = DirectoryRemote(tmp_path)
    drops, skipped = dropping.plan(Catalog(home, home, {}), [lost], ["args.json"])
    assert drops == []
    assert "whole" in skipped[0][1]


def test_a_run_that_is_not_as_expected_is_left_alone(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "experiments", home=tmp_path / "home")
    key = project.key("Add", "--a", "1")
    own = project.data / key / "dropped.json"
    own.write_text("[]")
    done = project.run("gc", "Add", "--keep", "args", "--force", code=1)
    assert "is not savethat's" in done.stderr
    assert own.read_text() == "[]"
    assert (project.data / key / "log.csv").is_file()
    own.unlink()
    # Without its launch record it is being removed.
    for record in project.data.glob(".savethat/launches/*"):
        record.unlink()
    done = project.run("gc", "Add", "--keep", "args", "--force", code=1)
    assert "was removed" in done.stderr
    assert (project.data / key / "log.csv").is_file()


@pytest.fixture
def project(tmp_path: Path, b2_server: B2Server, b2_prefix: str) -> Project:
    return b2_project(tmp_path, b2_server, b2_prefix)


def versions(server: B2Server, prefix: str) -> list[dict[str, Any]]:
    return list(server.files(f"{prefix}/", versions=True))


@pytest.mark.b2
def test_du_is_one_listing_and_exact_finds_the_rest(
    project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    key = project.key("Add", "--a", "1")
    cut_off = Project(project.root, {**project.env, "SAVETHAT_B2_REALM": "http://127.0.0.1:9"})
    here = cut_off.key("Add", "--a", "2")
    b2_server.reset_stats()
    found = {each["key"]: each for each in du(project)}
    calls = b2_server.settled()["calls"]
    assert calls["b2_list_file_names"]["count"] == 1
    assert not [call for call in calls if call.startswith(("b2_download", "b2_list_file_versions"))]
    assert found[key]["dollars_per_month"] == pytest.approx(found[key]["bytes"] * 6e-12)
    assert found[here]["bytes"] > 0
    assert found[here]["dollars_per_month"] == 0
    stored = versions(b2_server, b2_prefix)
    *_, records, stray, _ = project.run("du", "--exact").stdout.splitlines()
    of_run = [file for file in stored if f"/{key}/" in file["fileName"]]
    assert records.startswith("records and code")
    assert records.split()[3] == str(len(stored) - len(of_run))
    assert stray.split()[:3] == ["of", "no", "run"]
    assert stray.split()[3] == "0"
    assert {each["key"]: each["files"] for each in du(project, "--exact")}[key] == len(of_run)
    assert "10.0 GB are free" in project.run("du").stderr


@pytest.mark.b2
def test_gc_drops_files_and_the_run_tells_so(
    project: Project, b2_server: B2Server, b2_prefix: str
) -> None:
    key = project.key("Add", "--a", "1")
    before = project.ls()[key]
    done = project.run("gc", "Add", "--keep", "results,args")
    assert done.stdout.startswith(f"{key}  {before['files'] - 3} files")
    assert "a month" in done.stderr
    assert project.ls()[key] == before
    project.run("gc", "Add", "--keep", "results,args", "--force")
    after = json.loads(project.run("show", "--json", key).stdout)
    names = {file["name"] for file in after["listing"]}
    assert names == {"args.json", "dropped.json", "results.json", "results.pickle"}
    assert (after["status"], after["result"]) == ("completed", before["result"])
    assert after["files"] == 4
    assert after["bytes"] == sum(file["bytes"] for file in after["listing"])
    assert (
        len([file for file in versions(b2_server, b2_prefix) if "/index/" in file["fileName"]]) == 1
    )
    assert {path.name for path in (project.data / key).iterdir() if path.is_file()} == names
    record = json.loads((project.data / key / "dropped.json").read_text())
    dropped = {file["name"]: file for file in record["files"]}
    assert len(dropped) == before["files"] - 3
    assert dropped["log.csv"]["bytes"] == len("step,loss\n1,0.5\n")
    assert len(dropped["log.csv"]["sha1"]) == 40
    assert "Nothing to remove" in project.run("gc", "Add", "--keep", "results,args", "-y").stderr
    project.run("rm", "--local", "--force", key)
    assert project.run("download", key).returncode == 0
    assert {path.name for path in (project.data / key).iterdir()} == names
    project.run("rm", "--force", key)
    assert [file for file in versions(b2_server, b2_prefix) if key in file["fileName"]] == []


@pytest.mark.b2
@pytest.mark.parametrize(
    ("call", "skip"), [("b2_delete_file_version", 2), ("b2_upload_file", 1)], ids=["files", "mark"]
)
def test_a_drop_that_is_cut_short_is_finished_by_the_same_again(
    project: Project, b2_server: B2Server, b2_prefix: str, call: str, skip: int
) -> None:
    key = project.key("Add", "--a", "1")
    before = json.loads(project.run("show", "--json", key).stdout)
    b2_server.faults(script=[{"call": call, "kind": "cap", "after": skip, "count": 1}])
    done = project.run("gc", "Add", "--keep", "results", "--force", code=1)
    assert f"left: {key}" in done.stderr
    b2_server.faults()
    # Nothing is gone that the record does not name.
    now = json.loads(project.run("show", "--json", key).stdout)
    names = {file["name"] for file in now["listing"]}
    record = json.loads((project.data / key / "dropped.json").read_text())
    assert "dropped.json" in names
    assert {file["name"] for file in before["listing"]} <= (
        names | {file["name"] for file in record["files"]}
    )
    assert now["files"] == before["files"]
    project.run("gc", "Add", "--keep", "results", "--force")
    after = json.loads(project.run("show", "--json", key).stdout)
    assert after["files"] == 3
    assert after["bytes"] == sum(file["bytes"] for file in after["listing"])
    # The files, and the mark.
    assert len(versions(b2_server, f"{b2_prefix}/{key}")) == 3
    assert len(versions(b2_server, f"{b2_prefix}/.savethat/index")) == 1
