from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError, JobPaths

from savethat.errors import SchedulerError
from savethat.launchers.slurm.arrays import Chunk, chunks
from savethat.launchers.slurm.batch import Batch, RefusedByLimitError
from savethat.launchers.slurm.leftovers import UnansweredError
from savethat.launchers.slurm.options import Request

SINGLE = Chunk("Fit_1", 0, None)
REQUEST = Request(
    {"comment": "it's #1", "exclusive": True, "gpus": "a100:1", "time": "00:02:00"},
    ("module load cuda",),
)


@pytest.fixture
def no_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


@pytest.mark.usefixtures("no_slurm")
def test_the_script_is_exactly_this_where_there_is_no_slurm(tmp_path: Path) -> None:
    folder = tmp_path / "launch"
    batch = Batch(SINGLE, REQUEST, folder, tmp_path)
    text = batch.text(["python", "-m", "w", "a b"])
    assert (
        text
        == f"""#!/bin/bash

# Parameters
#SBATCH --chdir={tmp_path}
#SBATCH --comment='it'"'"'s #1'
#SBATCH --exclusive
#SBATCH --gpus=a100:1
#SBATCH --job-name=Fit_1
#SBATCH --open-mode=append
#SBATCH --output={folder}/%x.log
#SBATCH --signal=B:USR2@30
#SBATCH --time=00:02:00

# setup
trap '' USR1 USR2
module load cuda

# command
export SUBMITIT_EXECUTOR=slurm
exec python -m w 'a b'
"""
    )
    assert not folder.exists()


def test_what_nobody_asked_for_is_left_to_the_site(tmp_path: Path) -> None:
    text = Batch(SINGLE, Request(), tmp_path, tmp_path).text(["w"])
    for option in ("time", "nodes", "wckey", "array", "error"):
        assert f"--{option}=" not in text


def test_several_runs_are_one_array(tmp_path: Path) -> None:
    (chunk,) = chunks("Fit_1", [0, 1, 2, 5], 101)
    text = Batch(chunk, Request(), tmp_path, tmp_path, 2).text(["w"])
    assert "#SBATCH --array=0-2,5%2\n" in text
    assert f"#SBATCH --output={tmp_path}/%x_%a.log\n" in text


def test_an_array_begins_when_those_before_it_have_ended(tmp_path: Path) -> None:
    text = Batch(SINGLE, Request(), tmp_path, tmp_path, after=["7", "8"]).text(["w"])
    assert "#SBATCH --dependency=afterany:7:8\n" in text
    own = Request({"dependency": "afterok:5"})
    text = Batch(SINGLE, own, tmp_path, tmp_path, after=["7"]).text(["w"])
    assert "#SBATCH --dependency=afterok:5,afterany:7\n" in text


@pytest.mark.parametrize(
    ("sbatch", "message", "kind"),
    [
        (
            "echo 'sbatch: error: Batch job submission failed: Busy' >&2; exit 1",
            "failed: Busy$",
            SchedulerError,
        ),
        ("exit 124", "did not answer", UnansweredError),
        ("echo nothing of use", "named no job: nothing of use", SchedulerError),
        (
            "echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1",
            "takes no more jobs now: QOSMaxSubmitJobPerUserLimit",
            RefusedByLimitError,
        ),
    ],
)
def test_what_sbatch_says_is_passed_on_and_nothing_stays(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    sbatch: str,
    message: str,
    kind: type[SchedulerError],
) -> None:
    program = tmp_path / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{sbatch}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    folder = tmp_path / "launch"
    with pytest.raises(SchedulerError, match=message) as caught:
        Batch(SINGLE, Request(), folder, tmp_path).send(["w"])
    assert type(caught.value) is kind
    assert [path.name for path in folder.iterdir()] == ["sbatch.lock"]
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
        Batch(SINGLE, Request(), folder, tmp_path).send(["w"])
    assert sorted(path.name for path in folder.iterdir()) == ["order.json", "sbatch.lock"]


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
    batch = Batch(SINGLE, Request(), tmp_path, tmp_path)
    assert batch.folder == tmp_path


def test_asking_imports_no_submitit() -> None:
    code = (
        "import sys; from savethat.launchers import slurm; import savethat.launchers.slurm.queue;"
        "print(sorted({'submitit', 'cloudpickle', 'filelock', 'b2sdk'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
