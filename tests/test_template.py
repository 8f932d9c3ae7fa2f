from __future__ import annotations

import compileall
import os
import py_compile
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from savethat.config import B2Config, load
from savethat.errors import RefusedError, SavethatError, UsageError
from savethat.scaffold import create_project

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHECKOUT = Path(__file__).parent.parent
# Nearly as long as a name can be before the project's formatter would break a line that holds it.
LONG_NAME = "quantile_regression_of_protein_folding"
BAD_NAMES = ["class", "json", "test", "tests", "numpy", "savethat", "my-project", "2nd", "_x", "x_"]
EXPECTED_FILES = {
    ".github/workflows/test.yml",
    ".gitignore",
    ".pre-commit-config.yaml",
    "README.md",
    "my_project/__init__.py",
    "my_project/__main__.py",
    "my_project/data/longley.csv",
    "my_project/fit_ols.py",
    "pyproject.toml",
    "savethat.toml",
    "tests/test_fit_ols.py",
    "tox.ini",
}


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def run(
    *command: str | Path, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def cookiecutter(parent: Path, *options: str) -> subprocess.CompletedProcess[str]:
    home = parent / "home"
    home.mkdir(parents=True)
    return run(
        *(sys.executable, "-m", "cookiecutter", "--no-input", "--default-config"),
        *("--directory", "templates/project", "--output-dir", str(parent / "made")),
        CHECKOUT,
        *options,
        cwd=parent,
        env={"HOME": str(home)},
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return create_project("my_project", tmp_path / "parent")


def test_project_holds_the_expected_files_fully_rendered(project: Path) -> None:
    rendered = files(project)
    assert set(rendered) == EXPECTED_FILES
    for name, content in rendered.items():
        assert not re.search(rb"\{\{|\{%|cookiecutter", content), name
        assert content.endswith(b"\n"), name


def test_modules_compile_and_run_main_names_the_package(project: Path) -> None:
    for path in project.rglob("*.py"):
        py_compile.compile(str(path), doraise=True)
    main = (project / "my_project" / "__main__.py").read_text()
    assert 'savethat.run_main("my_project", env_file=' in main


def test_toml_and_yaml_files_parse(project: Path) -> None:
    pyproject = tomllib.loads((project / "pyproject.toml").read_text())
    assert pyproject["project"]["name"] == "my_project"
    assert pyproject["project"]["requires-python"] == ">=3.10"
    workflow = yaml.safe_load((project / ".github/workflows/test.yml").read_text())
    [job] = workflow["jobs"].values()
    assert {"with": {"python-version": "3.10"}, "uses": "actions/setup-python@v5"} in job["steps"]
    hooks = yaml.safe_load((project / ".pre-commit-config.yaml").read_text())
    assert [hook["id"] for hook in hooks["repos"][0]["hooks"]] == ["ruff-check", "ruff-format"]


def test_savethat_toml_is_local_only_until_lines_are_uncommented(project: Path) -> None:
    file = project / "savethat.toml"
    config = load(env_file=file, environ={})
    assert (config.package, config.b2) == ("my_project", None)
    assert config.local_path == project / "data_storage"

    file.write_text(re.sub(r"(?m)^# (?=\w+ = |\[)", "", file.read_text()))
    config = load(env_file=file, environ={})
    assert config.b2 == B2Config("my-b2-bucket", "my_project")
    assert config.scratch == "${SLURM_TMPDIR}"
    assert config.slurm.defaults["partition"] == "gpu"
    assert set(config.slurm.presets["big"]) == {"gpus", "mem"}
    assert set(config.slurm.clusters["mila"]) == {"account"}


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("savethat.local.toml", True),
        (".env", True),
        (".savethat-credentials", True),
        ("my_project/b2_credentials.json", True),
        ("data_storage/FitOLS_2026-11-23T08-05-52_k3x9/results.pickle", True),
        ("my_project/__pycache__/fit_ols.cpython-311.pyc", True),
        ("savethat.toml", False),
        ("my_project/data/longley.csv", False),
    ],
)
def test_git_ignores_credentials_and_data_only(project: Path, path: str, ignored: bool) -> None:
    assert run("git", "init", "--quiet", cwd=project).returncode == 0
    found = run("git", "check-ignore", "--quiet", path, cwd=project)
    assert found.returncode == (0 if ignored else 1), found.stdout


