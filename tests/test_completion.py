"""Completion, as shells ask for it: bash itself, zsh and fish by what their scripts exchange."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from savethat.cli.completing import NodeCommand, complete_nodes, sources
from savethat.cli.completing import project as completing_project
from savethat.cli.completing.keys import MOST_KEYS, recall_keys
from savethat.cli.completing.learning import forget_keys, remember_keys
from savethat.cli.completing.modules import find_modules
from savethat.cli.main import COMMANDS
from savethat.cli.session import Session
from tests.program import Project

OLD = "Add_2026-11-23T08-05-52_k3x9w2pq"
NEW = "End_2026-11-24T08-05-52_bcdfghjk"
HEAVY = {"b2sdk", "experiments", "filelock", "loguru", "rich", "sqlite3", "submitit", "tap"}

FIT = '''\
import dataclasses
import enum
from pathlib import Path
from typing import ClassVar, Literal

import savethat

(Path(__file__).parent / "imported").touch()


class Device(enum.Enum):
    CPU = 0
    GPU = 1


@dataclasses.dataclass(frozen=True)
class Opt:
    lr: float = 0.1  # the learning rate


@dataclasses.dataclass(frozen=True)
class BaseArgs:
    unused: ClassVar[int] = 0
    n_times: int  # how often


@dataclasses.dataclass(frozen=True)
class FitArgs(BaseArgs):
    optimizer: Literal["adam", "adagrad", "sgd"] = "sgd"
    device: "Device" = Device.CPU
    amp: bool = False
    out: Path | None = None
    layers: list[Literal["wide", "deep"]] = dataclasses.field(default_factory=list)
    opt: Opt = Opt()  # of the optimizer


class Fit(savethat.Node[FitArgs, int]):
    """Fits: a line.

    Or a curve.
    """

    def _run(self) -> int:
        return 1


class Abstract(savethat.Node[FitArgs, int]):
    pass


class Refit(Abstract):
    def _run(self) -> int:
        return 2
'''


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project.make(tmp_path / "project", home=tmp_path / "home")
    for path in (made.root / "experiments").glob("[!_]*.py"):
        if path.name != "nodes.py":
            path.unlink()
    (made.root / "experiments" / "fit.py").write_text(FIT)
    return made


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str, str]:
    """A project with a completed and a failed run."""
    tmp_path = tmp_path_factory.mktemp("runs")
    made = Project.make(tmp_path / "project", home=tmp_path / "home")
    return made, made.key("Add", "--a", "1"), made.key("End", "--how", "raise", code=1)


def ask(
    project: Project,
    line: str,
    *,
    shell: str = "bash",
    cwd: Path | None = None,
    env: Mapping[str, str] = {},
) -> str:
    """What a shell is told for a line whose last word is being typed."""
    words = line.split(" ")
    last = str(len(words) - 1) if shell != "fish" else words[-1]
    done = subprocess.run(
        [sys.executable, "-m", "savethat"],
        env={
            **project.env,
            "_SAVETHAT_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": "\n".join(words),
            "COMP_CWORD": last,
            **env,
        },
        cwd=cwd or project.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def words(project: Project, line: str, *, cwd: Path | None = None) -> list[str]:
    """The words that are offered."""
    lines = ask(project, line, cwd=cwd).splitlines()
    return [line.removeprefix("plain,") for line in lines if line]


def helps(project: Project, line: str) -> dict[str, str]:
    """The words that are offered, with their help."""
    lines = ask(project, line, shell="zsh").splitlines()
    return dict(zip(lines[1::3], lines[2::3], strict=True))


def memory_file(project: Project) -> Path:
    (file,) = (Path(project.env["HOME"]) / ".cache" / "savethat").glob("completion-*")
    return file


def keys_file(project: Project) -> Path:
    (file,) = (Path(project.env["HOME"]) / ".cache" / "savethat").glob("keys-*")
    return file


# --- shells ---------------------------------------------------------------------------------------


def bash(project: Project, *words: str) -> list[str]:
    """What bash offers, asked through the script."""
    script = """
        source <(savethat completion bash)
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _savethat_completion savethat
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *words],
        env={**project.env, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        cwd=project.root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_and_keys(project: Project) -> None:
    for key in (OLD, NEW):
        (project.data / key).mkdir(parents=True)
    assert bash(project, "savethat", "") == list(COMMANDS)
    assert bash(project, "savethat", "no") == ["nodes"]
    assert bash(project, "savethat", "--pro") == ["--project"]
    assert bash(project, "savethat", "completion", "") == ["bash", "zsh", "fish"]
    assert bash(project, "savethat", "ls", "--st") == ["--status"]
    assert bash(project, "savethat", "ls", "--status", "f") == ["failed"]
    assert bash(project, "savethat", "ls", "--status", "=", "f") == ["failed"]
    assert bash(project, "savethat", "ls", "--status", "=") == bash(
        project, "savethat", "ls", "--status", ""
    )
    assert bash(project, "savethat", "ls", "--node", "Fi") == ["Fit"]
    for command in ("ls", "rm", "download", "upload"):
        assert bash(project, "savethat", command, "Add") == [OLD]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(project: Project, shell: str) -> None:
    script = project.run("completion", shell).stdout
    assert f"_SAVETHAT_COMPLETE={shell}_complete" in script
    assert "\n" in script


def test_an_unknown_shell_is_a_usage_error(project: Project) -> None:
    assert "bash" in project.run("completion", "tcsh", code=2).stderr


def test_zsh_and_fish_are_told_help_too(project: Project) -> None:
    assert ask(project, "savethat run Fi", shell="zsh") == "plain\nFit\nFits: a line.\n"
    assert ask(project, "savethat run Fi", shell="fish") == "plain,Fit\tFits: a line.\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_where_an_equals_sign_is_part_of_a_word_the_whole_word_is_offered(
    project: Project, shell: str
) -> None:
    for line, whole in (
        ("savethat ls --status=f", "--status=failed"),
        ("savethat run Fit --optimizer=sg", "--optimizer=sgd"),
    ):
        assert ask(project, line, shell=shell).replace("\n", ",").split(",")[1] == whole
    assert ask(project, "savethat run Fit --n_times=", shell=shell) == "\n"


