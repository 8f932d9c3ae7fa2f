from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from savethat import cache, provenance
from savethat.provenance.__main__ import _secrets
from savethat.provenance.machine import operating_system
from savethat.provenance.redaction import redacted, without_credentials
from savethat.run.record import parse_time

SECRET = "K005qUmbxR2m0fakefakefakefakefak"
Git = Callable[..., str]

pytestmark = pytest.mark.usefixtures("own_git")


@pytest.fixture
def git(root: Path) -> Git:
    def run(*command: str) -> str:
        done = subprocess.run(
            ["git", *command], cwd=root, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    run("init", "--quiet", "--initial-branch=main")
    return run


@pytest.fixture
def committed(root: Path, git: Git) -> str:
    """One commit of `node.py`; its hash."""
    (root / "node.py").write_text("lr = 1\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    return git("rev-parse", "HEAD")


def path_without_git(folder: Path) -> str:
    """A PATH on which no program is."""
    folder.mkdir()
    return str(folder)


def collect(
    root: Path, argv: Sequence[str], secrets: Sequence[str] = (), **told: Any
) -> dict[str, Any]:
    return provenance.collect(provenance.Subject(root, argv, secrets, **told))


def recall(
    root: Path, argv: Sequence[str], secrets: Sequence[str] = (), **told: Any
) -> dict[str, Any] | None:
    return provenance.recall(provenance.Subject(root, argv, secrets, **told))


def checkout(root: Path) -> dict[str, Any]:
    facts: dict[str, Any] = collect(root, [])["git"]
    return facts


# --- the checkout ---------------------------------------------------------------------------


def test_clean_checkout(root: Path, git: Git, committed: str) -> None:
    git("remote", "add", "origin", "https://ada:token@example.com/ada/fit.git")
    record = collect(root, ["run", "Fit"])
    version = record["git"].pop("version")
    assert record["git"] == {
        "root": str(root),
        "commit": committed,
        "branch": "main",
        "remote": "https://example.com/ada/fit.git",
        "dirty": False,
        "diff": "",
        "diff_cut": False,
        "untracked": [],
        "untracked_cut": False,
    }
    assert git("--version").startswith(f"git version {version}")
    assert record["problems"] == []


def test_diff_holds_staged_and_unstaged_changes_and_applies(
    root: Path, git: Git, committed: str
) -> None:
    git("config", "color.ui", "always")
    git("config", "diff.noprefix", "true")
    (root / "node.py").write_text("lr = 2\n")
    (root / "new.py").write_text("staged = True\n")
    git("add", "new.py")
    facts = checkout(root)
    assert facts["dirty"] is True
    git("reset", "--quiet", "--hard")
    subprocess.run(["git", "apply"], cwd=root, input=facts["diff"], text=True, check=True)
    assert (root / "node.py").read_text() == "lr = 2\n"
    assert (root / "new.py").read_text() == "staged = True\n"


def test_untracked_files_are_named_and_make_the_checkout_dirty(
    root: Path, git: Git, committed: str
) -> None:
    (root / ".gitignore").write_text("*.log\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "ignore")
    (root / "sub").mkdir()
    (root / "sub" / "größe #1.py").touch()
    (root / "output.log").touch()
    facts = checkout(root)
    assert facts["untracked"] == ["sub/größe #1.py"]
    assert (facts["dirty"], facts["diff"]) == (True, "")


def test_project_below_the_checkouts_root_is_told_of_all_of_it(
    root: Path, git: Git, committed: str
) -> None:
    (root / "new.py").touch()
    (root / "node.py").write_text("lr = 3\n")
    (root / "a").mkdir()
    facts = checkout(root / "a")
    assert (facts["root"], facts["commit"], facts["untracked"]) == (
        str(root),
        committed,
        ["new.py"],
    )
    assert "+lr = 3" in facts["diff"]


def test_long_diff_and_long_list_are_cut_and_say_so(root: Path, git: Git, committed: str) -> None:
    (root / "node.py").write_text(f"lr = 2\nb2_key = {'s' * 2_000_000}\n")
    facts = checkout(root)
    assert facts["diff_cut"] is True
    assert facts["diff"].endswith("+lr = 2\n")
    for number in range(1_001):
        (root / f"{number}.csv").touch()
    facts = checkout(root)
    assert (len(facts["untracked"]), facts["untracked_cut"]) == (1_000, True)


def test_diff_that_is_not_utf8_is_recorded(root: Path, git: Git, committed: str) -> None:
    (root / "node.py").write_bytes(b"name = '\xe9'\n")
    assert "+name = '\N{REPLACEMENT CHARACTER}'" in checkout(root)["diff"]


def test_detached_head_has_no_branch(root: Path, git: Git, committed: str) -> None:
    git("checkout", "--quiet", "--detach")
    facts = checkout(root)
    assert (facts["branch"], facts["commit"]) == (None, committed)


def test_repository_without_a_commit(root: Path, git: Git) -> None:
    (root / "node.py").write_text("lr = 1\n")
    git("add", ".")
    (root / "new.py").touch()
    record = collect(root, [])
    facts = record["git"]
    assert (facts["commit"], facts["branch"], facts["dirty"]) == (None, "main", True)
    assert "+lr = 1" in facts["diff"]
    assert facts["untracked"] == ["new.py"]
    assert "git: there is no commit yet" in record["problems"]


def test_project_outside_git(root: Path) -> None:
    record = collect(root, [])
    assert record["git"] is None
    assert [p for p in record["problems"] if f"{root} is not in a checkout" in p]


def test_root_that_does_not_exist(root: Path) -> None:
    record = collect(root / "nope", [])
    assert record["git"] is None
    assert record["packages"]
    assert record["problems"]


# --- interpreter and machine ----------------------------------------------------------------


def test_machine_and_interpreter_are_recorded(root: Path) -> None:
    before = datetime.now(timezone.utc)
    record = collect(root, ["python", "-m", "fit", "run"])
    assert before <= parse_time(record["timestamp"]) <= datetime.now(timezone.utc)
    assert record["argv"] == ["python", "-m", "fit", "run"]
    assert record["hostname"] == platform.node()
    assert record["platform"] == platform.platform()
    python = record["python"]
    assert (
        python["version"],
        python["executable"],
        python["implementation"],
        python["prefix"],
    ) == (
        platform.python_version(),
        sys.executable,
        platform.python_implementation(),
        sys.prefix,
    )
    assert python["compiler"] == platform.python_compiler()
    assert record["cpu"]["machine"] == platform.machine()
    assert 1 <= record["cpu"]["usable"] <= record["cpu"]["count"] == os.cpu_count()
    assert json.loads(json.dumps(record)) == record


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors name no model")
def test_processor_is_named(root: Path) -> None:
    cpu = collect(root, [])["cpu"]
    assert cpu["model"]
    assert "sse2" in cpu["flags"]


def test_packages_are_those_of_the_running_interpreter(root: Path) -> None:
    record = collect(root, [])
    assert record["packages"]["pytest"] == metadata.version("pytest")
    assert record["packages"]["reproducible"] == metadata.version("reproducible")


def install(site: Path, name: str, version: str, direct_url: dict[str, Any] | None = None) -> None:
    """What an installer leaves of a package beside its code."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(head)
    if direct_url is not None:
        (info / "direct_url.json").write_text(json.dumps(direct_url))


def test_origins_are_recorded_without_credentials(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(
        tmp_path,
        "lab_models",
        "1.0",
        {
            "url": "https://ada:token@example.com/lab.git",
            "vcs_info": {"vcs": "git", "commit_id": "abc"},
            "subdirectory": "python",
        },
    )
    install(tmp_path, "mine", "2.0", {"url": "file:///src/mine", "dir_info": {"editable": True}})
    install(tmp_path, "pytest", "0.0.1")
    (tmp_path / "broken-1.dist-info").mkdir()
    (tmp_path / "broken-1.dist-info" / "METADATA").touch()
    monkeypatch.syspath_prepend(tmp_path)
    record = collect(root, [])
    assert record["direct_urls"]["lab_models"] == {
        "url": "https://example.com/lab.git",
        "editable": False,
        "commit": "abc",
        "subdirectory": "python",
    }
    assert record["direct_urls"]["mine"] == {
        "url": "file:///src/mine",
        "editable": True,
        "commit": None,
    }
    assert record["packages"]["mine"] == "2.0"
    assert record["packages"]["pytest"] == "0.0.1"  # the one that would be imported
    assert [p for p in record["problems"] if p.startswith("packages: one is left out")]


QUERY = 'echo "NVIDIA A100-SXM4-80GB, 550.54.14"; echo "Tesla T4, 550.54.14"'
HEAD = 'echo "| NVIDIA-SMI 550.54.14   Driver Version: 550.54.14   CUDA Version: 12.4   |"'


def nvidia_smi(folder: Path, script: str) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


def test_gpus_are_named(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path, f'case "$*" in *query*) {QUERY};; *) {HEAD};; esac')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    record = collect(root, [])
    assert record["gpus"] == ["NVIDIA A100-SXM4-80GB", "Tesla T4"]
    assert (record["driver"], record["cuda"]) == ("550.54.14", "12.4")


def test_a_machine_without_gpus_has_no_driver(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    record = collect(root, [])
    assert (record["gpus"], record["driver"], record["cuda"]) == ([], None, None)


def test_nvidia_smi_that_fails_is_a_problem_and_not_an_error(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(tmp_path, 'echo "no devices were found" >&2; exit 6')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    record = collect(root, [])
    assert record["gpus"] == []
    assert "gpus: nvidia-smi failed with exit code 6: no devices were found" in record["problems"]


def test_nvidia_smi_that_hangs_is_not_waited_for(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The child keeps the pipe open after its parent was ended.
    pid = tmp_path / "pid"
    nvidia_smi(tmp_path, f"sleep 600 & echo $! > {pid}; wait")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("savethat.provenance.machine._GPU_TIMEOUT", 0.5)
    try:
        record = collect(root, [])
    finally:
        os.kill(int(pid.read_text()), 9)
    assert "gpus: nvidia-smi did not answer in 0.5 s" in record["problems"]


def test_the_system_is_recorded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = collect(root, [])["os"]
    assert system["kernel"] == platform.release()
    assert system["name"]
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("platform.mac_ver", lambda: ("14.5", ("", "", ""), "arm64"))
    assert operating_system() == {"name": "macOS", "version": "14.5", "kernel": platform.release()}


def test_a_system_that_does_not_name_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> dict[str, str]:
        raise OSError("no os-release")

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.freedesktop_os_release", none)
    assert operating_system()["version"] is None


def test_loaded_modules_are_recorded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert collect(root, [])["modules"] == []
    monkeypatch.setenv("LOADEDMODULES", "gcc/12.2:cuda/12.4::slurm")
    monkeypatch.setenv("_LMFILES_", "/modules/gcc/12.2.lua")
    record = collect(root, [])
    assert record["modules"] == ["gcc/12.2", "cuda/12.4", "slurm"]
    assert "/modules/" not in json.dumps(record)


def test_seeds_are_recorded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    assert collect(root, [])["seeds"] == {}
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    args = {
        "seed": 3,
        "split_seed": None,
        "seeds": 9,
        "lr": 0.1,
        "model": {"Seed": [1, 2], "layers": 4, "init": {"seed": "hunter2"}},
    }
    assert collect(root, [], ["hunter2"], args=args)["seeds"] == {
        "PYTHONHASHSEED": "0",
        "seed": 3,
        "split_seed": None,
        "model.Seed": [1, 2],
        "model.init.seed": "[redacted]",
    }


# --- secrets --------------------------------------------------------------------------------


def clean(text: str, *secrets: str) -> str:
    return str(redacted({"argv": [], "text": text}, secrets)["text"])


@pytest.mark.parametrize(
    "line",
    [
        '+b2_key = "S3CRET"',
        "+b2_key='S3CRET'  # comment",
        '+b2_key = """S3CRET"""',
        '+b2_key_id = "S3CRET with \\" a quote S3CRET"',
        '+b2_key = "S3CRET unfinished',
        "+B2_APPLICATION_KEY=S3CRET",
        "+export B2_APPLICATION_KEY_ID=S3CRET; run",
        "+export SAVETHAT_B2_KEY=S3CRET",
        '+os.environ["B2_APPLICATION_KEY"] = "S3CRET"',
        '+os.environ.setdefault("B2_APPLICATION_KEY", "S3CRET")',
        '+  "b2_key": "S3CRET",',
        '+    "b2_key = \\"S3CRET\\"\\n",',
        "+  B2_APPLICATION_KEY: S3CRET",
        '+b2_key: str = "S3CRET"',
        "+b2_key: S3CRET=",
        '+if b2_key == "S3CRET":',
        "+b2 --b2-key S3CRET ls",
        "+setenv B2_APPLICATION_KEY S3CRET",
        "+set -gx B2_APPLICATION_KEY S3CRET",
        "+ENV B2_APPLICATION_KEY S3CRET",
        "+--extra-index-url https://ada:S3CRET@example.com/simple",
        "+https://S3CRET@example.com/ada/fit.git",
        "+postgresql://ada:S3CRET@db@example.com/x",
        "+ssh://git:S3CRET@example.com/x",
    ],
)
def test_secrets_are_taken_out_by_their_name(line: str) -> None:
    text = clean(f" before\n{line}\n after\n")
    assert "S3CRET" not in text
    assert text.startswith(" before\n+")
    assert text.endswith("\n after\n")
    assert "[redacted]" in text


@pytest.mark.parametrize(
    "line",
    [
        "def credentials(b2_key_id, b2_key, realm):",
        'b2_bucket = "mine"',
        'b2_key_prefix = "mine"',
        "write to ada@example.com or see https://example.com/@ada",
        "git clone ssh://git@example.com/ada/fit.git",
        "git@example.com:ada/fit.git",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert clean(line) == line


def test_b2_keys_are_known_by_their_looks() -> None:
    assert clean(f"key {SECRET[:31]} here") == "key [redacted] here"


def test_given_secrets_are_taken_out_everywhere_the_longest_first() -> None:
    assert clean("a hunter2+more, hunter2", "hunter2", "", "hunter2+more") == (
        "a [redacted], [redacted]"
    )


def test_long_lines_are_searched_in_no_time() -> None:
    text = "b2_key " * 30_000 + "x" * 500_000 + "://" * 30_000
    assert clean(text) == text


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("https://ada:token@example.com/x.git", "https://example.com/x.git"),
        ("https://token@example.com:8443/x.git", "https://example.com:8443/x.git"),
        ("ssh://git:pw@example.com/x.git", "ssh://git@example.com/x.git"),
        ("git@example.com:ada/x.git", "git@example.com:ada/x.git"),
        ("/srv/git/x.git", "/srv/git/x.git"),
        ("https://ada:pw@[broken/x.git", "https://[broken/x.git"),
    ],
)
def test_urls_lose_their_credentials(url: str, bare: str) -> None:
    assert without_credentials(url) == bare


def test_command_line_loses_its_secrets(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("B2_APPLICATION_KEY", "from-the-environment")
    argv = ["run", "--b2_key", "S 1", "--b2-key-id=S 2", "--storage.b2_key", "S3"]
    argv += ["B2_APPLICATION_KEY=S 4", "--lr", "0.1", "hunter2", "from-the-environment"]
    record = collect(root, argv, ["hunter2"])
    assert record["argv"] == [
        "run",
        "--b2_key",
        "[redacted]",
        "--b2-key-id=[redacted]",
        "--storage.b2_key",
        "[redacted]",
        "B2_APPLICATION_KEY=[redacted]",
        "--lr",
        "0.1",
        "[redacted]",
        "[redacted]",
    ]


def test_keys_in_a_tracked_configuration_are_not_in_the_diff(
    root: Path, git: Git, committed: str
) -> None:
    (root / "savethat.toml").write_text('b2_bucket = "mine"\n')
    git("add", ".")
    git("commit", "--quiet", "-m", "second")
    (root / "savethat.toml").write_text(
        f'b2_bucket = "mine"\nb2_key_id = "0051234"\nb2_key = "{SECRET}"\nother = "hunter2"\n'
    )
    text = json.dumps(collect(root, [], ["hunter2"]))
    assert "+b2_key = [redacted]" in text
    for secret in (SECRET, "0051234", "hunter2"):
        assert secret not in text


# --- as a process of its own ----------------------------------------------------------------


def run_module(
    root: Path,
    out: Path,
    *argv: str,
    python: str = sys.executable,
    stdin: str | None = None,
    environ: dict[str, str] | None = None,
    options: Sequence[str] = (),
) -> dict[str, Any]:
    command = [python, "-W", "error", "-m", "savethat.provenance", "--root", str(root)]
    done = subprocess.run(
        [*command, "--out", str(out), *options, "--", *argv],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path.name for path in out.parent.iterdir()} - {"args.json"} == {out.name}
    record: dict[str, Any] = json.loads(out.read_text())
    return record


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run" / "reproducible.json"


def test_process_writes_the_record(root: Path, git: Git, committed: str, out: Path) -> None:
    record = run_module(root, out, "fit", "--out", "x", "--", "--root", "y")
    assert record["argv"] == ["fit", "--out", "x", "--", "--root", "y"]
    assert record["git"]["commit"] == committed
    assert record["problems"] == []
    assert out.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_process_is_told_of_the_capsule_the_attempt_and_the_run_it_repeats(
    root: Path, out: Path
) -> None:
    record = run_module(root, out)
    assert (record["capsule"], record["origin"], record["attempt"]) == (None, None, None)
    options = ("--capsule", "abc123", "--reproduces", "Fit_1", "--attempt", "2")
    record = run_module(root, out, options=options)
    assert record["capsule"] == {"name": "abc123"}
    assert record["origin"] == {"reproduces": "Fit_1"}
    assert record["attempt"] == 2


def test_process_finds_the_seeds_in_the_arguments_beside_the_record(root: Path, out: Path) -> None:
    args = out.with_name("args.json")
    args.write_text('{"lr": 0.1, "seed": 3}')
    record = run_module(root, out, environ={"PYTHONHASHSEED": "7"})
    assert record["seeds"] == {"PYTHONHASHSEED": "7", "seed": 3}
    for broken in ("{", "[]"):
        args.write_text(broken)
        record = run_module(root, out)
        assert [problem for problem in record["problems"] if problem.startswith("seeds: ")]


def test_process_takes_little_of_the_processor(
    root: Path, git: Git, committed: str, out: Path
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_module(root, out)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 1.0


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_process_reads_secrets_from_its_stdin(root: Path, out: Path) -> None:
    record = run_module(root, out, "x=hunter2", "y=a\nb", stdin='"hunter2"\n"a\\nb"\nplain\n')
    assert record["argv"] == ["x=[redacted]", "y=[redacted]"]


def test_stdin_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("savethat.provenance.__main__._STDIN_TIMEOUT", 0.1)
    reader, writer = os.pipe()
    try:
        os.write(writer, b'"hunter2"\n')
        secrets, problem = _secrets(reader)
    finally:
        os.close(reader)
        os.close(writer)
    assert secrets == ["hunter2", ""]
    assert problem == "secrets: stdin was not closed in time"


def test_process_without_git_on_path(root: Path, tmp_path: Path, out: Path) -> None:
    environ = {"PATH": path_without_git(tmp_path / "bin")}
    record = run_module(root, out, environ=environ)
    assert record["git"] is None
    assert "git: there is no git on PATH" in record["problems"]
    assert record["python"]["compiler"] == platform.python_compiler()
    assert record["platform"] == platform.platform()


def test_process_in_an_environment_without_pip(root: Path, tmp_path: Path, out: Path) -> None:
    """As uv makes them; another environment's pip is first on PATH."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    site = next((tmp_path / "env").glob("lib/python*/site-packages"))
    install(site, "only_here", "1.0")
    # The packages under test, behind the environment's own.
    (site / "others.pth").write_text("\n".join(path for path in sys.path if path))
    (tmp_path / "bin").mkdir()
    pip = tmp_path / "bin" / "pip"
    pip.write_text("#!/bin/sh\necho another==1.0\n")
    pip.chmod(0o755)
    record = run_module(
        root,
        out,
        python=str(tmp_path / "env" / "bin" / "python"),
        environ={"PATH": str(tmp_path / "bin")},
    )
    assert record["packages"]["only_here"] == "1.0"
    assert "another" not in record["packages"]
    assert record["python"]["prefix"] == str(tmp_path / "env")


def test_process_leaves_nothing_where_it_cannot_write(root: Path, tmp_path: Path) -> None:
    taken = tmp_path / "run" / "reproducible.json"
    taken.mkdir(parents=True)
    done = subprocess.run(
        [sys.executable, "-m", "savethat.provenance", "--root", root, "--out", taken],
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    assert done.returncode != 0
    assert list((tmp_path / "run").iterdir()) == [taken]


def test_importing_it_imports_neither_reproducible_nor_git() -> None:
    code = "import savethat.provenance, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"reproducible", "git", "cpuinfo"}.isdisjoint(done.stdout.split())


# --- what holds for other runs, too ---------------------------------------------------------


@pytest.fixture
def kept(root: Path, git: Git, committed: str, tmp_path: Path) -> Path:
    """What another run of a launch has found of its checkout."""
    path = tmp_path / "checkout.json"
    (root / "node.py").write_text(f"lr = 2  # {SECRET}\n")
    collect(root, ["sweep"], [SECRET], checkout=path)
    return path


def test_another_run_has_the_same_record_at_once(
    root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv, told = ["sweep", "--token", SECRET], {"args": {"seed": 2}, "capsule": "abc", "attempt": 2}
    found = collect(root, argv, [SECRET], checkout=kept, **told)
    # No program is asked.
    monkeypatch.setattr(subprocess, "Popen", None)
    recalled = recall(root, argv, [SECRET], checkout=kept, **told)
    assert recalled is not None
    assert {**recalled, "timestamp": ""} == {**found, "timestamp": ""}
    assert recalled["git"]["dirty"] is True
    assert SECRET not in json.dumps(recalled) + kept.read_text()


def test_the_checkout_of_a_launch_stays_what_it_was(root: Path, git: Git, kept: Path) -> None:
    git("commit", "--quiet", "--all", "-m", "second")
    recalled = recall(root, [], checkout=kept)
    assert recalled is not None
    assert recalled["git"]["commit"] == collect(root, [], checkout=kept)["git"]["commit"]
    assert recalled["git"]["commit"] != collect(root, [])["git"]["commit"]


def test_nothing_is_recalled_of_an_environment_that_changed(
    root: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setenv("PYTHONPATH", str(packages))
    assert recall(root, [], checkout=kept) is None
    collect(root, [])
    assert recall(root, [], checkout=kept) is not None
    (packages / "fit-1.0.dist-info").mkdir()
    (packages / "fit-1.0.dist-info" / "METADATA").write_text("Name: fit\nVersion: 1.0\n")
    assert recall(root, [], checkout=kept) is None
    assert collect(root, [])["packages"]["fit"] == "1.0"


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"time": 1}', b'{"time": "x", "stamp": 1}'])
def test_what_was_kept_and_is_damaged_is_found_anew(root: Path, kept: Path, damage: bytes) -> None:
    before = collect(root, [])
    for path in cache.folder().glob("environment-*.json"):
        path.write_bytes(damage)
    assert recall(root, [], checkout=kept) is None
    assert collect(root, [])["packages"] == before["packages"]
    assert recall(root, [], checkout=kept) is not None
    kept.write_bytes(damage[:1])
    assert recall(root, [], checkout=kept) is None
    assert collect(root, [], checkout=kept)["git"] == before["git"]
    assert recall(root, [], checkout=kept) is not None
