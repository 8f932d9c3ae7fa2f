"""The application key is nowhere but where the user put it, whatever became of a run.

Real jobs run in the foreground, in the queue and on SLURM, and end well and badly. Meanwhile every
process of the machine is looked at; afterwards every file and every object.
"""

from __future__ import annotations

import base64
import bz2
import contextlib
import dataclasses
import gzip
import io
import json
import lzma
import os
import pickle
import random
import re
import resource
import sqlite3
import string
import subprocess
import sys
import tarfile
import time
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.b2_fixtures import b2_key, b2_settings
from tests.b2server.client import B2Server
from tests.b2server.raw import Raw
from tests.program import PATIENCE, Project, await_true
from tests.secrets_search import Found, Secrets, Watch

KEY_ALPHABET = string.ascii_letters + string.digits + "+/"
ENDINGS = ("raise", "log", "exit", "segfault", "return")
# What savethat runs as: the user's own commands, who carries runs out, and what these start.
COMMAND = re.compile(r" -m savethat( |$)")
SUPERVISOR = re.compile(
    r" -m savethat\.(worker\.(slurm|queued)|launchers\.queue\.runner)( |$)|/slurm_script"
)
OURS = re.compile(r" -m savethat[. ]|/slurm_script")


def new_key() -> str:
    """An application key as B2 makes them; it holds what URLs and JSON write otherwise."""
    middle = "".join(random.SystemRandom().choices(KEY_ALPHABET, k=24))
    return f"K001{middle}+/a"


def tokens() -> list[str]:
    """How each token that the emulator issues begins: its kind."""
    kinds = ("account", "upload", "part", "download")
    text = [base64.b64encode(json.dumps([kind]).encode()[:-1] + b",").decode() for kind in kinds]
    # What follows the kind is mixed into the last characters.
    return ["4_" + each.rstrip("=")[:-2] for each in text]


NODE = '''
import ctypes, dataclasses, logging, os, subprocess, sys, time
from pathlib import Path

import savethat
from savethat import logger


@dataclasses.dataclass(frozen=True)
class LeakArgs:
    how: str
    until: str = ""


def authorize(key, environ, storage):
    raise KeyError(environ, storage)


class Leak(savethat.Node[LeakArgs, object]):
    """Tells all it knows, and ends."""

    def _run(self):
        logging.basicConfig(level=1, stream=sys.stderr)
        environ, storage, how = dict(os.environ), self.storage, self.args.how
        remote = next(each for each in vars(storage).values() if hasattr(each, "check"))
        told = f"{environ} {storage!r} {vars(storage)} {vars(remote)} {sys.argv}"
        limits = [Path(f"/proc/{pid}/limits").read_text() for pid in ("self", os.getppid())]
        (self.output_dir / "limits.txt").write_text("".join(limits))
        (self.output_dir / "env.txt").write_bytes(subprocess.check_output(["env"]))
        (storage / "data.txt").write_text("data")
        storage.upload("data.txt")
        (self.output_dir / "begun.txt").touch()
        print(told)
        logger.info(told)
        while self.args.until and not Path(self.args.until).exists():
            time.sleep(0.05)
        if how == "raise":
            raise RuntimeError(told)
        if how == "log":
            logger.add(self.output_dir / "own.log")
            logger.add(sys.stderr)
            secret = next(each.key for each in vars(remote).values() if hasattr(each, "key_id"))
            try:
                authorize(secret, environ, storage)
            except KeyError:
                logger.exception("this went wrong: {}", told)
        if how == "exit":
            sys.exit(told)
        if how == "segfault":
            ctypes.string_at(0)
        return {"told": told, "environ": environ}
'''


@pytest.fixture
def key() -> str:
    return new_key()


@pytest.fixture
def server(tmp_path: Path, key: str) -> Iterator[B2Server]:
    server = B2Server.start(tmp_path / "b2", key=key)
    yield server
    server.stop()


