"""Fixtures of tests that talk to B2: one server process for all, a fresh prefix for each."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from savethat.remotes.b2 import B2Remote
from tests.b2server.client import B2Server
from tests.program import Project

# The least B2 allows: several parts in a test at no great size.
PART_SIZE = 5_000_000

_numbers = itertools.count()


@pytest.fixture(scope="session")
def b2_server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[B2Server]:
    size = str(PART_SIZE)
    server = B2Server.start(
        tmp_path_factory.mktemp("b2server"),
        options=("--part-size", size, "--min-part-size", size),
    )
    yield server
    server.stop()


@pytest.fixture
def b2_server(b2_server_process: B2Server) -> Iterator[B2Server]:
    """The server, without faults and delays left over from another test."""
    yield b2_server_process
    b2_server_process.faults()
    b2_server_process.config(latency_ms=0, token_ttl=86400)


@pytest.fixture
def b2_prefix() -> str:
    """A folder in the bucket that no other test uses."""
    return f"test-{next(_numbers)}"


@pytest.fixture
def b2_remote(b2_server: B2Server, b2_prefix: str) -> B2Remote:
    return remote_at(b2_server, b2_prefix)


@dataclasses.dataclass(frozen=True)
class Key:
    id: str
    secret: str


def make_key(server: B2Server, *capabilities: str, prefix: str | None, bucket: bool = True) -> Key:
    """An application key, made as the bucket's owner would.

    Args:
        server: where.
        capabilities: what it may do.
        prefix: which names it is restricted to; None: to no prefix.
        bucket: whether it is restricted to the server's bucket.
    """
    from b2sdk.v2 import B2Api, InMemoryAccountInfo

    api = B2Api(InMemoryAccountInfo())
    api.authorize_account(server.url, server.key_id, server.key)
    bucket_id = api.get_bucket_by_name(server.bucket).id_ if bucket else None
    made = api.create_key(list(capabilities), "test", bucket_id=bucket_id, name_prefix=prefix)
    return Key(made.id_, made.application_key)


def remote_at(
    server: B2Server, prefix: str, bucket: str | None = None, key: Key | None = None
) -> B2Remote:
    key = key or Key(server.key_id, server.key)
    return B2Remote(bucket or server.bucket, prefix, server.url, key.id, key.secret)


def stored(server: B2Server, prefix: str) -> dict[str, str]:
    """What the server holds below `prefix`: names and SHA-1s."""
    return {file["fileName"]: file["contentSha1"] for file in server.files(f"{prefix}/")}


def b2_settings(server: B2Server, prefix: str) -> str:
    """The lines of savethat.toml that keep runs in the server's bucket; without the key."""
    return f"""\
b2_bucket = "{server.bucket}"
b2_prefix = "{prefix}"
b2_realm = "{server.url}"
"""


def b2_key(server: B2Server) -> dict[str, str]:
    """The server's key, as the environment gives it."""
    return {"B2_APPLICATION_KEY_ID": server.key_id, "B2_APPLICATION_KEY": server.key}


def b2_project(folder: Path, server: B2Server, prefix: str, *, more: str = "") -> Project:
    """The sample project with its runs in the server's bucket.

    Args:
        folder: where the project and its user's home are made.
        server: whose bucket.
        prefix: the folder in it.
        more: more lines of savethat.toml.
    """
    toml = b2_settings(server, prefix) + more
    home = folder / "home"
    return Project.make(folder / "experiments", home=home, toml=toml, env=b2_key(server))
