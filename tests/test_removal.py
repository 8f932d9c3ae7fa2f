"""Removal of many runs: everything goes, in order, in few calls, and what is left is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from benchmarks.seeding import seed_runs
from savethat.catalog import removal
from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.remotes.b2 import B2Remote
from savethat.remotes.base import Deleted
from savethat.remotes.directory import DirectoryRemote
from savethat.run.key import member_keys
from savethat.run.layout import launch_folder, launch_name, marks_prefix
from savethat.run.record import Launch, PlannedRun
from savethat.worker.ledger import Ledger, publish, read_launch
from tests.b2_fixtures import b2_project
from tests.b2server.client import B2Server
from tests.test_sync import NOW, PLACE, a_mark

pytestmark = pytest.mark.b2

STEM = "Fit_2026-11-23T08-05-52_k3x9w2pq"


class Watched(B2Remote):
    """A remote of which `act` is told before prefixes are deleted."""

    act: Callable[[Collection[str]], None]

    def delete_below(self, prefixes: Collection[str]) -> dict[str, Deleted]:
        self.act(prefixes)
        return super().delete_below(prefixes)


@pytest.fixture
def watched(b2_server: B2Server, b2_prefix: str) -> Watched:
    return Watched(b2_server.bucket, b2_prefix, b2_server.url, b2_server.key_id, b2_server.key)


@pytest.fixture
def home(tmp_path: Path) -> DirectoryRemote:
    return DirectoryRemote(tmp_path / "home")


def left(server: B2Server, prefix: str) -> list[str]:
    """Every version that the server holds, by name."""
    files = server.files(f"{prefix}/", versions=True)
    return [file["fileName"].removeprefix(f"{prefix}/") for file in files]


def rows_of(catalog: Catalog, keys: Collection[str]) -> list[Row]:
    return [row for row in catalog.list().rows if row.key in keys]


def calls(server: B2Server) -> dict[str, int]:
    return {name: call["count"] for name, call in server.settled()["calls"].items()}


def settled(server: B2Server, deletions: int) -> dict[str, int]:
    """The calls; so many deletions must be among them."""
    made = calls(server)
    assert made.get("b2_delete_file_version") == deletions
    return made


def a_sweep(remote: B2Remote, count: int) -> Launch:
    """A launch whose runs have all completed, each with a file."""
    runs = tuple(
        PlannedRun(key, "lab.Fit", {}, position=position)
        for position, key in enumerate(member_keys(STEM, count))
    )
    launch = Launch(STEM, NOW, PLACE, runs)
    publish(remote, launch)
    for run in runs:
        remote.put(f"{run.key}/args.json", b"{}")
        Ledger(remote, STEM).end(a_mark(launch, position=run.position))
    return launch


def test_a_thousand_runs_take_few_listings_and_no_download(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str, home: DirectoryRemote
) -> None:
    keys = seed_runs(b2_server, b2_prefix, 1_000, files=3)
    b2_server.seed_files([(f"{b2_prefix}/{launch_name(key)}", {}) for key in keys])
    catalog = Catalog(b2_remote, home, {})
    staying = keys[500]
    rows = rows_of(catalog, set(keys) - {staying})
    b2_server.reset_stats()
    done = removal.remove(catalog, rows)
    assert (done.runs, done.versions, done.bytes) == (999, 2_997, 29_970_000)
    assert done.left == []
    assert all(staying in name for name in left(b2_server, b2_prefix))
    # Files, marks, records, and a look at what is left; besides, the capsules.
    made = settled(b2_server, 999 * 5)
    assert made["b2_list_file_versions"] <= 40
    assert made.keys() <= {"b2_delete_file_version", "b2_list_file_versions", "b2_list_file_names"}
    assert b2_server.stats()["transactions"]["C"] <= 45


def test_runs_that_lie_apart_take_no_more_listings_than_one_by_one(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str, home: DirectoryRemote
) -> None:
    keys = seed_runs(b2_server, b2_prefix, 1_000, files=20)
    catalog = Catalog(b2_remote, home, {})
    rows = rows_of(catalog, keys[::50])
    b2_server.reset_stats()
    assert removal.remove(catalog, rows).runs == 20
    made = settled(b2_server, 20 * 21)
    # Of each its files, twice; all marks and records lie near.
    assert made["b2_list_file_versions"] <= 20 * 2 + 8
    assert len(left(b2_server, b2_prefix)) == 980 * 21


def test_the_record_of_a_sweep_is_read_once_and_goes_with_its_last_run(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str, home: DirectoryRemote
) -> None:
    launch = a_sweep(b2_remote, 12)
    home.put(f"{launch_folder(STEM)}/order.json", b"{}")
    catalog = Catalog(b2_remote, home, {})
    rows = rows_of(catalog, [run.key for run in launch.runs])
    b2_server.reset_stats()
    assert removal.remove(catalog, rows[:7]).left == []
    record = read_launch(b2_remote, STEM)
    assert record is not None
    assert record.runs == launch.runs[7:]
    assert removal.remove(catalog, rows[7:]).left == []
    assert left(b2_server, b2_prefix) == []
    assert not (home.root / launch_folder(STEM)).exists()
    # Twice by removal, once above.
    assert calls(b2_server)["b2_download_file_by_name"] == 3


def test_of_a_run_that_was_retried_every_record_goes(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str, home: DirectoryRemote
) -> None:
    first = Launch(STEM, NOW, PLACE, (PlannedRun(STEM, "lab.Fit", {}),))
    second = dataclasses.replace(
        first, id=f"{STEM}.2", runs=(PlannedRun(STEM, "lab.Fit", {}, attempt=2),)
    )
    for launch in (first, second):
        publish(b2_remote, launch)
        home.put(f"{launch_folder(launch.id)}/order.json", b"{}")
    Ledger(b2_remote, second.id).end(a_mark(second))
    catalog = Catalog(b2_remote, home, {})
    assert removal.remove(catalog, rows_of(catalog, [STEM])).runs == 1
    assert left(b2_server, b2_prefix) == []
    assert list(home.list()) == []


def test_a_run_that_was_retried_meanwhile_keeps_its_new_record(
    b2_remote: B2Remote, home: DirectoryRemote
) -> None:
    a_sweep(b2_remote, 2)
    catalog = Catalog(b2_remote, home, {})
    rows = catalog.list().rows
    again = PlannedRun(rows[0].key, "lab.Fit", {}, attempt=2)
    publish(b2_remote, Launch(f"{STEM}.2", NOW, PLACE, (again,)))
    removal.remove(catalog, rows)
    assert read_launch(b2_remote, STEM) is None
    assert read_launch(b2_remote, f"{STEM}.2") is not None


def test_what_is_written_meanwhile_is_told_although_it_is_hidden(
    watched: Watched, b2_server: B2Server, b2_prefix: str, home: DirectoryRemote
) -> None:
    keys = seed_runs(b2_server, b2_prefix, 40, files=2)
    seen, hidden = keys[7], keys[31]

    def write(prefixes: Collection[str]) -> None:
        # Of all of them the files are gone now.
        if marks_prefix(keys[0]) in prefixes:
            watched.put(f"{seen}/late", b"late")
            watched.put(f"{hidden}/late", b"late")
            account = watched._account()
            name = f"{b2_prefix}/{hidden}/late"
            account.call("b2_hide_file", bucketId=account.bucket_id, fileName=name)

    watched.act = write
    catalog = Catalog(watched, home, {})
    rows = catalog.list().rows
    done = removal.remove(catalog, rows)
    assert done.runs == 38
    why = "something was written while it was removed"
    assert sorted(done.left) == sorted([(seen, why), (hidden, why)])
    assert sorted(left(b2_server, b2_prefix)) == sorted([f"{seen}/late", *[f"{hidden}/late"] * 2])
    watched.act = lambda prefixes: None
    assert removal.remove(catalog, [row for row in rows if row.key in (seen, hidden)]).left == []
    assert left(b2_server, b2_prefix) == []


def test_a_run_whose_files_cannot_all_go_keeps_its_marks(
    b2_remote: B2Remote, b2_server: B2Server, b2_prefix: str, home: DirectoryRemote
) -> None:
    keys = seed_runs(b2_server, b2_prefix, 5, files=4)
    catalog = Catalog(b2_remote, home, {})
    rows = catalog.list().rows
    b2_server.faults(script=[{"call": "b2_delete_file_version", "kind": "cap", "count": 1}])
    done = removal.remove(catalog, rows)
    assert (done.runs, done.versions) == (4, 19)
    ((key, why),) = done.left
    assert key in keys
    assert "cap" in why
    names = left(b2_server, b2_prefix)
    assert len(names) == 2
    assert all(key in name for name in names)
    # The same again finishes it.
    (row,) = catalog.list().rows
    assert removal.remove(catalog, [row]).left == []
    assert left(b2_server, b2_prefix) == []


def test_where_a_listing_fails_no_run_that_it_was_for_is_called_gone(
    watched: Watched, b2_server: B2Server, b2_prefix: str, home: DirectoryRemote
) -> None:
    seed_runs(b2_server, b2_prefix, 3, files=2)
    watched.act = lambda prefixes: None
    catalog = Catalog(watched, home, {})
    rows = catalog.list().rows
    fault = {"call": "b2_list_file_versions", "kind": "cap", "count": 1}
    # Files, marks, records: the fourth listing is the last look.
    for before, gone in ((0, 0), (1, 0), (2, 0), (3, 0)):
        b2_server.faults(script=[{**fault, "after": before}])
        done = removal.remove(catalog, rows)
        assert done.runs == gone
        assert {key for key, _ in done.left} == {row.key for row in rows}
    b2_server.faults()
    assert removal.remove(catalog, rows).runs == 3
    assert left(b2_server, b2_prefix) == []


def test_an_interrupted_removal_can_be_repeated(
    watched: Watched, b2_server: B2Server, b2_prefix: str, home: DirectoryRemote
) -> None:
    keys = seed_runs(b2_server, b2_prefix, 30, files=2)
    catalog = Catalog(watched, home, {})
    rows = catalog.list().rows

    def interrupt(prefixes: Collection[str]) -> None:
        if any(prefix.startswith(".savethat/") for prefix in prefixes):
            raise KeyboardInterrupt

    watched.act = interrupt
    with pytest.raises(KeyboardInterrupt):
        removal.remove(catalog, rows)
    # Without their files they are still there for `ls`, and for the same again.
    assert len(left(b2_server, b2_prefix)) == 30
    assert {row.key for row in catalog.list().rows} == set(keys)
    watched.act = lambda prefixes: None
    assert removal.remove(catalog, rows).runs == 30
    assert left(b2_server, b2_prefix) == []


def test_many_keys_are_looked_up_with_one_listing(
    b2_server: B2Server, b2_prefix: str, tmp_path: Path
) -> None:
    keys = seed_runs(b2_server, b2_prefix, 70, files=1)
    project = b2_project(tmp_path, b2_server, b2_prefix)
    b2_server.reset_stats()
    done = project.run("rm", "--force", "--user", "ada", *keys[:60])
    assert "Deleted 60 runs, 60 files" in done.stderr
    made = settled(b2_server, 120)
    # Of the index once, and of the capsules here and there.
    assert made["b2_list_file_names"] <= 3
    assert len(left(b2_server, b2_prefix)) == 20