@dataclasses.dataclass
class User:
    """A user with a project and a bucket, and all that is searched for their key.

    Args:
        project: theirs.
        server: the bucket's.
        folder: holds all that is theirs.
        secrets: what to look for.
        kept: where they have put the key themselves; None: into their shell's environment.
    """

    project: Project
    server: B2Server
    folder: Path
    secrets: Secrets
    kept: Path | None = None
    since: float = dataclasses.field(default_factory=time.time)
    said: list[str] = dataclasses.field(default_factory=list)

    def run(self, *args: str, code: int | None = 0, stdin: str = "") -> str:
        """A command's stdout; all it says is kept, to be searched."""
        done = self.project.run(*args, code=code, stdin=stdin)
        self.said += [done.stdout, done.stderr]
        return done.stdout

    def leaks(self, watch: Watch) -> list[str]:
        """Where a secret was found, of all places where none may be."""
        lab = Path(os.environ["SLURM_CONF"]).parent
        folders = [path for path in self.folder.iterdir() if path != self.server.directory]
        # Where every run of a machine finds the code; other temporary files are in the folder.
        folders += [path for path in Path("/tmp").glob("savethat-*") if path != lab]
        # What is in the environment of a job, SLURM keeps with the job.
        folders += [lab / "spool", lab / "state"] if self.kept else []
        files = self.secrets.in_files(folders, since=self.since)
        found = [
            str(path) for path in files if path != self.kept and not self.is_authorization(path)
        ]
        found += [text for text in self.said if self.secrets.within(text.encode())]
        found += [repr(each) for each in watch.found if not self.may_have_it(each)]
        return found + in_bucket(self.secrets, self.server)

    def is_authorization(self, path: Path) -> bool:
        """Whether it is the one file that may hold the account's token: the key never."""
        return (
            path.parent == self.folder / "home" / ".cache" / "savethat"
            and re.fullmatch(r"b2-[0-9a-f]{32}\.json", path.name) is not None
            and path.stat().st_mode & 0o777 == 0o600
            and not Secrets([self.server.key]).in_files([path])
        )

    def may_have_it(self, found: Found) -> bool:
        """Whether a process may have the key in its environment: where the user has it in theirs.

        Then their commands and what these call have it, and who carries out their runs: there is
        no other way for it to get there. What a supervisor starts gets it through a pipe, if at
        all.
        """
        if "tests/b2server" in found.lineage[0]:
            return True  # the emulator, whose key it is
        if self.kept or found.where != "environment":
            return False
        if SUPERVISOR.search(found.lineage[0]):
            return True
        ours = next((each for each in found.lineage if OURS.search(each)), "")
        return COMMAND.search(ours) is not None


def in_bucket(secrets: Secrets, server: B2Server) -> list[str]:
    """The objects that hold a secret, or whose headers do: older versions and deleted ones too."""
    # The bytes of what is there whole, because it may be packed; of the rest as they are stored.
    raw = Raw(server)
    names = [file["fileName"] for file in server.files()]
    found = [name for name in names if secrets.within(raw.download(name).body)]
    found += [
        str(each) for each in server.files(versions=True) if secrets.within(repr(each).encode())
    ]
    return found + list(map(str, secrets.in_files([server.directory / "blobs"])))


def user_with(way: str, folder: Path, server: B2Server, slurm: Mapping[str, str]) -> User:
    """A user who gave the key in one of the ways there are."""
    home, tmp = folder / "home", folder / "tmp"
    tmp.mkdir()
    toml = f"""{b2_settings(server, "secrets")}sync_every = "1s"
scratch = "{folder}/scratch"
[slurm]
time = "10m"
mem = "10M"
[queue]
max_parallel = 3
"""
    env = {**slurm, "TMPDIR": str(tmp), **(b2_key(server) if way == "environment" else {})}
    project = Project.make(folder / "experiments", home=home, toml=toml, env=env)
    (project.root / "experiments" / "leaks.py").write_text(NODE)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=project.root, env=project.env, check=True)
    user = User(project, server, folder, Secrets([server.key, *tokens()]))
    if way == "savethat.toml":
        # Not committed: it is part of the diff that provenance records.
        user.kept = project.root / "savethat.toml"
        own = f'b2_key_id = "{server.key_id}"\nb2_key = "{server.key}"\n'
        user.kept.write_text(own + toml)
    if way == "credentials file":
        user.run("setup", "--key-id", server.key_id, "--key-stdin", stdin=server.key + "\n")
        user.kept = home / ".config" / "savethat" / "credentials.toml"
        assert user.kept.stat().st_mode & 0o777 == 0o600
    return user