def test_git_ignores_no_file_of_the_template(project: Path) -> None:
    run("git", "init", "--quiet", cwd=project)
    untracked = run("git", "ls-files", "--others", "--exclude-standard", cwd=project)
    assert set(untracked.stdout.splitlines()) == EXPECTED_FILES


@pytest.mark.parametrize("name", [*BAD_NAMES, "", "a/b", "..", "é"])
def test_bad_name_is_refused_with_a_good_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_project(name, tmp_path)
    assert repr(name) in str(caught.value)
    suggested = re.search(r"savethat init (\w+)`", caught.value.hint)
    assert suggested
    assert not list(tmp_path.iterdir())
    assert create_project(suggested[1], tmp_path).is_dir()


def test_suggestion_keeps_the_words() -> None:
    with pytest.raises(UsageError) as caught:
        create_project("My project-2", Path("unused"))
    assert "`savethat init my_project_2`" in caught.value.hint


def test_existing_folder_is_left_alone_unless_empty(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    before = files(tmp_path)
    for name in ("full", "file", "dangling"):
        with pytest.raises(RefusedError, match=name):
            create_project(name, tmp_path)
    assert files(tmp_path) == before

    (tmp_path / "empty").mkdir()
    assert (create_project("empty", tmp_path) / "savethat.toml").is_file()


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SavethatError, match="my_project"):
        create_project("my_project", tmp_path / "file")


@pytest.mark.parametrize("name", ["my_project", LONG_NAME])
def test_new_project_is_clean_under_its_own_linter(tmp_path: Path, name: str) -> None:
    project = create_project(name, tmp_path)
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = run(sys.executable, "-m", "ruff", *command, cwd=project)
        assert done.returncode == 0, done.stdout


def test_new_project_passes_its_own_type_check_and_tests(project: Path) -> None:
    for command in (["mypy"], ["pytest", "-q", "-p", "no:cacheprovider"]):
        done = run(sys.executable, "-m", *command, cwd=project)
        assert done.returncode == 0, done.stdout


def test_plain_cookiecutter_renders_the_same_project(tmp_path: Path, project: Path) -> None:
    done = cookiecutter(tmp_path / "plain", "project_name=My Project")
    assert done.returncode == 0, done.stdout
    made = files(tmp_path / "plain" / "made" / "my_project")
    assert made.pop("README.md").startswith(b"# My Project\n")
    assert made == {name: text for name, text in files(project).items() if name != "README.md"}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_plain_cookiecutter_refuses_the_same_names(tmp_path: Path, name: str) -> None:
    done = cookiecutter(tmp_path, f"project_slug={name}")
    assert done.returncode != 0
    assert f"ERROR: {name!r} is" in done.stdout
    assert not (tmp_path / "made" / name).exists()


def test_wheel_renders_offline_and_leaves_the_home_alone(tmp_path: Path, project: Path) -> None:
    built = run(
        *(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)),
        cwd=CHECKOUT,
    )
    assert built.returncode == 0, built.stdout
    [wheel] = tmp_path.glob("*.whl")
    site, home = tmp_path / "site", tmp_path / "home"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # Installers do so; the template's modules that are no Python yet are left out, as they do.
    compileall.compile_dir(site / "savethat" / "templates", quiet=2)
    assert list(site.rglob("fit_ols.*.pyc"))
    home.mkdir(mode=0o500)

    script = """
import sys
from pathlib import Path

def offline(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise RuntimeError(f"{event} {args}")

sys.addaudithook(offline)
import savethat.scaffold
print(savethat.scaffold.__file__)
savethat.scaffold.create_project("my_project", Path("made"))
"""
    done = run(
        *(sys.executable, "-c", script),
        cwd=tmp_path,
        env={"HOME": str(home), "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout
    assert Path(done.stdout.strip()).is_relative_to(site)
    assert files(tmp_path / "made" / "my_project") == files(project)
    assert not list(home.iterdir())
