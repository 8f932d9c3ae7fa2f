"""The environment of a recorded run, made from wheels on this disk: no network is asked."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from savethat.errors import SavethatError
from savethat.reproduction.environment import build_environment
from savethat.reproduction.pythons import find_python
from savethat.reproduction.requirements import LocalPackage, Requirements, requirements

VERSION = platform.python_version()
MINOR = VERSION.rpartition(".")[0]
# What a worker's child needs to start; Python 3.10 has no tomllib.
NEEDED = ("loguru", "typing_extensions") + (("tomli",) if sys.version_info < (3, 11) else ())

# A build backend without dependencies, in the folder it builds.
BACKEND = """
import zipfile
from pathlib import Path


def build_wheel(folder, config_settings=None, metadata_directory=None, *, editable=False):
    name, version = Path("version").read_text().split()
    info = f"{name}-{version}.dist-info"
    wheel = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / wheel, "w") as file:
        if editable:
            file.writestr(f"{name}.pth", f"{Path.cwd()}\\n")
        else:
            file.write(f"{name}.py", f"{name}.py")
        head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        file.writestr(f"{info}/METADATA", "\\n".join(head))
        tag = ["Wheel-Version: 1.0", "Root-Is-Purelib: true", "Tag: py3-none-any"]
        file.writestr(f"{info}/WHEEL", "\\n".join(tag))
        file.writestr(f"{info}/RECORD", "")
    return wheel


def build_editable(folder, config_settings=None, metadata_directory=None):
    return build_wheel(folder, editable=True)
"""

# What tests need of uv. It fetches any Python, and fails when it is asked for `broken`.
UV = f"""#!{sys.executable}
import json, subprocess, sys

