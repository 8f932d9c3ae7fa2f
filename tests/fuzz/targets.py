"""The parsers of input from outside: each with what it may raise, and inputs to begin with."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from savethat import cache
from savethat.args import from_json as restore
from savethat.args import to_json as saved
from savethat.catalog.comparison import RunFacts, compare
from savethat.catalog.filters import Filter, parse_age, parse_status, parse_time, same_value
from savethat.catalog.listing import Catalog
from savethat.catalog.row import Row
from savethat.cli import table
from savethat.cli.completing.keys import keep_keys, recall_keys
from savethat.cli.completing.memory import Memory, keep, recall
from savethat.cli.launching import read_arguments
from savethat.cli.terminal import TerminalLog
from savethat.code.extraction import extract
from savethat.code.manifest import NAME as MANIFEST
from savethat.code.manifest import import_paths
from savethat.config import Config, Credentials, credentials, load, store_credentials
from savethat.config.model import B2Config
from savethat.errors import (
    ArgumentError,
    SavethatError,
    SchedulerError,
    StorageError,
    UsageError,
)
from savethat.inputs import InputsRecord
from savethat.launchers.output import last_line
from savethat.launchers.slurm import accounting, shared
from savethat.launchers.slurm.limits import format_limit, parse_limit
from savethat.launchers.slurm.squeue import read_rows
from savethat.launchers.slurm.states import read_state
from savethat.launchers.slurm.waiting import read_waiting
from savethat.remotes import pieces
from savethat.remotes.base import Entry
from savethat.remotes.directory import DirectoryRemote
from savethat.remotes.names import check_b2_name, check_name
from savethat.remotes.transfer import fetch_tree
from savethat.reproduction.requirements import requirements
from savethat.run.key import parse_key, stem_of
from savethat.run.layout import (
    launch_name,
    mark_name,
    parse_job_name,
    parse_launch_name,
    parse_mark_name,
)
from savethat.run.record import FOREGROUND, Launch, Mark, Place, PlannedRun
from savethat.run.status import Status
from savethat.untrusted import printable, printable_json, read_json
from savethat.worker.order import Order

Parser = Callable[[bytes, Path], object]


@dataclasses.dataclass(frozen=True)
class Target:
    """A parser.

    Args:
        name: of what it reads.
        parse: reads the content; it may use the folder, and writes nowhere else.
        refuses: the only exceptions that may come out.
        seeds: contents to begin with: some that it takes, and what it has stumbled over.
    """

    name: str
    parse: Parser
    refuses: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]


MOST_TASKS = 200_000
KEY = "FitOLS_2026-11-23T08-05-52_k3x9w2pq"
NOW = datetime(2026, 11, 23, 8, 5, 52, tzinfo=timezone.utc)
PLACE = Place(FOREGROUND, FOREGROUND, "anna", "laptop", "m", 12, 3.5)
ARGS = {"dataset": "iris", "l2": 0.1, "opt": {"lr": [1, 2.5], "name": None}}
LAUNCH = Launch(KEY, NOW, PLACE, (PlannedRun(KEY, "p.fit.FitOLS", ARGS),), tags=("a",))
MARK = Mark(
    KEY, 1, "completed", "p.fit.FitOLS", KEY, PLACE, NOW, NOW, NOW, args=ARGS, result={"mse": 0.5}
)
CONFIG = Config(Path("/project"), "p", Path("/project/data"), B2Config("bucket", "p"))
PROVENANCE: Mapping[str, Any] = {
    "python": {"version": "3.12.1", "implementation": "CPython"},
    "packages": {"numpy": "2.1.0", "mine": "0.1"},
    "direct_urls": {"mine": {"url": "https://example.com/mine", "commit": "abc", "editable": True}},
    "git": {"commit": "a" * 40, "dirty": True, "diff": "+x\n", "untracked": ["a"]},
    "capsule": {"name": "0" * 32},
    "cpu": {"model": "x", "flags": ["avx"]},
    "modules": ["cuda/12.4"],
    "gpus": ["A100"],
    "seeds": {"seed": 1},
}


class Optimizer(enum.Enum):
    ADAM = 1
    SGD = "sgd"


@dataclasses.dataclass(frozen=True)
class Opt:
    lr: float = 0.1
    kind: Optimizer = Optimizer.ADAM


@dataclasses.dataclass(frozen=True)
class EveryArgs:
    """One argument of each type."""

    name: str
    steps: int = 1
    amp: bool = False
    path: Path | None = None
    sizes: list[int] = dataclasses.field(default_factory=list)
    tags: set[str] = dataclasses.field(default_factory=set)
    pair: tuple[int, float] = (1, 1.0)
    mode: Literal["a", "b"] = "a"
    opt: Opt = Opt()


class Terminal(io.TextIOWrapper):
    """What is written to it is shown to somebody."""

    def isatty(self) -> bool:
        return True


def _text(parse: Callable[[str], object]) -> Parser:
    return lambda content, folder: parse(content.decode(errors="surrogateescape"))


def _json(parse: Callable[[Any], object]) -> Parser:
    return lambda content, folder: parse(read_json(content))


def _dumps(*values: object) -> tuple[bytes, ...]:
    return tuple(json.dumps(value).encode() for value in values)


def _key(text: str) -> None:
    if parse_key(text) is not None:
        assert "/" not in text
        assert printable(text) == text
        stem_of(text)
        assert parse_mark_name(mark_name(text, 1, "started")) == (text, 1, "started")


def _mark(data: Any) -> None:
    mark = Mark.from_json(data)
    assert Mark.from_json(read_json(json.dumps(mark.to_json()))).key == mark.key
    Mark.from_info(mark.to_info())


def _launch(data: Any) -> None:
    launch = Launch.from_json(data)
    # What is believed may become a path.
    assert launch_name(launch.id).count("/") == 2
    assert Launch.from_json(read_json(json.dumps(launch.to_json()))).id == launch.id


def _listing(content: bytes, folder: Path) -> None:
    """A mark and a launch record of this content, listed and shown in every way."""
    home = DirectoryRemote(folder)
    second = KEY.replace("pq", "xx")
    for name in (mark_name(KEY, 1, "completed"), launch_name(KEY), launch_name(second)):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    listing = Catalog(home, home, {}).list()
    for row in listing.rows:
        cells = table.cells(row)
        printable_json(json.dumps(row.to_json(), ensure_ascii=False)).encode()
        Filter(args=(("l2", "0.1"),)).matches(row)
        for column in cells:
            table.sort([row, row], column)
    table.differing(listing.rows)
    columns = tuple(table.cells(listing.rows[0])) if listing.rows else ()
    # The last are those of arguments and results; rich takes its time for each.
    for stream, shown in ((io.TextIOWrapper, columns), (Terminal, columns[-3:])):
        with contextlib.redirect_stdout(stream(io.BytesIO(), encoding="utf-8")):
            table.show(listing.rows, shown, absolute=False)


def _configuration(content: bytes, folder: Path) -> None:
    path = folder / "savethat.toml"
    path.write_bytes(content)
    config = load(env_file=path, environ={"HOME": str(folder)})
    assert Config.from_json(read_json(json.dumps(config.to_json()))) == config


def _credentials(content: bytes, folder: Path) -> None:
    path = folder / "credentials.toml"
    path.write_bytes(content)
    environ = {"SAVETHAT_CREDENTIALS": str(path)}
    with contextlib.suppress(SavethatError):
        credentials(CONFIG, environ)
    stored = Credentials("id", "a key")
    store_credentials("bucket", stored, environ)
    assert credentials(CONFIG, environ) == stored


def _arguments(suffix: str) -> Parser:
    def parse(content: bytes, folder: Path) -> None:
        path = folder / f"args{suffix}"
        path.write_bytes(content)
        args = restore(EveryArgs, read_arguments(path))
        assert restore(EveryArgs, read_json(json.dumps(saved(args)))) == args

    return parse


def _order(content: bytes, folder: Path) -> None:
    path = folder / "order.json"
    path.write_bytes(content)
    Order.read(path)


def _squeue(text: str) -> None:
    for row in read_rows(text):
        assert isinstance(row.task, tuple)
        assert row.alive in (True, False)


def _sacct(text: str) -> None:
    for line in text.splitlines():
        for number, (_, row) in enumerate(accounting._rows(line)):
            # One line may name a range of tasks, but not fill the memory.
            assert number <= MOST_TASKS
            row.job()


def _limit(text: str) -> None:
    format_limit(parse_limit(text))


def _archive(content: bytes, folder: Path) -> None:
    """A capsule whose name is that of its content, as its maker can choose it."""
    archive = folder / "capsule.tar.gz"
    archive.write_bytes(gzip.compress(content, 1))
    target = folder / "code"
    target.mkdir()
    extract(archive, hashlib.sha256(content).hexdigest()[:32], target)


def _damaged_archive(content: bytes, folder: Path) -> None:
    archive = folder / "capsule.tar.gz"
    archive.write_bytes(content)
    (folder / "code").mkdir()
    extract(archive, "0" * 32, folder / "code")


def _manifest(content: bytes, folder: Path) -> None:
    (folder / MANIFEST).write_bytes(content)
    for path in import_paths(folder):
        assert Path(os.path.normpath(path)).is_relative_to(folder)


def _facts(content: bytes, folder: Path) -> None:
    """Records of a run that is compared with another."""
    data = read_json(content)
    known = {"inputs.json": (1, "a"), "n.json": (1, "b")}
    a = RunFacts(
        KEY,
        data if isinstance(data, dict) else {},
        data,
        data if isinstance(data, dict) else None,
        data,
        known,
        lambda name: content,
    )
    b = RunFacts(KEY, ARGS, ARGS, PROVENANCE, {}, {"n.json": (2, "c")}, lambda name: content)
    for one, two in ((a, b), (b, a)):
        comparison = compare(one, two, tolerance=0.1)
        printable_json(json.dumps(comparison.to_json(), ensure_ascii=False)).encode()
        [printable(cell).encode() for row in comparison.rows() for cell in row]


def _caches(content: bytes, folder: Path) -> None:
    """What is remembered: never an error, whatever is in it."""
    old = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder)
    try:
        place = cache.folder()
        place.mkdir(parents=True)
        (place / "code.json").write_bytes(content)
        cache.is_known("code", "a", max_age=10)
        cache.note("code", "a")
        assert cache.is_known("code", "a", max_age=10)
        keep(folder, Memory())
        for remembered in place.glob("completion-*"):
            remembered.write_bytes(content)
        recall(folder)
        keep_keys(folder, {"A": ""})
        for remembered in place.glob("keys-*"):
            remembered.write_bytes(remembered.read_bytes().split(b"\n")[0] + b"\n" + content)
        recall_keys(folder)
        (place / "sacct.json").write_bytes(content)
        for entry in accounting._read("sacct.json").values():
            entry.is_good("", 0.0, 10.0)
        (place / "failed-squeue.json").write_bytes(content)
        with contextlib.suppress(SchedulerError):
            shared.raise_failure("squeue.json", began=0.0, max_age=10.0)
    finally:
        if old is None:
            del os.environ["XDG_CACHE_HOME"]
        else:
            os.environ["XDG_CACHE_HOME"] = old


def _waiting(content: bytes, folder: Path) -> None:
    (folder / "waiting.json").write_bytes(content)
    read_waiting(folder)


def _object_name(content: bytes, folder: Path) -> None:
    """A listed object of this name, brought into a run's folder that has a link out of it."""
    name = content.decode(errors="surrogateescape")
    with contextlib.suppress(StorageError):
        check_b2_name(name)
    check_name(name)
    bucket, target = folder / "bucket", folder / "local" / "run"
    target.mkdir(parents=True)
    (folder / "outside").mkdir()
    (target / "link").symlink_to(folder / "outside")
    bucket.mkdir()
    pieces.whole([Entry(name, 3, 0.0, "a"), Entry("a", 3, 0.0, "b")])
    try:
        place = bucket / "run" / name
        place.parent.mkdir(parents=True)
        place.write_bytes(b"abc")
    except (OSError, ValueError):
        return  # no file system here has such a name
    try:
        fetch_tree(DirectoryRemote(bucket), [Entry(f"run/{name}", 3, 0.0)], "run/", target)
    finally:
        assert not any((folder / "outside").iterdir())


