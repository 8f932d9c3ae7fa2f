"""What holds for every test: a user's environment of its own, and no silent skips in CI."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

import pytest

from tests.program import STARTED

pytest_plugins = ["tests.b2_fixtures", "tests.git_fixtures"]

# A runner that was itself started in the background hands on ignored signals, which programs
# respect, as they do nohup's: the tests send them and expect an effect.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

FORBID_SKIPS = bool(os.environ.get("SAVETHAT_FORBID_SKIPS"))
LAB = Path(os.environ.get("SAVETHAT_SLURM_LAB") or "/tmp/savethat-slurm-lab")

# A developer's own settings, and those of the git hook or the job that pytest may run in.
FOREIGN = (
    *("SAVETHAT_", "B2_", "XDG_", "GIT_"),
    *("SLURM_", "SBATCH_", "SALLOC_", "SRUN_", "SQUEUE_", "SACCT_", "SCANCEL_", "SINFO_"),
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR"),
)
MARKERS = {"slurm": "slurm", "b2_server_process": "b2"}


@pytest.fixture(scope="session")
def slurm() -> Mapping[str, str]:
    """The environment of a client of the tests' own SLURM; no other cluster is ever asked."""
    env = {"SLURM_CONF": str(LAB / "slurm.conf")}
    try:
        subprocess.run(
            ["sinfo", "--noheader"],
            env={**os.environ, **env},
            check=True,
            capture_output=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"the tests' SLURM does not answer (make slurm-up): {error}")
    return env


@pytest.fixture(autouse=True)
def user_environment(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A new user's environment: an empty home, no settings, no credentials, no cluster."""
    home = tmp_path_factory.mktemp("home")
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / ".local" / "share"))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "A Tester")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tester@example.com")
    needs_slurm = request.node.get_closest_marker("slurm") is not None
    env = request.getfixturevalue("slurm") if needs_slurm else {"SLURM_CONF": str(home / "none")}
    for name, value in env.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(autouse=True)
def no_program_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        process = STARTED.pop()
        if process.returncode is None:
            process.kill()
            process.communicate()


@pytest.hookimpl(tryfirst=True)  # before -m selects by the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever uses a fixture of a service needs that service."""
    for item in items:
        for fixture, marker in MARKERS.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    forbid_skip(report)
    return report


def forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if FORBID_SKIPS and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"SAVETHAT_FORBID_SKIPS is set, and this was skipped: {report.longrepr}"
