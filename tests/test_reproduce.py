"""A run made elsewhere, in an environment of its own, is run again and compared."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import savethat
from tests.program import Project
from tests.test_environment import repack, wheel
from tests.test_frozen_code import git

# What the command line of a local-only project needs.
NEEDED = (
    *("click", "loguru", "typing-extensions", "psutil", "filelock", "platformdirs", "tomli"),
    *("typed-argument-parser", "reproducible"),
)
NODE = """
import dataclasses
import random

import savethat
import tiny


@dataclasses.dataclass(frozen=True)
class DrawArgs:
    seed: int
    data: str = "numbers"


class Draw(savethat.Node[DrawArgs, dict[str, object]]):
    def _run(self) -> dict[str, object]:
        path = self.storage.download(self.args.data)
        numbers = [float(line) for line in (path / "a.txt").read_text().split()]
        draw = random.Random(self.args.seed).random()
        (self.output_dir / "out.csv").write_text(f"draw,{draw + sum(numbers)}\\n")
        return {"draw": draw, "sum": sum(numbers), "tiny": len(tiny.VERSION)}
"""


def closure(names: tuple[str, ...]) -> set[str]:
    """These packages and all that they need, of those that are installed."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = re.split(r"[^\w.-]", todo.pop(), maxsplit=1)[0].lower()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if name not in found:
            found.add(name)
            todo += [need for need in distribution.requires or () if "extra ==" not in need]
    return found


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheelhouse")
    for name in sorted(closure(NEEDED)):
        repack(folder, name)
    wheel(folder, "tiny", "1.0")
    wheel(folder, "tiny", "2.00")
    return folder