def _log(content: bytes, folder: Path) -> None:
    """A log in two pieces, shown on a terminal as it would be in one."""
    log, half = TerminalLog(), len(content) // 2
    shown = log.fit(content[:half]) + log.fit(content[half:], last=True)
    assert shown == TerminalLog().fit(content, last=True)
    rest = shown.replace("\r", "").replace("\b", "")
    while "\x1b[" in rest:
        before, _, after = rest.partition("\x1b[")
        style, m, after = after.partition("m")
        assert m
        assert set(style) <= set("0123456789;:")
        rest = before + after
    assert printable(rest, lines=True) == rest
    (folder / "log").write_bytes(content)
    last_line(folder / "log").encode()


def _value(text: str) -> None:
    """A filter's value, compared with every kind of argument."""
    for value in (True, None, 1, 10**400, 0.5, float("nan"), [1, [2]], "a", {"a": 1}):
        same_value(value, text)


def _time(text: str) -> None:
    bound = parse_time(text, NOW)
    row = Row(KEY, "p.FitOLS", Status.LOST, "", NOW, KEY, PLACE)
    Filter(after=bound, before=bound).matches(row)


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content in ((MANIFEST, b"{}"), ("p/é.py", b"x = 1\n")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("p/link")
        link.type, link.linkname = tarfile.SYMTYPE, "../p"
        archive.addfile(link)
    return file.getvalue()


_TOML = b"""package = "p"
local_path = "${PROJECT_ROOT}/data"
b2_bucket = "bucket"
b2_prefix = "a/b"
sync_every = "1h30m"
[slurm]
time = "4h"
setup = ["module load cuda"]
[slurm.presets.big]
gpus = 4
[queue]
gpus = [0, 1]
max_parallel = 2
[code]
exclude = ["*.ckpt"]
"""
_EVERY = {"name": "x", "steps": 2, "path": "a/b", "sizes": [1], "tags": ["t"], "opt.lr": 1e-3}
_SACCT = b"123_[0-3,7%2]|CANCELLED by 0|0:9|1764000000|n1|FitOLS+3"
_ODD_SACCT = tuple(
    _SACCT.replace(b"0-3,7%2", tasks) for tasks in (b"0-99999999999", b",", b"1-2-3", b"0-9:0")
)
_SQUEUE = b"JOBID|STATE|EXEC_HOST|REASON|NAME\n12_3|RUNNING|n1|None|FitOLS\n"
_ORDER = {
    "launch": LAUNCH.to_json(),
    "config": CONFIG.to_json(),
    "python_path": ["/p"],
    "argv": ["run"],
    "setup": [],
    "python": "",
}
_MEMORY = {
    "modules": {
        "p.fit": {
            "nodes": {"FitOLS": {"doc": "d", "flags": [{"name": "--a", "values": ["b"]}]}},
            "files": {"/p/fit.py": [1, 2]},
        }
    },
    "keys": {KEY: "completed"},
}
_WAITING = ({"positions": [1, 2], "why": "limit"}, {"positions": [float("inf")], "why": 1})
_MANIFESTS = (
    {"format": 1, "paths": ["."], "packages": [{"paths": ["src"]}], "warnings": []},
    {"format": 1, "paths": ["/"], "packages": [{"paths": ["a/../.."]}]},
)
_CACHED = (
    {"a": 1.5, "FitOLS[1]": [1.0, "", ["1_1", "FAILED", "1:0", 1.0, "n1"]]},
    {"FitOLS": [1.0, "", ["1", None, 2, "3", 4]]},
)

TARGETS = (
    Target("run key", _text(_key), (), (KEY.encode(),)),
    Target("mark name", _text(parse_mark_name), (), (mark_name(KEY, 1, "failed").encode(),)),
    Target("launch name", _text(parse_launch_name), (), (launch_name(f"{KEY}.2").encode(),)),
    Target(
        "job name",
        _text(lambda text: parse_job_name(text, 3)),
        (),
        (b"FitOLS+12", b"FitOLS+" + b"9" * 5_000),
    ),
    Target("launch record", _json(_launch), (ValueError,), _dumps(LAUNCH.to_json())),
    Target("mark", _json(_mark), (ValueError,), _dumps(MARK.to_json())),
    Target(
        "mark's header",
        _text(lambda text: Mark.from_info({"savethat": text})),
        (ValueError,),
        _dumps(MARK.to_json()),
    ),
    Target("listing", _listing, (), _dumps(MARK.to_json(), LAUNCH.to_json())),
    Target("object name", _object_name, (StorageError,), (b"log.csv", b"link/x", b"a/../../b")),
    Target("configuration", _configuration, (SavethatError,), (_TOML,)),
    Target(
        "credentials",
        _credentials,
        (SavethatError,),
        (b'[bucket]\nkey_id = "a"\nkey = "b"\n[other]\nkey_id = "c"\nkey = "d"\n',),
    ),
    Target("arguments in TOML", _arguments(".toml"), (SavethatError,), (b'name = "x"\nsteps = 3',)),
    Target("arguments in JSON", _arguments(".json"), (SavethatError,), _dumps(_EVERY)),
    Target(
        "args.json",
        _json(lambda data: restore(EveryArgs, data)),
        (ArgumentError, ValueError),
        _dumps(_EVERY),
    ),
    Target("order.json", _order, (SavethatError,), _dumps(_ORDER)),
    Target(
        "inputs.json",
        _json(InputsRecord.from_json),
        (ValueError,),
        _dumps({"format": 1, "files": [{"key": "a", "size": 1, "sha1": "b"}], "left_out": 0}),
    ),
    Target("records compared", _facts, (ValueError,), _dumps(PROVENANCE, ARGS)),
    Target(
        "packages recorded",
        _json(lambda data: requirements(data if isinstance(data, dict) else {})),
        (SavethatError, ValueError),
        _dumps(PROVENANCE),
    ),
    Target("capsule", _archive, (StorageError,), (_tar(),)),
    Target("damaged capsule", _damaged_archive, (StorageError,), (gzip.compress(_tar()),)),
    Target(
        "capsule's manifest",
        _manifest,
        (StorageError,),
        _dumps(*_MANIFESTS),
    ),
    Target("caches", _caches, (), _dumps(_MEMORY, *_CACHED)),
    Target("waiting.json", _waiting, (), _dumps(*_WAITING)),
    Target("squeue", _text(_squeue), (SavethatError,), (_SQUEUE,)),
    Target("sacct", _text(_sacct), (), (_SACCT, *_ODD_SACCT)),
    Target("state of a job", _text(read_state), (), (b"CANCELLED by 0",)),
    Target("time limit", _text(_limit), (ValueError,), (b"1-12:30", b"1h30m", b"UNLIMITED")),
    Target("time filter", _text(_time), (UsageError,), (b"2026-11-23T08:05Z", b"30d")),
    Target("age filter", _text(lambda text: NOW - parse_age(text)), (UsageError,), (b"90m", b"1w")),
    Target("status filter", _text(parse_status), (UsageError,), (b"failed",)),
    Target("argument filter", _text(_value), (), (b"[1, 2]", b"0.1", b"true")),
    Target("log", _log, (), (b"\x1b[31mred\x1b[0m\r50%\xe2\x80\xae\x1b]0;title\x07",)),
)
