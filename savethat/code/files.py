"""Which files of a folder make up its code."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from savethat.code import git
from savethat.code.patterns import fixed_folder, matcher, normal
from savethat.code.secrets import is_secret, is_surprising
from savethat.config import CodeConfig
from savethat.errors import UsageError
from savethat.run.key import parse_key

_NEVER = re.compile(r"(?:.*/)?(?:\.git(?:/.*)?|\.savethat[^/]*(?:/.*)?)", re.DOTALL)
# What tools leave behind: not code, unless git tracks it.
_LEFT_BEHIND = re.compile(
    r"""(?:.*/)?(?:
        (?:__pycache__|\.tox|\.nox|\.mypy_cache|\.ruff_cache|\.pytest_cache|\.ipynb_checkpoints
           |node_modules|\.hg|\.svn|\.bzr|[^/]*\.egg-info)(?:/.*)?
        | [^/]*\.py[co]
    )""",
    re.VERBOSE | re.DOTALL,
)
_VENV = "pyvenv.cfg"
# A folder with more files is not a project: a home folder, say, would be walked for minutes.
MOST_FILES = 100_000


@dataclasses.dataclass(frozen=True)
class Listing:
    """The files of a folder.

    Args:
        files: the state of each, by its path relative to the folder; links are not followed.
        warnings: what the user should know.
    """

    files: dict[str, os.stat_result]
    warnings: tuple[str, ...] = ()


def list_code(folder: Path, code: CodeConfig, apart: Sequence[Path] = ()) -> Listing:
    """The files that make up the code in a folder.

    In a git checkout those that git tracks, and those it neither tracks nor ignores, with
    submodules; elsewhere all but what tools leave behind. `code.include` adds to them,
    `code.exclude` takes away, and so do `apart` and the rules about secrets.

    Args:
        folder: absolute.
        code: what to include and to exclude.
        apart: folders, absolute, that are left out where they lie in `folder`.

    Raises:
        UsageError: the folder cannot be read, git refuses to list it, or it has too many files.
    """
    excluded = matcher(code.exclude, folder)
    is_apart = _apart(folder, apart)
    secrets: set[str] = set()
    warnings: list[str] = []
    files: dict[str, os.stat_result] = {}

    def is_out(path: str) -> bool:
        return bool(_NEVER.fullmatch(path) or is_apart(path) or excluded(path))

    def add(paths: Iterable[str]) -> None:
        for path in paths:
            if path in files or is_out(path):
                continue
            if is_secret(path):
                secrets.add(path)
                continue
            try:
                found = os.lstat(f"{folder}/{path}")
            except (FileNotFoundError, NotADirectoryError):
                continue  # deleted, though git still tracks it
            if stat.S_ISDIR(found.st_mode):
                add(_in_nested(folder, warnings, path))
            elif stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
                files[path] = found
                if len(files) > MOST_FILES:
                    raise UsageError(
                        f"{folder} has more than {MOST_FILES:,} files: that is no project's code",
                        "put a savethat.toml into the project's own folder, or set `[code] exclude`"
                        " or `capsule = false`",
                    )

    try:
        add(_candidates(folder, warnings, is_out))
        for pattern in normal(code.include, folder):
            add(_included(folder, pattern, is_out))
    except OSError as error:
        raise UsageError(
            f"the code in {folder} cannot be read: {error.filename}: {error.strerror}",
            "make it readable, or add it to .gitignore or to `[code] exclude`",
        ) from error
    _drop_behind_links(files)
    if surprising := sorted(filter(is_surprising, secrets)):
        warnings.append(f"left out, as such files hold secrets: {', '.join(surprising)}")
    return Listing(files, tuple(warnings))


def _candidates(folder: Path, warnings: list[str], is_out: Callable[[str], bool]) -> Iterable[str]:
    try:
        return _in_checkout(folder)
    except git.NoCheckoutError as error:
        if (folder / ".git").exists():
            warnings.append(f"{error}: the code is taken with the files that .gitignore names")
        return _walked(folder, "", is_out)


def _in_checkout(folder: Path, below: str = "") -> list[str]:
    tracked, untracked = git.listed(folder / below)
    # A virtual environment that is not ignored yet.
    venvs = tuple(
        path.removesuffix(_VENV)
        for path in untracked
        if path.rpartition("/")[2] == _VENV and "/" in path
    )
    new = (p for p in untracked if not _LEFT_BEHIND.fullmatch(p) and not p.startswith(venvs))
    return [f"{below}{path}".rstrip("/") for path in (*tracked, *new)]


def _in_nested(folder: Path, warnings: list[str], path: str) -> Iterable[str]:
    """The files of a submodule, or of another repository in the checkout."""
    link = folder / path / ".git"
    if link.is_file() and "/worktrees/" in link.read_text(errors="replace"):
        warnings.append(f"left out, as it is another working tree of a repository: {path}")
    elif link.exists():  # else a submodule that was never checked out
        return _in_checkout(folder, f"{path}/")
    return ()


def _walked(folder: Path, below: str, is_out: Callable[[str], bool]) -> Iterator[str]:
    folders = [below]
    while folders:
        here = folders.pop()
        with os.scandir(folder / here) as entries:
            found = list(entries)
        if here != below and any(entry.name == _VENV for entry in found):
            continue
        for entry in found:
            path = f"{here}{entry.name}"
            if _LEFT_BEHIND.fullmatch(entry.name):
                continue
            if not entry.is_dir(follow_symlinks=False):
                yield path
            elif not is_out(f"{path}/"):
                folders.append(f"{path}/")


def _included(folder: Path, pattern: str, is_out: Callable[[str], bool]) -> Iterator[str]:
    matches = matcher([pattern], folder)
    below = fixed_folder(pattern)
    if (folder / below).is_dir():
        yield from filter(matches, _walked(folder, below and f"{below}/", is_out))


def _drop_behind_links(files: dict[str, os.stat_result]) -> None:
    """Takes out what git tracks in a folder that is a link by now."""
    links = tuple(f"{path}/" for path, found in files.items() if stat.S_ISLNK(found.st_mode))
    if links:
        for path in [path for path in files if path.startswith(links)]:
            del files[path]


def _apart(folder: Path, apart: Sequence[Path]) -> Callable[[str], bool]:
    """Says whether a path, relative to `folder`, lies in one of the folders `apart`."""
    inside: list[str] = []
    holds_runs = False
    for base, one in [(folder, one) for one in apart] + [
        # Either may be written with a link in it.
        (Path(os.path.realpath(folder)), Path(os.path.realpath(one)))
        for one in apart
    ]:
        if one == base:
            holds_runs = True
        elif one.is_relative_to(base):
            inside.append(f"{one.relative_to(base)}/")
    prefixes = tuple(inside)

    def is_apart(path: str) -> bool:
        return f"{path}/".startswith(prefixes) or (
            holds_runs and parse_key(path.partition("/")[0]) is not None
        )

    return is_apart