def test_where_bash_takes_words_apart_they_are_put_together_again(project: Project) -> None:
    def offered(*words: str) -> list[str]:
        return ask(project, " ".join(["savethat", "run", *words])).split()

    assert offered("--time", "4", ":", "00", "Fi") == ["plain,Fit"]
    assert offered("--time", "=", "4", ":", "00", "Fi") == ["plain,Fit"]
    assert offered("Fit", "--optimizer", "=", "s") == ["plain,sgd"]
    assert offered("Fit", "--optimizer", "=") == ["plain,adam", "plain,adagrad", "plain,sgd"]
    assert "plain,--amp" in offered("Fit", "--optimizer", "=", "sgd", "--")
    assert "plain,--optimizer" not in offered("Fit", "--optimizer", "=", "sgd", "--")


# --- nodes and their arguments --------------------------------------------------------------------


@pytest.fixture(params=["remembered", "from source"])
def either(request: pytest.FixtureRequest, project: Project) -> Project:
    """A project whose nodes were listed, and one in which nothing was done yet."""
    if request.param == "remembered":
        project.run("nodes")
        assert memory_file(project).is_file()
    return project


def test_nodes_are_offered_by_their_class(either: Project) -> None:
    offered = words(either, "savethat run ")
    assert {"Add", "End", "Fit", "Refit"} <= {*offered}
    assert {"Abstract", "Device", "FitArgs", "Opt"}.isdisjoint(offered)
    assert words(either, "savethat run --slurm --time 3 A") == ["Add"]
    assert words(either, "savethat run X") == []
    assert helps(either, "savethat run F")["Fit"] == "Fits: a line."


def test_nodes_are_offered_by_any_tail_of_their_name(either: Project) -> None:
    assert words(either, "savethat run nodes.A") == ["nodes.Add"]
    assert words(either, "savethat run experiments.f") == [
        "experiments.fit.Fit",
        "experiments.fit.Refit",
    ]


