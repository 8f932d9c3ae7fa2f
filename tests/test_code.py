from __future__ import annotations

import dataclasses
import gzip
import importlib
import io
import json
import os
import socket
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from savethat import cache
from savethat.code import Capsule, capture, editables, head_commit
from savethat.code import archive as archives
from savethat.code import packages as packages_room
from savethat.code import plan as plans
from savethat.code import reading as readings
from savethat.code.manifest import NAME as MANIFEST
from savethat.code.patterns import matcher
from savethat.code.secrets import is_secret, without_keys
from savethat.code.tar import file_header, link_entry, padding
from savethat.config import CodeConfig, Config, load, read_toml
from savethat.errors import StorageError, UsageError

SECRET = "K005qUmbxR2m0fakefakefakefakefak"
KEY_ID = "0051234567890ab0000000001"
Git = Callable[..., str]

pytestmark = pytest.mark.usefixtures("own_git")


@pytest.fixture
def git(root: Path) -> Git:
    return repository(root)


@pytest.fixture
def without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def repository(folder: Path) -> Git:
    folder.mkdir(exist_ok=True)

    def run(*command: str) -> str:
        done = subprocess.run(
            ["git", "-c", "protocol.file.allow=always", *command],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    run("init", "--quiet", "--initial-branch=main")
    return run


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        put(root / name.replace("__", "/").replace("_DOT_", "."), text)


def put(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def project(root: Path, *, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> Config:
    config = load(project=root, environ={})
    return dataclasses.replace(config, code=CodeConfig(include=include, exclude=exclude))


def freeze(
    root: Path,
    *,
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    secrets: tuple[str, ...] = (SECRET, KEY_ID),
) -> Capsule:
    config = project(root, include=include, exclude=exclude)
    return capture(config, config.local_path / ".savethat" / "code", secrets=secrets, extra=())


def members(capsule: Capsule) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(capsule.archive, encoding="utf-8") as tar:
        return {member.name: member for member in tar}


def names(capsule: Capsule) -> set[str]:
    return members(capsule).keys() - {MANIFEST}


def content(capsule: Capsule, name: str) -> bytes:
    with tarfile.open(capsule.archive, encoding="utf-8") as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def plain(capsule: Capsule) -> bytes:
    return gzip.decompress(capsule.archive.read_bytes())


# --- which files: git -----------------------------------------------------------------------


def test_tracked_untracked_staged_unstaged_but_not_ignored_or_deleted(root: Path, git: Git) -> None:
    for name in ("kept.py", "changed.py", "deleted.py", "removed.py", "sub/deep.py"):
        put(root / name, "old")
    put(root / ".gitignore", "*.log\nbuild/\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    put(root / "changed.py", "new")
    (root / "deleted.py").unlink()
    git("rm", "--quiet", "removed.py")
    put(root / "staged.py", "s")
    git("add", "staged.py")
    put(root / "größe #1\n.py", "u")
    put(root / "output.log")
    put(root / "build" / "x.py")
    capsule = freeze(root)
    assert names(capsule) == {
        *(".gitignore", "kept.py", "changed.py", "sub/deep.py", "staged.py", "größe #1\n.py")
    }
    assert content(capsule, "changed.py") == b"new"
    assert capsule.files == 6
    assert capsule.size == sum(m.size for n, m in members(capsule).items() if n != MANIFEST)


def test_project_below_the_checkouts_top(root: Path, git: Git) -> None:
    put(root / "outside.py")
    put(root / "exp" / "node.py")
    put(root / "exp" / "savethat.toml")
    put(root / ".gitignore", "*.log\n")
    put(root / "exp" / "x.log")
    git("add", "exp/node.py")
    assert names(freeze(root / "exp")) == {"node.py", "savethat.toml"}


def test_project_that_the_checkout_around_it_ignores_counts_as_outside(
    root: Path, git: Git
) -> None:
    put(root / ".gitignore", "*\n")
    put(root / "exp" / "savethat.toml")
    put(root / "exp" / "node.py")
    assert names(freeze(root / "exp")) == {"node.py", "savethat.toml"}


def test_working_tree_of_its_own_and_one_inside(root: Path, git: Git, tmp_path: Path) -> None:
    put(root / "node.py")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    git("worktree", "add", "--quiet", str(tmp_path / "tree"))
    git("worktree", "add", "--quiet", str(root / "inside"))
    put(tmp_path / "tree" / "new.py")
    assert names(freeze(tmp_path / "tree")) == {"node.py", "new.py"}
    capsule = freeze(root)
    assert names(capsule) == {"node.py"}
    assert [w for w in capsule.warnings if "another working tree" in w and "inside" in w]


def test_submodules_with_their_changes_and_untracked_files(
    root: Path, git: Git, tmp_path: Path
) -> None:
    inner = repository(tmp_path / "inner")
    put(tmp_path / "inner" / "lib.py", "old")
    put(tmp_path / "inner" / ".gitignore", "*.log")
    inner("add", ".")
    inner("commit", "--quiet", "-m", "first")
    middle = repository(tmp_path / "middle")
    middle("submodule", "add", "--quiet", str(tmp_path / "inner"), "deep.d")
    middle("commit", "--quiet", "-m", "first")
    git("submodule", "add", "--quiet", str(tmp_path / "middle"), "libs/middle")
    git("submodule", "add", "--quiet", str(tmp_path / "inner"), "never")
    git("submodule", "update", "--quiet", "--init", "--recursive", "libs/middle")
    git("submodule", "deinit", "--quiet", "--force", "never")
    put(root / "libs" / "middle" / "deep.d" / "lib.py", "changed")
    put(root / "libs" / "middle" / "new.py")
    put(root / "libs" / "middle" / "deep.d" / "x.log")
    capsule = freeze(root)
    assert names(capsule) == {
        ".gitmodules",
        "libs/middle/.gitmodules",
        "libs/middle/deep.d/.gitignore",
        "libs/middle/deep.d/lib.py",
        "libs/middle/new.py",
    }
    assert content(capsule, "libs/middle/deep.d/lib.py") == b"changed"


def test_another_repository_inside_is_a_part_of_the_code(root: Path, git: Git) -> None:
    nested = repository(root / "nested")
    put(root / "nested" / "a.py")
    nested("add", ".")
    nested("commit", "--quiet", "-m", "first")
    put(root / "nested" / "b.py")
    assert names(freeze(root)) == {"nested/a.py", "nested/b.py"}


def test_what_tools_leave_is_no_code_unless_git_tracks_it(root: Path, git: Git) -> None:
    put(root / "pkg" / "__pycache__" / "a.cpython-313.pyc")
    put(root / "venv" / "pyvenv.cfg")
    put(root / "venv" / "lib" / "x.py")
    put(root / "node_modules" / "tracked.js")
    git("add", "node_modules")
    put(root / "node_modules" / "untracked.js")
    put(root / "node.py")
    assert names(freeze(root)) == {"node.py", "node_modules/tracked.js"}


def test_hook_that_points_git_elsewhere_changes_nothing(
    root: Path, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root / "node.py")
    repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / "index"))
    assert names(freeze(root)) == {"node.py"}


def test_git_that_refuses_is_an_error_and_not_no_git(root: Path, git: Git) -> None:
    put(root / ".git" / "index", "broken")
    with pytest.raises(UsageError, match=r"git cannot list the files of .*index") as caught:
        freeze(root)
    assert "git status" in caught.value.hint


def test_tracked_files_behind_a_link_that_replaced_their_folder(root: Path, git: Git) -> None:
    put(root / "data" / "x.csv")
    git("add", ".")
    (root / "data").rename(root / "new")
    (root / "data").symlink_to("new")
    assert names(freeze(root)) == {"data", "new/x.csv"}


def test_head_commit(root: Path, git: Git) -> None:
    assert head_commit(root) == ""
    git("commit", "--quiet", "--allow-empty", "-m", "first")
    assert head_commit(root) == git("rev-parse", "HEAD")
    assert head_commit(root.parent) == ""


# --- which files: no git --------------------------------------------------------------------

TREE = ("node.py", "src/deep/a.py", ".hidden/config.yaml", ".dockerignore")
JUNK = (
    *("__pycache__/a.pyc", "pkg/b.pyc", ".hg/store", ".svn/x", ".tox/x", ".nox/x", ".mypy_cache/x"),
    *(".ruff_cache/x", ".pytest_cache/x", "a/.ipynb_checkpoints/x", "node_modules/x"),
    *("my.egg-info/PKG-INFO", ".venv/pyvenv.cfg", ".venv/lib/x.py", "nested/.git/config"),
)


@pytest.mark.usefixtures("without_git")
@pytest.mark.parametrize("has_repository", [False, True])
def test_without_git(root: Path, has_repository: bool) -> None:
    for name in (*TREE, *JUNK):
        put(root / name)
    if has_repository:
        put(root / ".git" / "config")
    capsule = freeze(root)
    assert names(capsule) == set(TREE)
    assert [w for w in capsule.warnings if "git cannot be run" in w] == (
        list(capsule.warnings) if has_repository else []
    )
    assert bool(capsule.warnings) == has_repository


def test_git_outside_of_a_checkout(root: Path) -> None:
    for name in (*TREE, *JUNK):
        put(root / name)
    assert names(freeze(root)) == set(TREE)


def test_same_files_with_and_without_git_are_the_same_capsule(
    root: Path, git: Git, tmp_path: Path
) -> None:
    put(root / "node.py", "x")
    git("add", ".")
    tracked = freeze(root)
    (root / ".git").rename(tmp_path / "gone")
    assert freeze(root).name == tracked.name


def test_unreadable_file_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root / "node.py")

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(readings, "open", refuse, raising=False)
    with pytest.raises(UsageError, match=r"node\.py cannot be read"):
        freeze(root)


# --- what never enters ----------------------------------------------------------------------


def test_runs_and_savethats_own_files_stay_behind(root: Path, git: Git) -> None:
    for name in ("node.py", "data_storage/Fit_1/log.csv", ".savethat/x", "a/.savethat-part-1"):
        put(root / name)
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(root)
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
        os.mkfifo(root / "pipe")
        git("add", "--force", "data_storage")
        assert names(freeze(root)) == {"node.py"}
        assert names(freeze(root, include=("data_storage/**", "**"))) == {"node.py"}


def test_runs_are_left_out_where_the_project_folder_keeps_them(root: Path) -> None:
    put(root / "savethat.toml", 'local_path = "${PROJECT_ROOT}"\nscratch = "${PROJECT_ROOT}/tmp"\n')
    put(root / "node.py")
    put(root / "Fit_2026-11-23T08-05-52_k3x9w2pq" / "output.log")
    put(root / "tmp" / "x")
    assert names(freeze(root)) == {"node.py", "savethat.toml"}


def test_local_path_by_another_name(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    put(root / "savethat.toml", f'local_path = "{tmp_path}/link/runs"\n')
    put(root / "runs" / "x")
    assert names(freeze(root)) == {"savethat.toml"}


HELD_BACK = (
    *(".env", ".env.production", "deep/.env", "server.pem", "a.key", "a.p12", "a.pfx", "a.kdbx"),
    *("id_rsa", "id_rsa_work", "id_dsa", "id_ecdsa", "id_ed25519", ".netrc", ".pypirc", ".npmrc"),
    *(".git-credentials", ".htpasswd", "credentials.toml", "credentials-prod.json", "Server.PEM"),
    *("credentials.yaml", "credentials.yml", "credentials.ini", ".aws/config", "x/.ssh/known"),
    *(".gnupg/x", ".savethat-credentials.toml", "savethat.local.toml"),
)
LET_IN = (
    *(".env.example", ".env.sample", ".env.template", "id_rsa.pub", "id_ed25519_a.pub", "keys.py"),
    *("credentials.py", "environment.yml", "my_credentials.py", "aws/config", ".envrc"),
)


def test_files_that_hold_secrets_stay_behind_even_if_tracked_or_included(
    root: Path, git: Git
) -> None:
    for name in (*HELD_BACK, *LET_IN):
        put(root / name, f"# {SECRET}" if name in HELD_BACK else "")
    put(root / ".gitignore", "*.pem\n")
    git("add", "--force", ".")
    capsule = freeze(root, include=("**",))
    assert names(capsule) == {*LET_IN, ".gitignore"}
    assert SECRET.encode() not in plain(capsule)
    (warning,) = capsule.warnings
    assert "id_rsa" in warning
    assert ".env" not in warning
    assert all(map(is_secret, HELD_BACK))
    assert not any(map(is_secret, LET_IN))


SETTINGS = f'''# ours
package = "fit"  # not b2
b2_bucket = "bucket"
b2_key_id = "{KEY_ID}"
"b2_key"   = """
{SECRET} "" \\""" b2_bucket = "not this"
"""   # b2_key = "{SECRET}"
# b2_key = "{SECRET}"
[slurm]
partition = "gpu" # b2_key: {KEY_ID}
setup = [
  "echo '[x]' # b2",  # b2_key_id = "{KEY_ID}"
  \'\'\'module load "cuda"\'\'\',
]
'''


def test_settings_enter_without_the_keys(root: Path, git: Git, tmp_path: Path) -> None:
    put(root / "savethat.toml", SETTINGS)
    put(root / "ignored.txt", SECRET)
    put(root / ".gitignore", "ignored.txt")
    put(root / "savethat.local.toml", f"b2_key = '{SECRET}'")
    put(root / ".env", f"B2_APPLICATION_KEY={SECRET}")
    put(root / "nested" / "savethat.toml", f"b2_key = '{SECRET}'")
    capsule = freeze(root)
    assert names(capsule) == {"savethat.toml", ".gitignore", "nested/savethat.toml"}
    for secret in (SECRET, KEY_ID):
        assert secret.encode() not in plain(capsule)
    put(tmp_path / "out.toml", content(capsule, "savethat.toml").decode())
    assert read_toml(tmp_path / "out.toml") == {
        key: value
        for key, value in read_toml(root / "savethat.toml").items()
        if key not in ("b2_key", "b2_key_id")
    }
    assert "# ours" in (tmp_path / "out.toml").read_text()


def test_configuration_of_another_name(root: Path) -> None:
    put(root / "fit.toml", f'package = "fit"\nb2_bucket = "b"\nb2_key = "{SECRET}"\n')
    put(root / "fit.local.toml", f'b2_key = "{SECRET}"\n')
    config = load(env_file=root / "fit.toml", environ={})
    capsule = capture(config, root / "out", secrets=[SECRET], extra=())
    assert names(capsule) == {"fit.toml"}
    assert content(capsule, "fit.toml") == b'package = "fit"\nb2_bucket = "b"\n'


TOML_STRINGS = st.text(st.sampled_from("ab2_key= '\"\\\n#[]{}"), max_size=30)


def quoted(text: str, kind: int) -> str:
    if kind == 0:
        return json.dumps(text)
    if kind == 1:
        return '"""' + text.replace("\\", "\\\\").replace('"""', '""\\"').rstrip('"') + '"""'
    plain_text = text.replace("'", "")
    return f"'''{plain_text}'''" if kind == 2 else "'" + plain_text.replace("\n", "") + "'"


@given(
    values=st.lists(
        st.tuples(
            st.sampled_from(["b2_key", "'b2_key_id'", "package", "scratch", "b2_key_ids"]),
            st.lists(st.tuples(TOML_STRINGS, st.integers(0, 3)), min_size=1, max_size=3),
            st.sampled_from(["", " # said"]),
        ),
        max_size=4,
        unique_by=lambda value: value[0],
    )
)
def test_the_rest_of_the_settings_does_not_change(
    values: list[tuple[str, list[tuple[str, int]], str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    lines = []
    for key, texts, comment in values:
        items = [quoted(*one) for one in texts]
        value = items[0] if len(items) == 1 else f"[ # [\n{', '.join(items)} ]"
        lines.append(f"{key} = {value}{comment}\n")
    folder = tmp_path_factory.mktemp("toml")
    put(folder / "a.toml", "".join(lines))
    kept = without_keys((folder / "a.toml").read_text())
    assert kept is not None
    put(folder / "b.toml", kept)
    expected = read_toml(folder / "a.toml")
    for key in ("b2_key", "b2_key_id"):
        expected.pop(key, None)
    assert read_toml(folder / "b.toml") == expected


@pytest.mark.parametrize("text", ["a = 'x", 'a = """x', "a = [1", 'a = "\n"'])
def test_what_is_not_toml_does_not_enter_as_settings(root: Path, text: str) -> None:
    assert without_keys(text) is None
    put(root / "savethat.toml")
    put(root / "nested" / "savethat.toml", f"b2_key = 'x'\n{text}")
    capsule = freeze(root)
    assert names(capsule) == {"savethat.toml"}
    assert "nested/savethat.toml" in capsule.warnings[0]


@pytest.mark.parametrize("place", ["notes/keys.md", "savethat.toml", "link", f"{SECRET}.py"])
def test_the_real_key_in_any_other_file_is_refused(root: Path, place: str) -> None:
    if place == "link":
        (root / place).symlink_to(SECRET)
    else:
        put(root / place, "" if SECRET in place else f'package = "{SECRET}"')
    config = project(root)
    with pytest.raises(UsageError, match="holds the project's B2 credentials") as caught:
        capture(config, config.local_path, secrets=["", SECRET], extra=())
    assert place in caught.value.message
    assert "[code] exclude" in caught.value.hint
    assert not list(config.local_path.iterdir())
    if "/" in place:
        assert names(freeze(root, exclude=(place,))) == set()


# --- include and exclude --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*.ckpt", ["a.ckpt", "x/y/a.ckpt", "d.ckpt/x"], ["a.ckpt2", "ckpt"]),
        ("data/**", ["data/a", "data/b/c"], ["x/data/a", "data2/a"]),
        ("notes/", ["notes/a", "x/notes/b/c"], ["notes", "notes2/a"]),
        ("notes", ["notes", "notes/a", "x/notes"], ["notes.txt"]),
        ("/a.py", ["a.py"], ["x/a.py"]),
        ("./a/b.py", ["a/b.py"], ["x/a/b.py"]),
        ("a/*.py", ["a/x.py"], ["a/b/x.py", "b/a/x.py"]),
        ("a/**/x.py", ["a/x.py", "a/b/c/x.py"], ["x.py"]),
        ("**/x?.py", ["x1.py", "a/x2.py"], ["x.py", "x/1.py"]),
        ("[!ab-d]*[]^\\].py", ["e].py", "zz^.py", "z\\.py"], ["a].py", "c].py", "ez.py"]),
        ("[z-a].py", ["z.py", "a.py"], ["m.py"]),
        ("a[b.py", ["a[b.py"], ["ab.py"]),
        ("/root/x/*.py", ["x/a.py"], ["y/a.py", "z/x/a.py"]),
    ],
)
def test_patterns(pattern: str, matching: list[str], other: list[str]) -> None:
    matches = matcher([pattern], Path("/root"))
    assert [path for path in matching if not matches(path)] == []
    assert [path for path in other if matches(path)] == []


def test_include_brings_in_what_git_ignores_and_exclude_wins(root: Path, git: Git) -> None:
    put(root / ".gitignore", "build/\n*.so\n_version.py\n")
    for name in ("build/a.json", "build/deep/b.json", "pkg/x.so", "pkg/_version.py", "build/c.py"):
        put(root / name)
    put(root / "node_modules" / "lib" / "y.so")
    include = ("build/**/*.json", "*.so", "pkg/_version.py", "missing/**")
    assert names(freeze(root, include=include)) == {
        *(".gitignore", "build/a.json", "build/deep/b.json", "pkg/x.so", "pkg/_version.py")
    }
    assert names(freeze(root, include=include, exclude=("deep/", "*.so"))) == {
        *(".gitignore", "build/a.json", "pkg/_version.py")
    }
    assert "node_modules/lib/y.so" in names(freeze(root, include=("node_modules/lib/",)))


def test_folders_that_are_excluded_are_not_looked_into(root: Path) -> None:
    put(root / "node.py")
    put(root / "data" / "x")
    (root / "data").chmod(0)
    try:
        assert names(freeze(root, exclude=("data/",))) == {"node.py"}
    finally:
        (root / "data").chmod(0o700)


# --- the archive ----------------------------------------------------------------------------


def test_archive_says_nothing_but_the_tree(root: Path) -> None:
    put(root / "run.sh", "#!/bin/sh\n")
    put(root / "a.py", "x")
    (root / "run.sh").chmod(0o4777)
    (root / "a.py").chmod(0o600)
    capsule = freeze(root)
    found = members(capsule)
    assert list(found) == [MANIFEST, "a.py", "run.sh"]
    assert {name: member.mode for name, member in found.items()} == {
        MANIFEST: 0o644,
        "a.py": 0o644,
        "run.sh": 0o755,
    }
    for member in found.values():
        assert (member.mtime, member.uid, member.gid) == (0, 0, 0)
        assert (member.uname, member.gname) == ("", "")
    assert capsule.archive.name == f"{capsule.name}.tar.gz"
    assert capsule.archive.read_bytes()[4:8] == bytes(4)
    assert stat.S_IMODE(capsule.archive.stat().st_mode) == 0o600
    assert json.loads(content(capsule, MANIFEST)) == {
        "format": 1,
        "packages": [],
        "paths": ["."],
        "warnings": [],
    }


def test_project_with_src_is_imported_from_there_too(root: Path) -> None:
    put(root / "src" / "fit" / "__init__.py")
    assert json.loads(content(freeze(root), MANIFEST))["paths"] == [".", "src"]


NAMES = st.text(st.characters(exclude_characters="/\0.", exclude_categories=["Cs"]), min_size=1)
TREES = st.dictionaries(
    st.lists(NAMES.map(lambda name: f"n{name[:60]}"), min_size=1, max_size=4).map("/".join),
    st.tuples(st.binary(max_size=1200), st.booleans()),
    min_size=1,
    max_size=6,
)


def build(root: Path, tree: dict[str, tuple[bytes, bool]]) -> bool:
    """Whether this is a tree that a file system can hold."""
    for name, (data, executable) in tree.items():
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                return False
            path.write_bytes(data)
        except OSError:
            return False
        path.chmod(0o755 if executable else 0o644)
    return True


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=40)
@given(tree=TREES, data=st.data())
def test_same_tree_same_bytes_and_any_change_another_name(
    tree: dict[str, tuple[bytes, bool]],
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("trees")
    for one in ("a", "b"):
        (folder / one).mkdir()
    if not build(folder / "a", tree) or not build(folder / "b", dict(reversed(tree.items()))):
        return
    for path in (folder / "b").rglob("*"):
        os.utime(path, (1, 1))
    first, second = freeze(folder / "a"), freeze(folder / "b")
    assert first.name == second.name
    assert first.archive.read_bytes() == second.archive.read_bytes()
    with tarfile.open(first.archive, encoding="utf-8") as tar:
        for name, (bytes_, executable) in tree.items():
            member = tar.getmember(name)
            file = tar.extractfile(member)
            assert file is not None
            assert (file.read(), member.mode) == (bytes_, 0o755 if executable else 0o644)
    path = folder / "b" / data.draw(st.sampled_from(sorted(tree)))
    change = data.draw(st.sampled_from(["content", "mode", "name", "gone"]))
    if change == "content":
        path.write_bytes(path.read_bytes() + b"x")
    elif change == "mode":
        path.chmod(path.stat().st_mode ^ 0o111)
    elif change == "name":
        path.rename(path.with_name("another"))
    else:
        path.unlink()
    assert freeze(folder / "b").name != first.name


@pytest.mark.parametrize("name", ["a", "é", "d/" * 60 + "x", "x" * 100, "x" * 101, "\udcff.py"])
@pytest.mark.parametrize("target", ["", "t", "é/" * 70, "\udcfe"])
def test_headers_are_what_tarfile_reads(name: str, target: str) -> None:
    data = b"content"
    if target:
        written = link_entry(name, target)
    else:
        written = file_header(name, len(data), 0o755) + data + padding(len(data))
    with tarfile.open(fileobj=io.BytesIO(written + bytes(1024)), encoding="utf-8") as tar:
        (member,) = tar.getmembers()
        assert (member.name, member.linkname) == (name, target.rstrip("\0"))
        assert (member.issym(), member.mode) == ((True, 0o777) if target else (False, 0o755))
        file = None if target else tar.extractfile(member)
        assert (file.read() if file else data) == data


def test_names_that_are_not_utf8(root: Path, git: Git) -> None:
    (root / os.fsdecode(b"\xff.py")).write_text("x")
    assert names(freeze(root)) == {"\udcff.py"}


def test_names_do_not_change_between_versions(root: Path) -> None:
    put(root / "a.py", "x = 1\n")
    (root / "é").symlink_to("a.py")
    assert freeze(root).name == "ad1b2c4ea8c79f323b8d7e8153c1128e"


def test_too_much_names_the_largest(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MOST_BYTES", 10_000_000)
    for number in range(1, 8):
        put(root / f"data{number}.csv", "x" * (400_000 * number))
    with pytest.raises(UsageError) as caught:
        freeze(root)
    assert "11.2 MB, more than the 10.0 MB" in caught.value.message
    assert caught.value.message.endswith(
        "data7.csv (2.8 MB), data6.csv (2.4 MB), data5.csv (2.0 MB), data4.csv (1.6 MB), "
        "data3.csv (1.2 MB)"
    )
    assert ".gitignore" in caught.value.hint
    assert "[code] exclude" in caught.value.hint
    assert freeze(root, exclude=("data7.csv",)).size == 8_400_000


def test_file_that_grows_over_the_limit_while_it_is_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "MOST_BYTES", 1000)
    monkeypatch.setattr(readings.ContentReader, "_read", lambda self, item: bytes(2000))
    put(root / "a.log", "x")
    with pytest.raises(UsageError, match="more than"):
        freeze(root)


def test_folder_that_cannot_be_written(root: Path) -> None:
    put(root / "node.py")
    put(root / "data_storage")
    with pytest.raises(StorageError, match="cannot be frozen"):
        freeze(root)


# --- links ----------------------------------------------------------------------------------


def test_links_inside_stay_links(root: Path) -> None:
    put(root / "conf" / "a.yaml", "x")
    links = {
        "one": "conf/a.yaml",
        "conf/up": "../one",
        "folder": "conf",
        "dangling": "data_storage/x",
        "absolute": str(root / "conf"),
        "conf/self": str(root / "conf" / "a.yaml"),
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    found = members(freeze(root))
    expected = {**links, "absolute": "conf", "conf/self": "a.yaml"}
    assert {n: m.linkname for n, m in found.items() if m.issym()} == expected


def test_links_that_lead_out(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MOST_LINKED_BYTES", 100)
    put(tmp_path / "shared.yaml", "shared")
    put(tmp_path / "large.bin", "x" * 101)
    put(tmp_path / ".ssh" / "config", "secret")
    (tmp_path / "folder").mkdir()
    (root / "deep").mkdir()
    links: dict[str, str | Path] = {
        "shared.yaml": tmp_path / "shared.yaml",
        "relative.yaml": "../shared.yaml",
        "large.bin": tmp_path / "large.bin",
        "folder": tmp_path / "folder",
        "ssh": tmp_path / ".ssh" / "config",
        "nothing": tmp_path / "nothing",
        "round": "deep/back/../x",
        "deep/back": "..",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    capsule = freeze(root)
    found = members(capsule)
    assert {name for name, member in found.items() if member.issym()} == {"deep/back"}
    assert names(capsule) == {"shared.yaml", "relative.yaml", "deep/back"}
    assert content(capsule, "relative.yaml") == b"shared"
    told = "\n".join(capsule.warnings)
    assert all(f": {name}\n" in f"{told}\n" for name in links.keys() - names(capsule))
    assert json.loads(content(capsule, MANIFEST))["warnings"] == list(capsule.warnings)
    put(tmp_path / "shared.yaml", "changed")
    assert content(freeze(root), "shared.yaml") == b"changed"


# --- what is remembered ---------------------------------------------------------------------


def settled(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all files had been there for long."""
    monkeypatch.setattr(archives, "_COARSE_NS", -1_000_000_000_000)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files that are read."""
    done: list[str] = []
    read = readings.ContentReader._read

    def noted(self: readings.ContentReader, item: plans.Item) -> bytes:
        done.append(item.name)
        return read(self, item)

    monkeypatch.setattr(readings.ContentReader, "_read", noted)
    return iter([done])


def test_unchanged_project_is_not_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, reads: Iterator[list[str]]
) -> None:
    settled(root, monkeypatch)
    done = next(reads)
    put(root / "a.py", "x")
    first = freeze(root)
    assert freeze(root) == first
    assert done == ["a.py"]
    put(root / "a.py", "y")
    second = freeze(root)
    assert second.name != first.name
    assert freeze(root) == second
    (root / "a.py").chmod(0o755)
    assert freeze(root).name != second.name
    assert done == ["a.py"] * 3
    freeze(root, exclude=("*.csv",))
    assert len(done) == 3  # the settings say the same of these files


@pytest.mark.parametrize("loss", ["cache", "damaged cache", "archive", "cut archive"])
def test_losing_what_is_remembered_costs_time_only(
    root: Path, monkeypatch: pytest.MonkeyPatch, reads: Iterator[list[str]], loss: str
) -> None:
    settled(root, monkeypatch)
    done = next(reads)
    put(root / "a.py", "x")
    first = freeze(root)
    whole = first.archive.read_bytes()
    (remembered,) = cache.folder().glob("code-*.json")
    assert stat.S_IMODE(remembered.stat().st_mode) == 0o600
    if loss == "cache":
        remembered.unlink()
    elif loss == "damaged cache":
        remembered.write_text('{"name": 3}')
    elif loss == "archive":
        first.archive.unlink()
    else:
        first.archive.write_bytes(b"")
    assert freeze(root) == first
    assert first.archive.read_bytes() == whole
    assert done == ["a.py", "a.py"]
    assert len(list(first.archive.parent.iterdir())) == 1


def test_another_key_is_looked_for_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settled(root, monkeypatch)
    put(root / "a.py", SECRET)
    freeze(root, secrets=())
    with pytest.raises(UsageError):
        freeze(root)
    (remembered,) = cache.folder().glob("code-*.json")
    assert SECRET not in remembered.read_text()


def test_file_changed_within_the_clocks_grain_is_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root / "a.py", "x")
    state = (root / "a.py").stat()
    lstat = os.lstat

    def coarse(path: str) -> os.stat_result:
        """A file system whose time stamps are of whole hours, as far as this file goes."""
        return state if str(path).endswith("a.py") else lstat(path)

    monkeypatch.setattr("savethat.code.files.os.lstat", coarse)
    first = freeze(root)
    (root / "a.py").write_text("y")
    second = freeze(root)
    assert second.name != first.name
    assert content(second, "a.py") == b"y"


def test_clock_of_the_file_system_counts_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an hour behind: what has just changed looks old."""
    put(root / "a.py", "x")
    now = time.time_ns()
    monkeypatch.setattr("savethat.code.archive.time.time_ns", lambda: now + 3_600_000_000_000)
    freeze(root)
    assert not list(cache.folder().glob("code-*.json"))


@pytest.mark.parametrize("changes", [0, 1, 3, 99])
def test_file_that_changes_while_it_is_read_ends_as_one_of_its_states(
    root: Path, monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    settled(root, monkeypatch)
    monkeypatch.setattr(readings, "_TICK_NS", 0)
    put(root / "hot.log", "0" * 5000)
    calls = 0

    class Torn(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            """Half of the file before a change, half after it."""
            nonlocal calls
            calls += 1
            first = super().read(2500)
            if calls <= changes:
                put(root / "hot.log", f"{calls % 10}" * 5000)
            return first + super().read()

    monkeypatch.setattr(readings, "open", lambda path, *_, **__: Torn(path), raising=False)
    capsule = freeze(root)
    is_steady = changes < 5
    if is_steady:
        assert content(capsule, "hot.log") == f"{changes}".encode() * 5000
    assert calls == min(changes + 1, 5)
    assert [warning for warning in capsule.warnings if "changed while" in warning] == (
        [] if is_steady else ["changed while it was read: hot.log"]
    )
    assert bool(list(cache.folder().glob("code-*.json"))) == is_steady


def test_change_that_leaves_no_trace_in_the_time_stamps(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two looks at a file that was written just now must be alike."""
    put(root / "hot.log", "x")
    looks = iter(["a", "b", "c", "c"])

    class Changing(io.FileIO):
        def read(self, size: int | None = -1) -> bytes:
            return next(looks).encode()

    monkeypatch.setattr(readings, "_TICK_NS", 3_600_000_000_000)
    monkeypatch.setattr(readings, "open", lambda path, *_, **__: Changing(path), raising=False)
    capsule = freeze(root)
    assert content(capsule, "hot.log") == b"c"
    assert capsule.warnings == ()


def test_file_that_goes_while_the_code_is_captured(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root / "a.py")
    put(root / "b.py")
    planned = plans.planned

    def late(folder: Path, *rest: object) -> object:
        items = planned(folder, *rest)  # type: ignore[arg-type]
        (root / "a.py").unlink(missing_ok=True)
        return items

    monkeypatch.setattr(archives, "planned", late)
    assert names(freeze(root)) == {"b.py"}


def test_captures_that_were_killed_are_cleared_away(root: Path) -> None:
    put(root / "a.py")
    folder = freeze(root).archive.parent
    for age, name in ((100_000, "old"), (100, "new")):
        put(folder / f".savethat-part-{name}")
        os.utime(folder / f".savethat-part-{name}", (time.time() - age,) * 2)
    put(root / "b.py")
    freeze(root)
    assert [path.name for path in folder.glob(".savethat-part-*")] == [".savethat-part-new"]


# --- other local packages -------------------------------------------------------------------


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs a package of one module as pip's editable installs are, and imports it."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def run(name: str, folder: Path, below: str = "", *, editable: bool = True) -> Path:
        put(folder / below / name / "__init__.py", "from . import part\n")
        put(folder / below / name / "part.py")
        put(folder / "pyproject.toml", "[project]\n")
        put(site / f"{name}-1.2.dist-info" / "METADATA", f"Name: {name}\nVersion: 1.2\n")
        origin = {"url": folder.as_uri(), "dir_info": {"editable": editable}}
        put(site / f"{name}-1.2.dist-info" / "direct_url.json", json.dumps(origin))
        monkeypatch.syspath_prepend(str(folder / below))
        importlib.import_module(name)
        for module in (name, f"{name}.part"):
            monkeypatch.setitem(sys.modules, module, sys.modules[module])
        return folder

    return run


def freeze_all(root: Path) -> Capsule:
    config = project(root)
    extra = [one for one in editables(config) if one.name.startswith("lib_")]
    return capture(config, config.local_path, secrets=[SECRET], extra=extra)


def test_editable_packages_are_captured_with_what_was_imported(
    root: Path, tmp_path: Path, install: Callable[..., Path]
) -> None:
    put(root / "node.py")
    one = install("lib_one", tmp_path / "one dir", "src")
    put(one / ".env", SECRET)
    git = repository(tmp_path / "two")
    put(tmp_path / "two" / ".gitignore", "*.so\n_version.py\nlib_two/part.py\n__pycache__/\n")
    two = install("lib_two", tmp_path / "two")
    put(two / "lib_two" / "_version.py")
    git("add", ".")
    install("lib_not", tmp_path / "not", editable=False)
    capsule = freeze_all(root)
    assert names(capsule) == {
        "node.py",
        ".savethat-packages/lib_one/pyproject.toml",
        ".savethat-packages/lib_one/src/lib_one/__init__.py",
        ".savethat-packages/lib_one/src/lib_one/part.py",
        ".savethat-packages/lib_two/.gitignore",
        ".savethat-packages/lib_two/pyproject.toml",
        ".savethat-packages/lib_two/lib_two/__init__.py",
        ".savethat-packages/lib_two/lib_two/part.py",
    }
    found = [(p.name, p.version, p.folder, p.captured, p.paths) for p in capsule.packages]
    assert found == [
        ("lib_one", "1.2", one, True, (".savethat-packages/lib_one/src",)),
        ("lib_two", "1.2", two, True, (".savethat-packages/lib_two",)),
    ]
    assert capsule.packages[0].url == one.as_uri()
    assert json.loads(content(capsule, MANIFEST))["packages"][0] == {
        "name": "lib_one",
        "version": "1.2",
        "captured": True,
        "paths": [".savethat-packages/lib_one/src"],
    }
    assert str(tmp_path).encode() not in plain(capsule)


def test_large_package_is_recorded_only(
    root: Path, tmp_path: Path, install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages_room, "MOST_PACKAGE_BYTES", 1_000_000)
    put(install("lib_large", tmp_path / "large") / "data.bin", "x" * 1_200_000)
    capsule = freeze_all(root)
    assert names(capsule) == set()
    assert [(p.captured, p.paths) for p in capsule.packages] == [(False, ())]
    assert "lib_large is not frozen" in capsule.warnings[0]
    assert "1.2 MB" in capsule.warnings[0]


def test_package_inside_the_project_and_around_it(
    root: Path, tmp_path: Path, install: Callable[..., Path]
) -> None:
    put(root / "savethat.toml")
    put(root / "node.py")
    install("lib_inside", root / "libs" / "inside", "src")
    install("lib_around", tmp_path)
    capsule = freeze_all(root)
    paths = {package.name: package.paths for package in capsule.packages}
    assert paths["lib_inside"] == ("libs/inside/src",)
    assert paths["lib_around"] == (".savethat-packages/lib_around",)
    assert "libs/inside/src/lib_inside/part.py" in names(capsule)
    assert ".savethat-packages/lib_around/lib_around/part.py" in names(capsule)
    assert not [name for name in names(capsule) if "lib_around/project/" in name]


def test_the_project_itself_savethat_and_what_is_not_imported_are_no_packages(
    root: Path, tmp_path: Path, install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("lib_own", root)
    install("lib_unused", tmp_path / "unused")
    for module in ("lib_unused", "lib_unused.part"):
        monkeypatch.delitem(sys.modules, module)
    assert {"lib_own", "lib_unused", "savethat"}.isdisjoint(
        one.name for one in editables(project(root))
    )


def test_module_that_is_not_found_as_it_lies_is_not_captured(
    root: Path, tmp_path: Path, install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("lib_hook", tmp_path / "hook")
    module = sys.modules["lib_hook"]
    for name in ("lib_hook", "lib_hook.part"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lib_other", module)
    capsule = freeze_all(root)
    assert [package.captured for package in capsule.packages] == [False]
    assert "import hook" in capsule.warnings[0]


@pytest.mark.usefixtures("without_git")
def test_a_folder_of_too_many_files_is_no_project(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("savethat.code.files.MOST_FILES", 3)
    for number in range(3):
        put(root / f"{number}.py")
    assert len(names(freeze(root))) == 3
    put(root / "one_more.py")
    with pytest.raises(UsageError, match="more than 3 files"):
        freeze(root)