@pytest.fixture(scope="module")
def pythons(wheelhouse: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two environments that differ in the version of one package."""
    made = {}
    for version in ("1.0", "2.00"):
        env = tmp_path_factory.mktemp("env") / "env"
        subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
        python = env / "bin" / "python"
        names = [f"tiny=={version}", *closure(NEEDED)]
        command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", *names]
        subprocess.run([*command, *offline(wheelhouse)], check=True)
        (site,) = env.glob("lib/python*/site-packages")
        (site / "own.pth").write_text(f"{Path(savethat.__file__).parent.parent}\n")
        made[version] = python
    return made


def offline(wheelhouse: Path) -> list[str]:
    return ["--no-index", "--find-links", str(wheelhouse)]


def savethat_in(project: Project, python: Path, *args: str, code: int = 0) -> str:
    """savethat of an environment, in a project; what it prints."""
    done = subprocess.run(
        [str(python), "-m", "savethat", *args],
        cwd=project.root,
        env=project.env,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def clones(tmp_path: Path, wheelhouse: Path) -> tuple[Project, Project]:
    """Two clones of one project, that keep their runs in one place."""
    runs = tmp_path / "runs"
    env = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheelhouse), "PYTHONHASHSEED": "1"}
    first = Project.make(
        tmp_path / "first" / "experiments",
        home=tmp_path / "home",
        toml=f'local_path = "{runs}"\n',
        env=env,
    )
    (first.root / "experiments" / "draw.py").write_text(NODE)
    git(first.root, "init", "-q", "-b", "main")
    git(first.root, "add", "-A")
    git(first.root, "commit", "-qm", "first")
    second = tmp_path / "second" / "experiments"
    shutil.copytree(first.root, second)
    (runs / "numbers").mkdir(parents=True)
    (runs / "numbers" / "a.txt").write_text("1\n2\n")
    return first, Project(second, first.env)


def reproduce(project: Project, python: Path, *args: str, code: int) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(
        savethat_in(project, python, "reproduce", "--json", *args, code=code)
    )
    return answer


def differing(answer: dict[str, Any]) -> set[tuple[str, str]]:
    return {(found["what"], found["name"]) for found in answer["differences"]}


def test_a_run_of_another_clone_and_environment_is_reproduced_and_changes_are_named(
    clones: tuple[Project, Project], pythons: dict[str, Path], tmp_path: Path
) -> None:
    first, second = clones
    module = first.root / "experiments" / "draw.py"
    module.write_text(module.read_text().replace("import random\n", "import random  # changed\n"))
    key = savethat_in(first, pythons["1.0"], "run", "Draw", "--seed", "3").split()[-1]
    git(first.root, "commit", "-qam", "later")
    there = second.root / "experiments" / "draw.py"
    there.write_text(there.read_text().replace("random()", "gauss(0, 1)"))

    # Elsewhere, with other packages and other code: the recorded ones are had again.
    answer = reproduce(second, pythons["2.00"], key, code=0)
    assert answer["equal_outcome"] is True
    assert answer["same"] is True, answer["differences"]
    assert answer["b"] != key
    shown = json.loads(savethat_in(second, pythons["1.0"], "show", "--json", answer["b"]))
    assert shown["reproduces"] == key
    provenance = json.loads((tmp_path / "runs" / answer["b"] / "reproducible.json").read_text())
    assert provenance["origin"]["reproduces"] == key

    # In the queue, too: the code and the packages are the run's own.
    queued = reproduce(second, pythons["2.00"], "--detach", key, code=0)
    assert queued["same"] is True, queued["differences"]

    # A changed package is named.
    changed = reproduce(second, pythons["2.00"], "--here", key, code=1)
    assert ("packages", "tiny") in differing(changed)

    # A changed input is named, and so is what follows from it.
    (tmp_path / "runs" / "numbers" / "a.txt").write_text("1\n3\n")
    changed = reproduce(second, pythons["1.0"], "--here", key, code=1)
    assert ("inputs", "numbers/a.txt") in differing(changed)
    assert ("result", "sum") in differing(changed)
    assert ("files", "out.csv") in differing(changed)
    assert not [name for what, name in differing(changed) if what in ("code", "packages", "args")]

    # A changed seed is named.
    other = savethat_in(first, pythons["1.0"], "run", "Draw", "--seed", "4").split()[-1]
    done = savethat_in(first, pythons["1.0"], "diff", "--json", key, other, code=1)
    assert {("args", "seed"), ("result", "draw")} <= differing(json.loads(done))
    plain = savethat_in(first, pythons["1.0"], "diff", changed["b"], changed["b"], code=0)
    assert plain == ""


def test_code_that_was_not_frozen_is_had_from_its_commit_and_diff(
    clones: tuple[Project, Project], pythons: dict[str, Path]
) -> None:
    first, _ = clones
    toml = first.root / "savethat.toml"
    toml.write_text(toml.read_text() + "[code]\ncapsule = false\n")
    module = first.root / "experiments" / "draw.py"
    module.write_text(module.read_text().replace("random()", "random() + 1"))
    key = savethat_in(first, pythons["1.0"], "run", "Draw", "--seed", "3").split()[-1]
    module.write_text(module.read_text().replace("random() + 1", "random() + 2"))
    answer = reproduce(first, pythons["1.0"], "--here", key, code=0)
    assert answer["equal_outcome"] is True


def test_what_cannot_be_reproduced_says_why(
    clones: tuple[Project, Project], pythons: dict[str, Path], wheelhouse: Path
) -> None:
    first, _ = clones
    python = pythons["1.0"]
    key = savethat_in(first, python, "run", "Draw", "--seed", "3").split()[-1]
    env = {**first.env, "PIP_FIND_LINKS": os.devnull}
    done = Project(first.root, env)
    record = json.loads((first.root.parent.parent / "runs" / key / "reproducible.json").read_text())
    record["packages"]["tiny"] = "9.9"
    (first.root.parent.parent / "runs" / key / "reproducible.json").write_text(json.dumps(record))
    failed = subprocess.run(
        [str(python), "-m", "savethat", "reproduce", key],
        cwd=done.root,
        env=done.env,
        text=True,
        capture_output=True,
        check=False,
    )
    assert failed.returncode != 0
    assert "--here" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert savethat_in(first, python, "reproduce", "nope", code=4) == ""