def test_nodes_that_share_a_class_name_are_offered_by_their_dotted_names(project: Project) -> None:
    deeper = project.root / "experiments" / "deeper"
    deeper.mkdir()
    (deeper / "fit.py").write_text(FIT)
    names = ["experiments.fit.Fit", "experiments.deeper.fit.Fit"]
    assert words(project, "savethat run Fi") == names
    assert words(project, "savethat run deeper.") == ["deeper.fit.Fit", "deeper.fit.Refit"]
    assert words(project, "savethat run fit.") == []
    assert words(project, "savethat run Fit --") == ["--help"]
    assert "--amp" in words(project, "savethat run deeper.fit.Fit --")


FLAGS = ["--n_times", "--optimizer", "--device", "--amp", "--out", "--layers", "--opt.lr", "--help"]


@pytest.mark.parametrize("name", ["Fit", "fit.Fit", "experiments.fit.Fit", "Refit"])
def test_behind_a_node_its_own_options_are_offered(either: Project, name: str) -> None:
    for typed in ("", "-", "--"):
        assert words(either, f"savethat run --slurm {name} {typed}") == FLAGS
    assert words(either, f"savethat run {name} --n_times 3 --amp --o") == [
        *("--optimizer", "--out", "--opt.lr")
    ]
    assert words(either, f"savethat run {name} --n_times=3 --n") == []
    assert words(either, f"savethat run {name} --slu") == []
    assert words(either, "savethat run --slu") == ["--slurm"]


def test_options_are_spelled_as_the_user_does(either: Project) -> None:
    assert words(either, "savethat run Fit --n-t") == ["--n-times"]
    assert words(either, "savethat run Fit --n_t") == ["--n_times"]
    assert words(either, "savethat run Fit --n-times 3 --n") == []
    assert words(either, "savethat run Fit --no") == ["--no_amp", "--no_out"]
    assert words(either, "savethat run Fit --no-a") == ["--no-amp"]


def test_options_come_with_their_comment_and_type(either: Project) -> None:
    assert helps(either, "savethat run Fit --n") == {"--n_times": "how often (int)"}
    assert helps(either, "savethat run Fit --opt.") == {"--opt.lr": "the learning rate (float)"}


def test_values_are_offered_where_they_are_few(either: Project) -> None:
    assert words(either, "savethat run Fit --optimizer ") == ["adam", "adagrad", "sgd"]
    assert words(either, "savethat run Fit --optimizer ada") == ["adam", "adagrad"]
    assert words(either, "savethat run Fit --device ") == ["CPU", "GPU"]
    assert words(either, "savethat run Fit --amp ") == ["true", "false"]
    assert words(either, "savethat run Fit --layers d") == ["deep"]
    assert words(either, "savethat run Fit --n_times ") == []
    assert words(either, "savethat run Fit --no_amp ") == [f for f in FLAGS if f != "--no_amp"]
    assert ask(either, "savethat run Fit --out da") == "file,da\n"


def test_behind_a_node_options_of_the_command_s_are_none(project: Project) -> None:
    @click.command("try", cls=NodeCommand, context_settings={"allow_interspersed_args": False})
    @click.option("--optimizer", type=click.Choice(["ours"]))
    @click.argument("node", shell_complete=complete_nodes)
    @click.argument("node_args", nargs=-1, type=click.UNPROCESSED)
    def command() -> None: ...

    def offered(*words: str) -> list[str]:
        session = Session(project=project.root)
        shell = BashComplete(click.Group("all", [command]), {"obj": session}, "all", "ALL")
        return [item.value for item in shell.get_completions(["try", *words[:-1]], words[-1])]

    assert offered("--o") == ["--optimizer"]
    assert offered("--optimizer", "") == ["ours"]
    assert offered("--optimizer", "ours", "Fi") == ["Fit"]
    assert offered("Fit", "--op") == ["--optimizer", "--opt.lr"]
    assert offered("Fit", "--optimizer", "a") == ["adam", "adagrad"]
    assert offered("--optimizer", "ours", "Fit", "--amp", "--") == [
        f for f in FLAGS if f != "--amp"
    ]


def test_an_unknown_node_has_no_options(project: Project) -> None:
    assert words(project, "savethat run Nothing --a") == []