with open(__file__ + ".log", "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
command, python = sys.argv[1:], sys.argv[sys.argv.index("--python") + 1]
if command[0] == "venv":
    python = python if "/" in python else sys.executable
    raise SystemExit(subprocess.call([python, "-m", "venv", command[-1]]))
rest = [word for word in command[2:] if word not in ("--python", python)]
if "-r" in rest and "broken" in open(rest[rest.index("-r") + 1]).read():
    print("error: Failed to fetch https://ada:S3CRET@example.com/simple/broken/")
    raise SystemExit(2)
more = ["--yes"] if command[1] == "uninstall" else []
raise SystemExit(subprocess.call([python, "-m", "pip", command[1], *more, *rest]))
"""


def wheel(folder: Path, name: str, version: str, *requires: str) -> None:
    """A package with one module, which tells its version."""
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    head += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        file.writestr(f"{info}/METADATA", head)
        tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        file.writestr(f"{info}/WHEEL", tag)
        file.writestr(f"{info}/RECORD", "")


def repack(folder: Path, name: str) -> None:
    """The wheel that an installed package came from."""
    distribution = metadata.distribution(name)
    text = distribution.read_text("WHEEL") or ""
    tag = next(line[5:].strip() for line in text.splitlines() if line.startswith("Tag: "))
    stem = f"{distribution.metadata['Name'].replace('-', '_')}-{distribution.version}"
    with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w") as file:
        for item in distribution.files or ():
            if ".." not in item.parts and item.suffix != ".pyc":
                file.write(item.locate(), str(item))


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheelhouse")
    for name in NEEDED:
        repack(folder, name)
    wheel(folder, "tiny", "1.0", "missing>=2", "setuptools; extra == 'build'")
    wheel(folder, "tiny", "2.0")
    wheel(folder, "old", "1.0", "setuptools>=1 ; python_version >= '3'")
    wheel(folder, "setuptools", "1.2.3")
    return folder


@pytest.fixture(autouse=True)
def offline(wheelhouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheelhouse))
    # A developer's uv would be taken.
    monkeypatch.setenv("PATH", "/usr/bin:/bin")


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A uv; the log of what it is asked for lies beside it."""
    program = tmp_path / "bin" / "uv"
    program.parent.mkdir()
    program.write_text(UV)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return program


def record(
    packages: dict[str, str], version: str = VERSION, origins: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    needed = {name: metadata.version(name) for name in NEEDED}
    own = {"savethat": metadata.version("savethat")}
    return {
        "python": {"version": version},
        "packages": {**needed, **own, **packages},
        "direct_urls": origins or {},
    }


def installed(python: Path) -> dict[str, str]:
    """What an environment has, but for what all have."""
    code = "import json; from importlib import metadata; print(json.dumps({"
    code += "d.metadata['Name']: d.version for d in metadata.distributions()}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    common = {*NEEDED, "pip", "savethat"} | (
        {"setuptools"} if sys.version_info < (3, 12) else set()
    )
    return {name: version for name, version in found.items() if name not in common}


class Talk(list[str]):
    def __call__(self, line: str) -> None:
        self.append(line)


@pytest.fixture
def talk() -> Talk:
    return Talk()


# --- an environment -------------------------------------------------------------------------


def test_it_has_the_recorded_packages_and_the_running_savethat(tmp_path: Path, talk: Talk) -> None:
    folder = tmp_path / "envs"
    # A newer one is there, and what it requires is not.
    wanted = record({"tiny": "1.0", "pip": "0.1", "setuptools": "9.9"})
    python = build_environment(wanted, folder, say=talk)
    assert installed(python) == {"tiny": "1.0"}
    code = "import savethat, os; print(os.path.realpath(savethat.__file__))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    import savethat

    assert Path(done.stdout.strip()) == Path(str(savethat.__file__)).resolve()
    assert [line for line in talk if not line.startswith("making an environment")] == []

    before = python.lstat().st_mtime_ns
    assert build_environment(wanted, folder, say=talk) == python
    assert python.lstat().st_mtime_ns == before
    assert len(talk) == 1

    # One that was left half-made, as by a kill, is made anew.
    (whole,) = folder.glob("*/whole.json")
    whole.unlink()
    (python.parent.parent / "rubbish").touch()
    assert build_environment(wanted, folder, say=talk) == python
    assert not (python.parent.parent / "rubbish").exists()
    # As is one whose savethat does not start any more.
    shutil.rmtree(next(python.parent.parent.glob("lib/python3*/site-packages/loguru")))
    assert build_environment(wanted, folder, say=talk) == python
    assert len(talk) == 3


def test_two_at_once_make_one(tmp_path: Path, talk: Talk) -> None:
    def make() -> None:
        pythons.append(build_environment(record({"tiny": "2.0"}), tmp_path, say=talk))

    pythons: list[Path] = []
    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pythons) == 2
    assert installed(pythons[0]) == {"tiny": "2.0"}
    assert sum(line.startswith("making") for line in talk) == 1


def test_setuptools_comes_along_where_a_package_requires_it(tmp_path: Path, talk: Talk) -> None:
    wanted = record({"old": "1.0", "setuptools": "1.2.3", "wheel": "1.0"})
    python = build_environment(wanted, tmp_path, say=talk)
    code = "import setuptools; print(setuptools.VERSION)"
    assert subprocess.check_output([python, "-c", code], text=True) == "1.2.3\n"
    assert "wheel" not in installed(python)


def test_folders_are_installed_from_as_long_as_they_are_what_they_were(
    tmp_path: Path, talk: Talk
) -> None:
    origins = {}
    for name in ("mine", "changed", "built"):
        folder = tmp_path / "my src" / name
        folder.mkdir(parents=True)
        (folder / "backend.py").write_text(BACKEND)
        (folder / f"{name}.py").write_text(f"WHERE = {name!r}\n")
        (folder / "version").write_text(f"{name} {'1.1' if name == 'changed' else '1.0'}")
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        )
        origins[name] = {"url": folder.as_uri(), "editable": name != "built", "commit": None}
    origins["gone"] = {"url": (tmp_path / "gone").as_uri(), "editable": True, "commit": None}
    wanted = record(dict.fromkeys(origins, "1.0"), origins=origins)
    python = build_environment(wanted, tmp_path / "envs", say=talk)
    assert installed(python) == {"mine": "1.0", "built": "1.0"}
    code = "import mine, built; print(mine.__file__); print(built.__file__)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    mine, built = done.stdout.splitlines()
    assert Path(mine) == tmp_path / "my src" / "mine" / "mine.py"
    assert Path(built).is_relative_to(tmp_path / "envs")
    differences = [
        f"gone 1.0 is left out: {tmp_path}/gone is not there any more",
        f"changed 1.0 is left out: {tmp_path}/my src/changed now holds 1.1",
    ]
    assert talk[1:] == differences
    # Told each time, also where nothing is made any more.
    again = Talk()
    build_environment(wanted, tmp_path / "envs", say=again)
    assert again == differences

    (tmp_path / "my src/mine/backend.py").write_text("raise ValueError('not today')")
    (next((tmp_path / "envs").glob("*/whole.json"))).unlink()
    with pytest.raises(SavethatError, match=r"mine could not be installed from .*my src/mine"):
        build_environment(wanted, tmp_path / "envs", say=talk)
    assert [line for line in talk if "not today" in line]