SECRET = 'K001x/+"y' + new_key()


def tar_of(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("name")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def zip_of(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("name", data)
    return buffer.getvalue()


def database_of(folder: Path) -> bytes:
    path = folder / "database"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table runs (said text)")
        connection.execute("insert into runs values (?)", (f"it was {SECRET}.",))
    return path.read_bytes()


RAW = f"before {SECRET} after".encode()
PLANTED: dict[str, bytes] = {
    "raw": RAW,
    "UTF-16": SECRET.encode("utf-16"),
    "hex": RAW.hex().encode(),
    "HEX": RAW.hex().upper().encode(),
    "URL": urllib.parse.quote(RAW, safe="").encode(),
    "URL in part": urllib.parse.quote_plus(RAW).encode(),
    "JSON": json.dumps({"key": SECRET}).encode(),
    "JSON of JSON": json.dumps(json.dumps([SECRET])).encode(),
    "Python": repr(SECRET).encode(),
    "base64 at 0": base64.b64encode(SECRET.encode() + b"x"),
    "base64 at 1": base64.b64encode(b"x" + SECRET.encode() + b"xy"),
    "base64 at 2": base64.urlsafe_b64encode(b"xy" + SECRET.encode() + b"x"),
    "base64 in lines": base64.encodebytes(b"x" * 40 + SECRET.encode()),
    "gzip": gzip.compress(RAW),
    "bzip2": bz2.compress(RAW),
    "xz": lzma.compress(RAW),
    "zlib": zlib.compress(RAW),
    "tar": tar_of(RAW),
    "zip": zip_of(RAW),
    "tar in zip in gzip": gzip.compress(zip_of(tar_of(RAW))),
    "pickle": pickle.dumps({"environ": {"key": SECRET}}),
    "the first pickle": pickle.dumps({"environ": {"key": SECRET}}, protocol=0),
}


@pytest.mark.parametrize("form", PLANTED)
def test_a_planted_secret_is_found_in_a_file(form: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    path.parent.mkdir()
    path.write_bytes(PLANTED[form])
    (tmp_path / "other").write_text("K001 is how they all begin")
    assert Secrets([SECRET]).in_files([tmp_path]) == [path]
    assert Secrets([new_key()]).in_files([tmp_path]) == []


def test_a_planted_secret_is_found_in_a_database_and_in_a_name(tmp_path: Path) -> None:
    assert Secrets([SECRET]).within(database_of(tmp_path))
    named = tmp_path / urllib.parse.quote(SECRET, safe="")
    named.touch()
    assert named in Secrets([SECRET]).in_files([tmp_path])


@pytest.mark.parametrize("where", ["argv", "environment"])
@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_a_planted_secret_is_found_in_a_process(where: str) -> None:
    argv = ["sleep", "1000"] if where == "environment" else ["sh", "-c", "sleep 1000", SECRET]
    env = {**os.environ, "PLANTED": SECRET if where == "environment" else ""}
    with Watch(Secrets([SECRET])) as watch, subprocess.Popen(argv, env=env) as process:
        await_true(lambda: bool(watch.found), lambda: "it to be found")
        process.kill()
    assert {found.where for found in watch.found} == {where}
    # Before it became the program that was planted, it had this process's command line.
    assert any(found.lineage[0].startswith(argv[0]) for found in watch.found)


@pytest.mark.b2
@pytest.mark.parametrize("where", ["content", "packed content", "header", "older version"])
def test_a_planted_secret_is_found_in_the_bucket(where: str, server: B2Server) -> None:
    raw = Raw(server)
    name = f"planted/{where}"
    if where == "header":
        raw.upload(name, b"", info={"result": urllib.parse.quote(SECRET)})
    else:
        raw.upload(name, gzip.compress(RAW) if where == "packed content" else RAW)
    if where == "older version":
        raw.upload(name, b"without")
    assert in_bucket(Secrets([SECRET]), server)
    assert in_bucket(Secrets([new_key()]), server) == []


@pytest.mark.b2
def test_the_tokens_that_are_searched_are_the_emulators(b2_server: B2Server) -> None:
    raw = Raw(b2_server)
    issued = [raw.token, raw.upload_url()["authorizationToken"]]
    assert all(Secrets(tokens()).within(token.encode()) for token in issued)


@pytest.mark.slurm
@pytest.mark.b2
@pytest.mark.parametrize(
    ("way", "to"),
    [
        ("environment", ("--slurm", "--wait")),
        ("environment", ("--max-parallel", "3")),
        ("credentials file", ("--slurm", "--wait")),
        ("savethat.toml", ("--max-parallel", "3")),
    ],
    ids=["environment, SLURM", "environment, queue", "credentials file, SLURM", "toml, queue"],
)
def test_the_key_is_nowhere_but_where_the_user_put_it(
    way: str, to: tuple[str, ...], tmp_path: Path, server: B2Server, slurm: Mapping[str, str]
) -> None:
    user = user_with(way, tmp_path, server, slurm)
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    with Watch(user.secrets) as watch:
        user.run("sweep", *to, "Leak", "--how", ",".join(ENDINGS), code=1)
        user.run("--debug", "run", "Leak", "--how", "raise", code=1)
        rows = user.project.ls()
    states = sorted(row["status"] for row in rows.values())
    assert states == ["completed", "completed", *["failed"] * 4]
    assert user.leaks(watch) == []
    # What was looked at: the node and what it started, and the worker.
    worker = "savethat.worker.slurm" if "--slurm" in to else "savethat.launchers.queue.runner"
    for program in ("savethat.worker.child", worker):
        assert any(program in argv for argv in watch.seen)
    for key in rows:
        limits = Raw(server).download(f"secrets/{key}/limits.txt").body.decode()
        assert re.findall(r"Max core file size +(\w+)", limits) == ["0", "0"], key


@pytest.mark.slurm
@pytest.mark.b2
def test_a_key_that_is_refused_is_not_told(
    tmp_path: Path, server: B2Server, slurm: Mapping[str, str]
) -> None:
    user = user_with("credentials file", tmp_path, server, slurm)
    wrong = new_key()
    user.secrets = Secrets([server.key, wrong, *tokens()])
    until = tmp_path / "until"
    with Watch(user.secrets) as watch:
        user.run("setup", "--key-id", server.key_id, "--key-stdin", stdin=wrong, code=5)
        setup = ("--debug", "setup", "--key-id", server.key_id, "--key-stdin")
        user.run(*setup, stdin=wrong, code=1)
        running = user.project.start(
            "--debug", "run", "Leak", "--how", "return", "--until", str(until)
        )
        begun = Path(user.project.data).glob
        await_true(lambda: any(begun("Leak_*/begun.txt")), lambda: "the node to begin")
        # The key is revoked: from now on another one is good, and no token is.
        server.key = new_key()
        server.restart()
        server.expire_tokens(uploads=True)
        until.touch()
        user.said += running.communicate(timeout=PATIENCE)
        for command in (("ls",), ("--debug", "ls"), ("sync",), ("--debug", "sync")):
            user.run(*command, code=None)
    assert user.leaks(watch) == []
    assert [text for text in user.said if "Invalid application key" in text][2:]