def test_what_only_imports_tell_is_remembered(project: Project) -> None:
    path = project.root / "experiments" / "heirs.py"
    heir = "from experiments.fit import Fit\n\nclass Heir(Fit):\n    pass\n"
    path.write_text(heir)
    assert words(project, "savethat run He") == []
    project.run("nodes")
    assert words(project, "savethat run He") == ["Heir"]
    path.write_text(heir + "\n")
    assert words(project, "savethat run He") == ["Heir"]
    assert words(project, "savethat run Heir --") == FLAGS


def test_what_was_edited_is_seen_at_once(project: Project) -> None:
    project.run("nodes")
    path = project.root / "experiments" / "fit.py"
    path.write_text(FIT.replace("n_times", "n_steps").replace("class Refit", "class Again"))
    (path.parent / "new.py").write_text(FIT.replace("class Fit(", "class New("))
    assert words(project, "savethat run Re") == ["Refit"]  # the new module's
    assert words(project, "savethat run Fit --n_s") == ["--n_steps"]
    assert words(project, "savethat run Ag") == ["Again"]
    assert words(project, "savethat run Ne") == ["New"]
    path.write_text(FIT + "\nclass Half(")
    assert words(project, "savethat run Fi") == ["Fit"]
    path.unlink()
    assert words(project, "savethat run Fi") == []


def test_nodes_of_another_project_are_not_offered(project: Project, tmp_path: Path) -> None:
    project.run("nodes")
    other = Project.make(tmp_path / "other", home=tmp_path / "home")
    for path in (other.root / "experiments").glob("[!_]*.py"):
        path.unlink()
    assert words(project, f"savethat --project {other.root} run ") == []


