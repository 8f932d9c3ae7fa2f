"""What carry-out and download cost, in calls and bytes: more than here is a step back.

What a log costs that grows for long stands in `test_carry`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from savethat.remotes.b2 import B2Remote
from savethat.remotes.transfer import download_tree
from savethat.worker.carry import CarryOut
from savethat.worker.journal import Journal
from tests.b2server.client import B2Server

pytestmark = pytest.mark.b2

KEY = "FitOLS_2026-11-23T08-05-52_k3x9w2pq"
SIZE = 10_000


@pytest.fixture(params=[3, 60])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    folder = tmp_path / "scratch"
    folder.mkdir()
    count: int = request.param
    paths = [folder / f"{number:04d}.bin" for number in range(count)]
    for path in paths:
        path.write_bytes(path.name.encode().ljust(SIZE, b"x"))
    return paths


@pytest.fixture
def carry(
    files: list[Path], b2_server: B2Server, b2_remote: B2Remote, tmp_path: Path
) -> Iterator[CarryOut]:
    b2_remote.put("first", b"")  # for whose sake there is an authorization
    b2_server.reset_stats()
    (tmp_path / "journal").mkdir()
    journal = Journal(tmp_path / "journal")
    yield CarryOut(files[0].parent, b2_remote, KEY, journal)
    journal.close()


def cost(server: B2Server, calls: dict[str, int]) -> dict[str, Any]:
    """All that was counted; it must be these calls, and no others but those for upload URLs."""
    stats = server.settled()
    counted = stats["calls"].items()
    found = {name: call["count"] for name, call in counted if "_get_upload_url" not in name}
    assert found == calls
    server.reset_stats()
    return stats


def carried(carry: CarryOut, files: list[Path], server: B2Server) -> dict[str, Any]:
    """What was counted of the first carry-out."""
    carry.carry()
    return cost(server, {"b2_upload_file": len(files)})


def test_each_file_is_one_call_and_what_has_not_changed_none(
    carry: CarryOut, files: list[Path], b2_server: B2Server
) -> None:
    stats = carried(carry, files, b2_server)
    assert stats["bytes_in"] <= len(files) * SIZE + 48 * 100
    carry.carry()
    carry.carry(final=True)
    cost(b2_server, {})


def test_one_file_that_changed_is_one_upload_and_the_end_of_its_last_version(
    carry: CarryOut, files: list[Path], b2_server: B2Server
) -> None:
    carried(carry, files, b2_server)
    files[1].write_bytes(b"y" * SIZE)
    carry.carry()
    stats = cost(b2_server, {"b2_upload_file": 1, "b2_delete_file_version": 1})
    assert stats["bytes_in"] <= SIZE + 1000
    assert stats["transactions"]["C"] == 0


def test_a_download_is_a_listing_and_one_call_a_file_and_nothing_the_next_time(
    carry: CarryOut, files: list[Path], b2_server: B2Server, b2_remote: B2Remote, tmp_path: Path
) -> None:
    carried(carry, files, b2_server)
    download_tree(b2_remote, f"{KEY}/", tmp_path / "fetched")
    fetched = {"b2_list_file_names": 1, "b2_download_file_by_name": len(files)}
    stats = cost(b2_server, fetched)
    assert stats["transactions"]["C"] == 1
    download_tree(b2_remote, f"{KEY}/", tmp_path / "fetched")
    cost(b2_server, {"b2_list_file_names": 1})
