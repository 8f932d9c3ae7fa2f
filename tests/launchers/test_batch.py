from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError, JobPaths

from savethat.errors import SchedulerError
from savethat.launchers import slurm
from savethat.launchers.slurm.batch import Batch
from savethat.launchers.slurm.options import Request
from tests.launchers.jobs import a_launch

REQUEST = Request(
    {"comment": "it's #1", "exclusive": True, "gpus": "a100:1", "time": "00:02:00"},
    ("module load cuda",),
)


@pytest.fixture
def no_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


@pytest.mark.usefixtures("no_slurm")
def test_the_script_is_exactly_this_where_there_is_no_slurm(tmp_path: Path) -> None:
    launch = a_launch()
    folder = tmp_path / "launch"
    text = slurm.script(
        launch, REQUEST, command=["python", "-m", "w", "a b"], folder=folder, chdir=tmp_path
    )
    assert (
        text
        == f"""#!/bin/bash

# Parameters
#SBATCH --chdir={tmp_path}
#SBATCH --comment='it'"'"'s #1'
#SBATCH --exclusive
#SBATCH --gpus=a100:1
#SBATCH --job-name={launch.id}
#SBATCH --open-mode=append
#SBATCH --output={folder}/slurm-%j.log
#SBATCH --signal=B:USR2@30
#SBATCH --time=00:02:00

# setup
trap '' USR2
module load cuda

# command
export SUBMITIT_EXECUTOR=slurm
exec python -m w 'a b'
"""
    )
    assert not folder.exists()


def test_what_nobody_asked_for_is_left_to_the_site(tmp_path: Path) -> None:
    text = slurm.script(a_launch(), Request(), command=["w"], folder=tmp_path, chdir=tmp_path)
    for option in ("time", "nodes", "wckey", "array", "error"):
        assert f"--{option}=" not in text


def test_several_runs_are_one_array(tmp_path: Path) -> None:
    text = slurm.script(
        a_launch(3), Request(), command=["w"], folder=tmp_path, chdir=tmp_path, max_parallel=2
    )
    assert "#SBATCH --array=0-2%2\n" in text
    assert f"#SBATCH --output={tmp_path}/slurm-%A_%a.log\n" in text


@pytest.mark.usefixtures("no_slurm")
def test_no_sbatch_on_this_machine(tmp_path: Path) -> None:
    folder = tmp_path / "launch"
    with pytest.raises(SchedulerError, match="no sbatch on this machine"):
        slurm.submit(a_launch(), Request(), command=["w"], folder=folder, chdir=tmp_path)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("sbatch", "message"),
    [
        ("echo 'sbatch: error: Batch job submission failed: Busy' >&2; exit 1", "failed: Busy$"),
        ("exit 124", "did not answer"),
        ("echo nothing of use", "named no job: nothing of use"),
    ],
)
def test_what_sbatch_says_is_passed_on_and_nothing_stays(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    sbatch: str,
    message: str,
) -> None:
    program = tmp_path / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{sbatch}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    folder = tmp_path / "launch"
    with pytest.raises(SchedulerError, match=message):
        slurm.submit(a_launch(), Request(), command=["w"], folder=folder, chdir=tmp_path)
    assert not folder.exists()
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_was_there_keeps_what_was_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    folder = tmp_path / "launch"
    folder.mkdir()
    (folder / "order.json").write_text("{}")
    with pytest.raises(SchedulerError, match="it gave no reason"):
        slurm.submit(a_launch(), Request(), command=["w"], folder=folder, chdir=tmp_path)
    assert [path.name for path in folder.iterdir()] == ["order.json"]


def test_what_is_used_of_submitit_is_where_it_was(tmp_path: Path) -> None:
    # `Batch` overrides or calls these; if submitit renames one, ours would be ignored silently.
    for name in (
        "_submit_command",
        "_make_submission_file_text",
        "_make_submission_command",
        "_get_job_id_from_submission_command",
        "_num_tasks",
        "affinity",
        "update_parameters",
    ):
        assert callable(getattr(submitit.SlurmExecutor, name))
    assert JobPaths(tmp_path, "12").submission_file == tmp_path / "12_submission.sh"
    assert not issubclass(FailedJobError, FailedSubmissionError)
    batch = Batch(a_launch(), Request(), tmp_path, tmp_path, None)
    assert batch.folder == tmp_path


def test_asking_imports_no_submitit() -> None:
    code = (
        "import sys; from savethat.launchers import slurm; import savethat.launchers.slurm.queue;"
        "print(sorted({'submitit', 'cloudpickle', 'filelock', 'b2sdk'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