def test_reading_source_has_an_end(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    package = project.root / "experiments"
    for number in range(350):
        (package / f"m{number:03}.py").write_text(
            f"class N{number}(Node[int, int]):\n  def _run(self): pass\n"
        )
    monkeypatch.setattr(completing_project, "_MOST_SECONDS", 60.0)
    assert 290 < len(completing_project.known_nodes(project.root, "experiments")) < 310
    monkeypatch.setattr(completing_project, "_MOST_SECONDS", 0.0)
    assert completing_project.known_nodes(project.root, "experiments") == {}


@pytest.mark.parametrize("place", ["", "src"])
@pytest.mark.parametrize("package", ["one", "deep.er"])
def test_a_package_is_found_where_python_finds_it(tmp_path: Path, place: str, package: str) -> None:
    folder = tmp_path.joinpath(place, *package.split("."))
    (tmp_path / package.split(".")[0] / "data").mkdir(parents=True)
    (folder / "sub").mkdir(parents=True)
    for name in ("__init__.py", "__main__.py", "a.py", "not-a-module.py", "sub/b.py", "notes.txt"):
        (folder / name).touch()
    found = dict(find_modules(tmp_path, package, time.monotonic() + 60))
    assert found == {
        package: folder / "__init__.py",
        f"{package}.a": folder / "a.py",
        f"{package}.sub.b": folder / "sub" / "b.py",
    }


def test_a_package_may_be_one_file(tmp_path: Path) -> None:
    assert list(find_modules(tmp_path, "one", 1e12)) == []
    (tmp_path / "one.py").touch()
    assert list(find_modules(tmp_path, "one", 1e12)) == [("one", tmp_path / "one.py")]


@pytest.mark.parametrize(
    ("source", "flags"),
    [
        ("class FitArgs:\n x: int # why\nclass Fit(Node):\n def _run(self): pass", ["--x"]),
        ("class A:\n x: int\nclass Fit(Node['A', int]):\n def _run(self): pass", ["--x"]),
        ("class Fit(Node[Args, int]):\n def _run(self): pass", []),
        ("class Fit(Fit, Node):\n def _run(self): pass", []),
        (
            "class A:\n a: 'A | None'\nclass Fit(Node[A, int]):\n def _run(self): pass",
            ["--a", "--no_a"],
        ),
        (
            "class O:\n x: Optional[int]\nclass A:\n o: O\nclass Fit(lib.BaseNode[A, int]):\n pass",
            ["--o.x", "--no_o.x"],
        ),
    ],
)
def test_source_of_any_shape_is_read(tmp_path: Path, source: str, flags: list[str]) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    found = sources.read(path)
    assert found is not None
    assert [flag.name for flag in found["Fit"].flags] == flags


@pytest.mark.parametrize("source", ["class Fit(Node", "Node\0", "class Fit(Node[int]): pass"])
def test_what_is_no_node_or_no_python_is_none(tmp_path: Path, source: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    assert not sources.read(path)


# --- run keys -------------------------------------------------------------------------------------


def remembered_keys(project: Project) -> set[str]:
    """The keys that are offered without a look into local_path."""
    elsewhere = {"SAVETHAT_LOCAL_PATH": str(project.root / "nothing")}
    offered = ask(project, "savethat download ", env=elsewhere).split()
    return {word.removeprefix("plain,") for word in offered}


def test_keys_are_known_from_a_listing_until_they_are_removed(
    runs: tuple[Project, str, str],
) -> None:
    project, completed, failed = runs
    project.run("ls")
    assert remembered_keys(project) == {completed, failed}
    assert helps(project, "savethat download ") == {completed: "completed", failed: "failed"}
    project.run("ls", "--node", "Fetch")
    project.run("ls", "Nothing")
    assert remembered_keys(project) == {completed, failed}
    project.run("rm", "--force", failed)
    assert remembered_keys(project) == {completed}


def test_a_listing_forgets_what_is_no_more(runs: tuple[Project, str, str]) -> None:
    project, completed, _ = runs
    project.run("ls")
    with keys_file(project).open("a") as file:
        file.write(f"\n{OLD} ")
    assert remembered_keys(project) >= {completed, OLD}
    project.run("ls")
    assert OLD not in remembered_keys(project)


def test_keys_are_offered_by_folder_and_latest_first(project: Project) -> None:
    for name in (OLD, NEW, "dataset", ".savethat"):
        (project.data / name).mkdir(parents=True)
    assert words(project, "savethat download ") == [NEW, OLD]
    assert words(project, f"savethat download {OLD} ") == [NEW]
    assert words(project, "savethat download d") == []


def test_one_key_is_offered_for_the_end_of_it(project: Project) -> None:
    for key in (OLD, NEW, f"{OLD[:-8]}k3zzzzzz"):
        (project.data / key).mkdir(parents=True)
    assert words(project, "savethat download k3x9") == [OLD]
    assert words(project, "savethat download w2pq") == [OLD]
    assert words(project, "savethat download k3") == []


def test_only_an_ending_is_shown_with_a_key(project: Project) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        project.env[name] = os.environ[name]
    remember_keys(project.root, {OLD: "failed", NEW: "running"})
    assert helps(project, "savethat download ") == {NEW: "_", OLD: "failed"}


# --- memory ---------------------------------------------------------------------------------------


def test_memory_is_the_user_s_alone_and_written_only_when_it_changes(
    runs: tuple[Project, str, str],
) -> None:
    project, _, _ = runs
    project.run("ls")
    project.run("nodes")
    files = [memory_file(project), keys_file(project)]
    before = [file.stat() for file in files]
    assert {stat.S_IMODE(file.st_mode) for file in before} == {0o600}
    project.run("ls")
    project.run("nodes")
    after = [file.stat() for file in files]
    assert [(file.st_ino, file.st_mtime_ns) for file in after] == [
        (file.st_ino, file.st_mtime_ns) for file in before
    ]
    assert list(files[0].parent.glob(".*")) == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"modules": {"a": 1}}', "\0"])
def test_a_damaged_memory_is_none(project: Project, content: str) -> None:
    project.run("nodes")
    file = memory_file(project)
    file.write_text(content)
    assert words(project, "savethat run A") == ["Add"]
    project.run("nodes")
    assert json.loads(file.read_text())["modules"].keys() == {
        "experiments.fit",
        "experiments.nodes",
    }


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"\xff", OLD.encode(), b"/other\n" + OLD.encode()]
)
def test_damaged_keys_are_none(runs: tuple[Project, str, str], content: bytes) -> None:
    project, completed, _ = runs
    project.run("ls")
    keys_file(project).write_bytes(content)
    assert remembered_keys(project) == set()
    project.run("ls")
    assert completed in remembered_keys(project)


