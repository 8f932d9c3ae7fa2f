"""What waits on this machine is sent once and whole, and not beside a removal."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest
from typing_extensions import override

from savethat.catalog import files, removal, sending
from savethat.catalog.listing import Catalog
from savethat.catalog.logs import Log
from savethat.errors import RefusedError, StorageError
from savethat.remotes import pieces
from savethat.remotes.b2 import B2Remote
from savethat.remotes.base import Progress, Stored
from savethat.remotes.directory import DirectoryRemote
from savethat.run.key import stem_of
from savethat.run.layout import launch_name, mark_name
from savethat.run.record import SLURM, Launch, Mark, Place, PlannedRun
from savethat.worker.carry import CarryOut
from savethat.worker.earlier import bring_back
from savethat.worker.folder import RunFolder
from savethat.worker.growing import WHOLE_BELOW
from savethat.worker.journal import Journal
from savethat.worker.ledger import Ledger, RemovedError, publish
from tests.b2_fixtures import remote_at
from tests.b2server.client import B2Server

KEY = "FitOLS_2026-11-23T08-05-52_k3x9w2pq"
NOW = datetime(2026, 11, 23, 8, 5, 52, tzinfo=timezone.utc)
PLACE = Place(SLURM, "mila", "anna", "node1")


@pytest.fixture
def home(tmp_path: Path) -> DirectoryRemote:
    return DirectoryRemote(tmp_path / "home")


@pytest.fixture
def catalog(b2_remote: B2Remote, home: DirectoryRemote) -> Catalog:
    return Catalog(b2_remote, home, {})


def a_launch(*keys: str, attempt: int = 1) -> Launch:
    keys = keys or (KEY,)
    name = stem_of(keys[0]) if attempt == 1 else f"{stem_of(keys[0])}.{attempt}"
    runs = tuple(
        PlannedRun(key, "lab.FitOLS", {}, attempt=attempt, position=position)
        for position, key in enumerate(keys)
    )
    return Launch(name, NOW, PLACE, runs)


def a_mark(
    launch: Launch, mark: str = "completed", *, position: int = 0, left: tuple[str, ...] = ()
) -> Mark:
    run = launch.runs[position]
    return Mark(
        key=run.key,
        attempt=run.attempt,
        mark=mark,
        node=run.node,
        launch=launch.id,
        place=PLACE,
        submitted_at=NOW,
        started_at=NOW,
        finished_at=NOW,
        files=2,
        left=left,
        kept="node1:/scratch" if left else "",
    )


def keep_at_home(
    home: DirectoryRemote, launch: Launch, mark: Mark, content: Mapping[str, str] | None = None
) -> None:
    """A run that ended while storage could not be reached."""
    publish(home, launch)
    for name, text in (content or {"args.json": "{}", "deep/model": "model"}).items():
        home.replace(f"{mark.key}/{name}", text.encode())
    home.put(mark_name(mark.key, mark.attempt, mark.mark), json.dumps(mark.to_json()).encode())


def objects(server: B2Server, prefix: str) -> list[str]:
    """Every version there is, by name."""
    return sorted(
        file["fileName"].removeprefix(f"{prefix}/")
        for file in server.files(f"{prefix}/", versions=True)
    )


COMPLETED = mark_name(KEY, 1, "completed")
SENT = sorted([COMPLETED, launch_name(KEY), f"{KEY}/args.json", f"{KEY}/deep/model"])


def hidden(home: DirectoryRemote) -> list[str]:
    return [entry.name for entry in home.list(".savethat/")]


def test_a_run_that_waits_is_sent_with_its_record_and_leaves_nothing_of_it_waiting(
    catalog: Catalog, home: DirectoryRemote, b2_server: B2Server, b2_prefix: str
) -> None:
    launch = a_launch()
    keep_at_home(home, launch, a_mark(launch))
    catalog.remote.put(f"{KEY}/of an earlier attempt", b"x")
    assert sending.waiting(catalog) == [KEY]
    assert sending.send(catalog, KEY) == 2
    assert objects(b2_server, b2_prefix) == SENT
    assert hidden(home) == []
    assert sending.send(catalog, KEY) is None
    assert sending.waiting(catalog) == []


def test_answers_that_are_lost_leave_no_second_version(
    catalog: Catalog, home: DirectoryRemote, b2_server: B2Server, b2_prefix: str
) -> None:
    launch = a_launch()
    keep_at_home(home, launch, a_mark(launch))
    catalog.remote.check()
    b2_server.faults(rate=0.3, kinds=["500-after-commit", "reset-after-commit"], seed=1)
    for _ in range(10):
        try:
            sending.send(catalog, KEY)
        except StorageError:
            continue
        break
    b2_server.faults()
    assert objects(b2_server, b2_prefix) == SENT


def test_each_launch_keeps_its_record_here_while_a_run_of_it_waits(
    catalog: Catalog, home: DirectoryRemote, b2_remote: B2Remote
) -> None:
    several = a_launch(f"{KEY}0", f"{KEY}1")
    other = a_launch("FitOLS_2026-11-23T08-05-53_aaaaaaaa")
    for launch, position in ((several, 0), (several, 1), (other, 0)):
        keep_at_home(home, launch, a_mark(launch, position=position))
    records = {launch_name(several.id), launch_name(other.id)}
    sending.send(catalog, f"{KEY}0")
    assert records <= set(hidden(home))
    sending.send(catalog, f"{KEY}1")
    assert records & set(hidden(home)) == {launch_name(other.id)}
    assert launch_name(several.id) in [entry.name for entry in b2_remote.list(".savethat/")]


def test_a_run_that_was_taken_out_of_its_launch_does_not_come_back_with_another(
    catalog: Catalog, home: DirectoryRemote, b2_remote: B2Remote, tmp_path: Path
) -> None:
    launch = a_launch(f"{KEY}0", f"{KEY}1")
    keep_at_home(home, launch, a_mark(launch, position=0))
    keep_at_home(home, launch, a_mark(launch, position=1))
    publish(b2_remote, dataclasses.replace(launch, runs=launch.runs[1:]))
    with pytest.raises(RemovedError):
        sending.send(catalog, f"{KEY}0")
    sending.send(catalog, f"{KEY}1")
    elsewhere = Catalog(b2_remote, DirectoryRemote(tmp_path / "elsewhere"), {})
    assert [row.key for row in elsewhere.list().rows] == [f"{KEY}1"]


class Interrupted(B2Remote):
    """Does something just before, or just after, an object is written."""

    name = ""
    after = False
    act: Callable[[], object] = staticmethod(lambda: None)

    @override
    def put(
        self,
        name: str,
        source: Path | bytes,
        *,
        info: Mapping[str, str] | None = None,
        previous: Stored | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        if name == self.name and not self.after:
            self.act()
        stored = super().put(name, source, info=info, previous=previous, progress=progress)
        if name == self.name and self.after:
            self.act()
        return stored

    @override
    def replace(
        self,
        name: str,
        source: Path | bytes,
        *,
        info: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> Stored:
        if name == self.name and not self.after:
            self.act()
        stored = super().replace(name, source, info=info, progress=progress)
        if name == self.name and self.after:
            self.act()
        return stored


@pytest.fixture
def interrupted(b2_server: B2Server, b2_prefix: str) -> Interrupted:
    return Interrupted(b2_server.bucket, b2_prefix, b2_server.url, b2_server.key_id, b2_server.key)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("name", [f"{KEY}/deep/model", COMPLETED])
def test_a_run_that_is_removed_while_it_is_sent_does_not_come_back(
    interrupted: Interrupted,
    home: DirectoryRemote,
    b2_server: B2Server,
    b2_prefix: str,
    name: str,
    after: bool,
) -> None:
    launch = a_launch()
    keep_at_home(home, launch, a_mark(launch))
    catalog = Catalog(interrupted, home, {})
    (row,) = catalog.list().rows
    remover = Catalog(remote_at(b2_server, b2_prefix), home, {})
    interrupted.name, interrupted.after = name, after
    interrupted.act = lambda: removal.remove(remover, [row])
    with pytest.raises(StorageError):
        sending.send(catalog, KEY)
    assert objects(b2_server, b2_prefix) == []
    # Only what keeps others from sending it, too.
    assert hidden(home) == [f".savethat/locks/{KEY}.lock"]
    assert sending.waiting(catalog) == []


def test_of_two_at_once_one_sends(
    interrupted: Interrupted,
    home: DirectoryRemote,
    b2_server: B2Server,
    b2_prefix: str,
) -> None:
    launch = a_launch()
    keep_at_home(home, launch, a_mark(launch))
    reached, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        reached.set()
        go_on.wait()

    interrupted.name, interrupted.act = f"{KEY}/deep/model", pause
    with ThreadPoolExecutor() as pool:
        first = pool.submit(sending.send, Catalog(interrupted, home, {}), KEY)
        first.add_done_callback(lambda _: reached.set())
        reached.wait()
        try:
            with pytest.raises(RefusedError, match="another process is sending"):
                sending.send(Catalog(remote_at(b2_server, b2_prefix), home, {}), KEY)
        finally:
            go_on.set()
        assert first.result() == 2
    assert objects(b2_server, b2_prefix) == SENT


def test_what_there_was_no_time_for_is_sent_and_its_mark_completed(
    catalog: Catalog, home: DirectoryRemote, b2_remote: B2Remote
) -> None:
    launch = a_launch()
    mark = a_mark(launch, "failed", left=("deep/model",))
    publish(b2_remote, launch)
    Ledger(b2_remote, launch.id).end(mark)
    b2_remote.put(f"{KEY}/args.json", b"{}")
    keep_at_home(home, launch, mark, {"deep/model": "model"})
    with pytest.raises(RefusedError, match="still being stored"):
        sending.send(catalog, KEY)
    os.utime(home.root / mark_name(KEY, 1, "failed"), (1_700_000_000, 1_700_000_000))
    sending.send(catalog, KEY)
    (entry,) = b2_remote.list(mark_name(KEY, 1, ""))
    assert entry.info is not None
    sent = Mark.from_info(entry.info)
    assert (sent.mark, sent.left, sent.kept) == ("failed", (), "")
    # Only what was left lay here: the rest stays where it is.
    assert b2_remote.read(f"{KEY}/args.json") == b"{}"


def test_what_was_left_elsewhere_is_uploaded_and_the_mark_completed(
    catalog: Catalog, home: DirectoryRemote, b2_remote: B2Remote
) -> None:
    launch = a_launch()
    publish(b2_remote, launch)
    Ledger(b2_remote, launch.id).end(a_mark(launch, "failed", left=("a", "b")))
    home.put(f"{KEY}/a", b"a")
    row = catalog.find(KEY)
    assert row is not None
    assert sending.upload(catalog, row) == 1
    (entry,) = b2_remote.list(mark_name(KEY, 1, ""))
    assert entry.info is not None
    assert Mark.from_info(entry.info).left == ("b",)
    assert Mark.from_info(entry.info).kept == "node1:/scratch"


def test_an_attempt_that_was_followed_by_another_is_not_sent_over_it(
    catalog: Catalog, home: DirectoryRemote, b2_remote: B2Remote
) -> None:
    launch, second = a_launch(), a_launch(attempt=2)
    keep_at_home(home, launch, a_mark(launch, "failed"))
    publish(b2_remote, second)
    with pytest.raises(RemovedError, match="launched again"):
        sending.send(catalog, KEY)
    b2_remote.put(f"{KEY}/deep/model", b"second")
    Ledger(b2_remote, second.id).end(a_mark(second))
    assert sending.send(catalog, KEY) is None
    assert hidden(home) == []
    assert b2_remote.read(f"{KEY}/deep/model") == b"second"


def test_an_attempt_that_goes_on_here_does_not_wait(
    catalog: Catalog, home: DirectoryRemote, b2_remote: B2Remote
) -> None:
    launch, second = a_launch(), a_launch(attempt=2)
    keep_at_home(home, launch, a_mark(launch, "failed"))
    keep_at_home(home, second, a_mark(second, "started"))
    assert sending.waiting(catalog) == []
    assert sending.send(catalog, KEY) is None
    assert list(b2_remote.list()) == []


def test_a_mark_that_cannot_be_read_is_named(catalog: Catalog, home: DirectoryRemote) -> None:
    home.put(COMPLETED, b"{")
    with pytest.raises(StorageError, match=KEY):
        sending.send(catalog, KEY)


@pytest.fixture
def running(
    catalog: Catalog, b2_remote: B2Remote, tmp_path: Path
) -> tuple[Path, Callable[[], None]]:
    """The folder of a run that is under way elsewhere, and what carries it out."""
    launch = a_launch()
    publish(b2_remote, launch)
    Ledger(b2_remote, launch.id).beat(a_mark(launch, "started"))
    folder = tmp_path / "elsewhere"
    for path in (folder, tmp_path / "journal"):
        path.mkdir()
    journal = Journal(tmp_path / "journal")
    return folder, CarryOut(folder, b2_remote, KEY, journal).carry


def append(path: Path, data: bytes) -> bytes:
    with path.open("ab") as file:
        file.write(data)
    return data


def test_a_log_that_is_followed_is_fetched_once(
    catalog: Catalog, running: tuple[Path, Callable[[], None]], b2_server: B2Server
) -> None:
    folder, carry = running
    row = catalog.find(KEY)
    assert row is not None
    log = Log(catalog, row)
    assert log.more() == b""
    first = append(folder / "output.log", os.urandom(10 * WHOLE_BELOW))
    carry()
    assert log.more() == first
    b2_server.reset_stats()
    for number in range(3):
        more = append(folder / "output.log", b"%d\n" % number)
        carry()
        assert log.more() == more
        assert log.more() == b""
    downloads = b2_server.settled()["calls"]["b2_download_file_by_name"]["count"]
    assert downloads == 3
    (folder / "output.log").write_bytes(b"anew" * 100_000)
    carry()
    assert log.more() == (b"anew" * 100_000)[len(first) + 6 :]


def test_one_file_of_a_run_that_goes_on_is_read_as_it_is_by_now(
    catalog: Catalog, running: tuple[Path, Callable[[], None]]
) -> None:
    folder, carry = running
    append(folder / "log.csv", b"x" * WHOLE_BELOW)
    carry()
    append(folder / "log.csv", b"more")
    carry()
    row = catalog.find(KEY)
    assert row is not None
    assert (
        files.fetch_file(catalog, row, "log.csv").read_bytes() == (folder / "log.csv").read_bytes()
    )


def test_the_next_attempt_finds_what_was_stored_last(
    running: tuple[Path, Callable[[], None]],
    b2_remote: B2Remote,
    home: DirectoryRemote,
    tmp_path: Path,
) -> None:
    folder, carry = running
    append(folder / "output.log", b"x" * WHOLE_BELOW)
    append(folder / "model", b"old")
    append(folder / "results.pickle", b"no")
    home.put(f"{KEY}/output.log", b"older")
    os.utime(home.root / KEY / "output.log", (1_700_000_000, 1_700_000_000))
    carry()
    append(folder / "output.log", b"more")
    carry()
    # Then the remote could not be reached for a while.
    home.put(f"{KEY}/model", b"new")
    run = dataclasses.replace(a_launch(attempt=2).runs[0], resumable=True)
    again = RunFolder(tmp_path / "again", in_scratch=True)
    bring_back(again, run, b2_remote, home)
    assert {path.name: path.read_bytes() for path in again.path.iterdir()} == {
        "output.log": b"x" * WHOLE_BELOW + b"more",
        "model": b"new",
    }
    assert pieces.whole(b2_remote.list(f"{KEY}/output.log"))