def test_a_package_that_cannot_be_had_is_named(tmp_path: Path, talk: Talk) -> None:
    with pytest.raises(SavethatError) as failed:
        build_environment(record({"old": "1.0", "Ti.ny": "3.0+cu12"}), tmp_path, say=talk)
    assert failed.value.message in (
        "ti-ny==3.0+cu12 could not be installed",
        "tiny==3.0+cu12 could not be installed",
    )
    assert "PIP_EXTRA_INDEX_URL" in failed.value.hint
    assert "--here" in failed.value.hint
    assert [line for line in talk if "No matching distribution" in line]
    with pytest.raises(SavethatError) as failed:
        build_environment(record({"tiny": "3.0"}), tmp_path, say=talk)
    assert failed.value.message == "tiny==3.0 could not be installed"
    assert failed.value.hint == "--here takes the present environment"


def test_packages_with_which_savethat_does_not_run(tmp_path: Path, talk: Talk) -> None:
    wanted = record({})
    del wanted["packages"]["loguru"]
    with pytest.raises(SavethatError, match="this savethat does not run"):
        build_environment(wanted, tmp_path, say=talk)
    assert "No module named 'loguru'" in talk[-1]


def test_another_savethat_is_told(tmp_path: Path, talk: Talk, uv: Path) -> None:
    build_environment(record({"savethat": "0.0.1"}), tmp_path, say=talk)
    assert talk[-1] == f"savethat is {metadata.version('savethat')}, it was 0.0.1"


def test_a_python_that_is_not_here(tmp_path: Path, talk: Talk) -> None:
    with pytest.raises(SavethatError, match=r"there is no Python 3\.99") as failed:
        build_environment(record({}, "3.99.1"), tmp_path, say=talk)
    assert "--here" in failed.value.hint


def test_a_folder_that_cannot_be_written(tmp_path: Path, talk: Talk) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SavethatError, match="cannot be locked"):
        build_environment(record({}), tmp_path / "file", say=talk)


# --- uv -------------------------------------------------------------------------------------


def test_uv_makes_and_fills_it_where_there_is_one(tmp_path: Path, talk: Talk, uv: Path) -> None:
    python = build_environment(record({"tiny": "1.0"}), tmp_path / "envs", say=talk)
    assert installed(python) == {"tiny": "1.0"}
    env = python.parent.parent
    assert [json.loads(line) for line in Path(f"{uv}.log").read_text().splitlines()] == [
        ["venv", "--python", sys.executable, str(env)],
        [
            *("pip", "install", "--python", str(python), "--no-deps"),
            *("-r", str(env / "requirements.txt")),
        ],
    ]


def test_uv_fetches_a_python_that_is_not_here(tmp_path: Path, talk: Talk, uv: Path) -> None:
    build_environment(record({}, "3.99.1"), tmp_path / "envs", say=talk)
    first = json.loads(Path(f"{uv}.log").read_text().splitlines()[0])
    assert first[:3] == ["venv", "--python", "3.99"]


def test_what_uv_says_is_shown_without_its_secrets(tmp_path: Path, talk: Talk, uv: Path) -> None:
    with pytest.raises(SavethatError, match=r"broken==1\.0 could not be installed"):
        build_environment(record({"broken": "1.0", "tiny": "1.0"}), tmp_path / "envs", say=talk)
    assert talk[-1] == "error: Failed to fetch https://[redacted]@example.com/simple/broken/"