def test_a_memory_that_cannot_be_kept_is_done_without(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    project.env["XDG_CACHE_HOME"] = str(tmp_path / "file")
    project.run("nodes")
    project.run("ls")
    assert words(project, "savethat run A") == ["Add"]


def test_the_latest_keys_are_remembered(tmp_path: Path) -> None:
    numbers = reversed(range(MOST_KEYS + 10))
    keys = [f"A_2026-11-23T08-05-52_{number:05}" for number in numbers]
    remember_keys(tmp_path, dict.fromkeys(reversed(keys[:-10]), "completed"))
    assert list(recall_keys(tmp_path)) == keys[:-10]
    remember_keys(tmp_path, {keys[0]: "failed", keys[-1]: "failed"})
    assert list(recall_keys(tmp_path)) == keys[:-10]
    assert recall_keys(tmp_path)[keys[0]] == "failed"
    forget_keys(tmp_path, keys[:-20])
    assert list(recall_keys(tmp_path)) == keys[-20:-10]
    remember_keys(tmp_path, {OLD: "lost", NEW: "running"}, whole=True)
    assert recall_keys(tmp_path) == {OLD: "lost", NEW: ""}


# --- in silence, at once --------------------------------------------------------------------------


def test_the_project_is_the_one_on_the_line(project: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    project.env["HOME"] = str(tmp_path)
    for spelled in (str(project.root), "../project", "~/project", "$HOME/project"):
        line = f"savethat --project {spelled} run A"
        assert words(project, line, cwd=tmp_path / "empty") == ["Add"]
    assert ask(project, "savethat --project pro") == "dir,pro\n"
    assert words(project, "savethat --project nowhere run A") == []


@pytest.mark.parametrize("toml", ["= broken", "unknown_key = 1", 'local_path = "${UNSET_HERE}"'])
def test_a_broken_configuration_has_no_completions(project: Project, toml: str) -> None:
    (project.root / "savethat.toml").write_text(toml)
    for line in ("run ", "run Fit --", "download ", "ls --node "):
        assert words(project, f"savethat {line}") == []
    assert words(project, "savethat do") == ["download"]


@pytest.mark.parametrize(
    "line", ["", "x y z", "run Fit -- --", "ls 'unclosed", "nothing -", "run --time"]
)
def test_a_strange_line_is_no_error(project: Project, line: str) -> None:
    for shell in ("bash", "zsh", "fish"):
        ask(project, f"savethat {line}", shell=shell)


def test_a_strange_question_is_no_error(project: Project) -> None:
    for env in ({"COMP_CWORD": "x"}, {"_SAVETHAT_COMPLETE": "tcsh_complete"}):
        assert ask(project, "savethat ", env=env) == ""


def test_completion_imports_little_and_nothing_of_the_user_s(project: Project) -> None:
    (project.data / OLD).mkdir(parents=True)
    imported = project.root / "experiments" / "imported"
    for line in ("savethat run Fit --", "savethat download Add", "savethat do"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "savethat"],
            env={
                **project.env,
                "_SAVETHAT_COMPLETE": "bash_complete",
                "COMP_WORDS": line,
                "COMP_CWORD": str(line.count(" ")),
            },
            cwd=project.root,
            capture_output=True,
            text=True,
            check=True,
        )
        modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "plain," in done.stdout
        assert "savethat.cli.completing.shells" in modules
        assert {name for name in modules if name.split(".")[0] in HEAVY} == set()
        assert modules.isdisjoint({"savethat.discovery", "savethat.node", "savethat.remotes"})
        assert len(modules) < 175
    assert not imported.exists()
    project.run("nodes")
    assert imported.exists()


def test_the_network_is_never_asked(project: Project) -> None:
    (project.root / "savethat.toml").write_text(
        'b2_bucket = "a-bucket"\nb2_realm = "http://127.0.0.1:9"\n'
    )
    (project.data / OLD).mkdir(parents=True)
    assert words(project, "savethat download ") == [OLD]
    assert words(project, "savethat run A") == ["Add"]
