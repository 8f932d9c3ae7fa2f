"""The command line: what it answers, what it refuses, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.program import Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("cli")
    project = Project.make(folder / "experiments", home=folder / "home")
    for number in (1, 2):
        project.key("Add", "--a", str(number))
    return project


def test_nodes_names_each_node_and_the_broken_module(project: Project) -> None:
    done = project.run("nodes")
    lines = done.stdout.splitlines()
    assert lines[0] == "Found the following executable nodes:"
    assert "  experiments.nodes.Add  - Adds two numbers." in lines
    assert "  experiments.nodes.End  - [no docstring]" in lines
    assert "experiments.broken: ImportError: this module is broken on purpose" in done.stderr
    rows = [json.loads(line) for line in project.run("nodes", "--json").stdout.splitlines()]
    assert {"node": "experiments.nodes.End", "doc": None} in rows


@pytest.mark.parametrize("name", ["Add", "nodes.Add", "experiments.nodes.Add"])
def test_a_node_s_help_shows_comments_types_and_defaults(project: Project, name: str) -> None:
    text = project.run("run", name, "--help").stdout
    assert "Adds two numbers." in text
    assert "the second number" in text
    assert "--b" in text
    assert "float" in text
    assert "1.0" in text


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["run", "Ad"], 4, ["there is no node Ad", "did you mean Add"]),
        (["run", "Add", "--a", "x"], 2, ["a", "float"]),
        (["run", "Add"], 2, ["--a"]),
        (["run", "Add", "--a", "1", "--c", "2"], 2, ["--c"]),
        (["run", "Add", "--a", "1", "--partition", "gpu"], 2, ["before the node"]),
        (["run", "--partitoin", "gpu", "Add"], 2, ["--partitoin", "--partition"]),
        (["run", "--partition", "gpu", "Add", "--a", "1"], 2, ["--slurm"]),
        (["ls", "--status", "complete"], 2, ["did you mean completed"]),
        (["ls", "--last", "xyz"], 2, ["xyz", "3h"]),
        (["ls", "--sort", "result.nothing"], 2, ["result.nothing"]),
        (["rm"], 2, ["filter"]),
        (["rm", "Add_2026-01-01T00-00-00_xxxxxxxx", "--force"], 4, ["there is no run"]),
        (["download", "TYPO"], 4, ["there is no run TYPO"]),
        (["frobnicate"], 2, ["frobnicate"]),
        (["setup"], 3, ["b2_bucket"]),
    ],
)
def test_what_is_wrong_is_named_with_the_next_step(
    project: Project, args: list[str], code: int, words: list[str]
) -> None:
    done = project.run(*args, code=code)
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert len(project.ls()) == 2


def test_help_of_rm_removes_nothing(project: Project) -> None:
    for args in (["rm", "--help"], ["rm", "--force", "--help"], ["rm", "--failed", "-y", "-h"]):
        assert "Usage" in project.run(*args).stdout
    assert len(project.ls()) == 2


def test_rm_without_a_terminal_and_without_force_is_refused(project: Project) -> None:
    done = project.run("rm", "Add", code=7)
    assert "--force" in done.stderr
    assert "2 runs" in done.stderr
    assert project.run("rm", "Add", "--dry-run").returncode == 0
    assert len(project.ls()) == 2


def test_filters_narrow_and_widen(project: Project) -> None:
    one, two = project.ls()
    assert list(project.ls("--arg", "a=1")) == [one]
    assert list(project.ls("--arg", "a=1", "--arg", "a=2.0")) == [one, two]
    assert list(project.ls("--completed", "--failed", "--arg", "a=2")) == [two]
    assert project.ls("--failed") == {}
    assert list(project.ls("--node", "Add", "--last", "1h")) == [one, two]
    assert project.ls("--node", "Ad") == {}
    assert list(project.ls("Ad")) == [one, two]
    assert project.ls("--before", "1h") == {}
    assert list(project.ls("--sort", "-args.a")) == [two, one]
    assert list(project.ls("--sort", "-result.sum", "--limit", "1")) == [one]
    assert project.run("ls", "--keys").stdout.split() == [one, two]
    assert list(project.ls("--local")) == [one, two]


def test_a_piped_table_is_plain_and_whole(project: Project) -> None:
    one, two = project.ls()
    text = project.run("ls", "--columns", "args.a,result.sum").stdout
    header, *lines = text.splitlines()
    assert header.split()[:2] == ["key", "status"]
    assert [line.split()[0] for line in lines] == [one, two]
    assert "\x1b" not in text


def test_a_dry_run_of_a_job_needs_no_slurm(project: Project) -> None:
    text = project.run("run", "--slurm", "-n", "-p", "gpu", "-t", "90m", "Add", "--a", "1").stdout
    assert "#SBATCH --partition=gpu" in text
    assert "-m savethat.worker" in text
    assert len(project.ls()) == 2


def test_config_files_fill_arguments_and_flags_override_them(
    project: Project, tmp_path: Path
) -> None:
    toml = tmp_path / "args.toml"
    toml.write_text("a = 5\nb = 6.5\n")
    text = project.run("run", "--dry-run", "--config", str(toml), "Add", "--b", "7").stdout
    assert json.loads(text.partition(" ")[2]) == {"a": 5.0, "b": 7.0}
    as_json = tmp_path / "args.json"
    as_json.write_text('{"a": 5, "c": 1}')
    done = project.run("run", "--config", str(as_json), "Add", code=2)
    assert "c" in done.stderr
    assert len(project.ls()) == 2