# --- a Python -------------------------------------------------------------------------------


def interpreter(path: Path, version: str) -> Path:
    """A program that calls itself a Python."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n" if version else "#!/bin/sh\nexit 127\n")
    path.chmod(0o755)
    return path


def test_the_very_version_is_preferred_and_a_near_one_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert find_python("3.8", "3.8.1") is None
    # A shim of pyenv's that has no such version.
    interpreter(tmp_path / "bin" / "python3.8", "")
    assert find_python("3.8", "3.8.1") is None
    versions = tmp_path / "pyenv" / "versions"
    ten, nine = (
        interpreter(versions / f"3.8.{patch}" / "bin" / "python", f"3.8.{patch}")
        for patch in (10, 9)
    )
    assert find_python("3.8", "3.8.9") == (nine, "3.8.9")
    assert find_python("3.8", "3.8.1") == (ten, "3.8.10")
    on_path = interpreter(tmp_path / "bin" / "python3.8", "3.8.2")
    assert find_python("3.8", "3.8.1") == (on_path, "3.8.2")
    assert find_python(MINOR, VERSION) == (Path(sys.executable), VERSION)


def test_a_near_python_is_told(tmp_path: Path, talk: Talk, uv: Path) -> None:
    build_environment(record({}, f"{MINOR}.99"), tmp_path / "envs", say=talk)
    assert talk[-1] == f"Python is {VERSION}, it was {MINOR}.99"


# --- the record -----------------------------------------------------------------------------


def test_requirements(tmp_path: Path) -> None:
    def origin(url: str, commit: str | None = None, **more: Any) -> dict[str, Any]:
        return {"url": url, "editable": False, "commit": commit, **more}

    provenance = {
        "python": {"version": "3.12.1+"},
        "packages": {
            "Lab_Models": "1.0",
            **dict.fromkeys(("sub", "whl", "conda", "odd", "here", "gone"), "2.0"),
            "numpy": "2.1.0",
            "pip": "24",
            "savethat": "0.2",
        },
        "direct_urls": {
            "Lab_Models": origin("ssh://git@example.com/lab.git", "abc1"),
            "sub": origin("https://x.org/a.git", "abc2", subdirectory="py/sub"),
            "whl": origin("https://x.org/whl-2.0.whl"),
            "conda": origin("file:///croot/conda_1/work"),
            "odd": origin("https://x.org/a b", "abc"),
            "here": {**origin(tmp_path.as_uri()), "editable": True},
            "gone": origin("file:///no/such%20folder"),
        },
    }
    assert requirements(provenance) == Requirements(
        "3.12",
        "3.12.1+",
        {
            "conda": "conda==2.0",
            "lab-models": "lab-models @ git+ssh://git@example.com/lab.git@abc1",
            "numpy": "numpy==2.1.0",
            "sub": "sub @ git+https://x.org/a.git@abc2#subdirectory=py/sub",
            "whl": "whl @ https://x.org/whl-2.0.whl",
        },
        (LocalPackage("here", "2.0", tmp_path, editable=True),),
        {"pip": "24"},
        "0.2",
        (
            "odd 2.0 is left out: https://x.org/a b is no address",
            "gone 2.0 is left out: /no/such folder is not there any more",
        ),
    )


@pytest.mark.parametrize(
    "provenance",
    [
        {},
        {"python": None, "packages": {"x": "1"}},
        {"python": {"version": "2.7.18"}, "packages": {"x": "1"}},
        {"python": {"version": "3.12.1"}, "packages": {}},
        {"python": {"version": "3.12.1"}, "packages": {"--index-url=http://evil": "1"}},
        {"python": {"version": "3.12.1"}, "packages": {"x": "1\n--index-url=http://evil"}},
        {"python": {"version": "3.12.1"}, "packages": {"x": None}},
    ],
)
def test_a_record_that_does_not_suffice_is_refused(provenance: dict[str, Any]) -> None:
    with pytest.raises(SavethatError, match="does not tell its environment"):
        requirements(provenance)
