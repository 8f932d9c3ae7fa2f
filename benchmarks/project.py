"""A user's project for a benchmark: what `savethat init` makes, with more modules, in git."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.bench import timed

PACKAGE = "bench"
_AUTHOR = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "A Benchmark"), ("EMAIL", "benchmark@example.com"))
}


def make_project(python: Path, folder: Path, modules: Mapping[str, str]) -> None:
    """Makes a project whose package is called `bench`, with everything committed.

    Args:
        python: the interpreter that has savethat.
        folder: where; not there yet.
        modules: paths in the project, and what is in these files.
    """
    timed([python, "-m", "savethat", "init", PACKAGE], cwd=folder.parent)
    (folder.parent / PACKAGE).rename(folder)
    for path, text in modules.items():
        (folder / path).write_text(text)
    timed(["git", "init", "--quiet"], cwd=folder)
    timed(["git", "add", "--all"], cwd=folder)
    timed(["git", "commit", "--quiet", "--message", "A project"], cwd=folder, env=_AUTHOR)
