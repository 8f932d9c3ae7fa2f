"""What squeue and sacct say, read and put together; the programs are scripts that say it."""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import pytest

from savethat.errors import SchedulerError
from savethat.launchers.base import JobRef
from savethat.launchers.foreground import login_name
from savethat.launchers.slurm import accounting, shared
from savethat.launchers.slurm.queue import Slurm
from savethat.launchers.slurm.squeue import Row, read_rows
from savethat.run.key import TIME_FORMAT
from savethat.run.record import SLURM, Place
from savethat.run.status import Answer, Job, NoSuchJob, NotAsked, Phase

HEADER = "JOBID|STATE|EXEC_HOST|REASON|NAME\n"
ACCOUNTS = "JobID|State|ExitCode|Submit|NodeList|JobName\n"
SUBMITTED_LATER = NotAsked("squeue was asked before the job was submitted")


def launch(age: float) -> str:
    """The id of a launch, so many seconds old by the clock of the machine it was made on."""
    when = datetime.fromtimestamp(time.time() - age, timezone.utc)
    return f"Fit_{when.strftime(TIME_FORMAT)}_bcdfghjk"


OLD, FUTURE = launch(3600), launch(-7200)


@dataclasses.dataclass
class Cluster:
    """SLURM's programs, which say what a test wants them to say."""

    folder: Path

    def says(self, program: str, output: str = "", script: str = "") -> None:
        path = self.folder / program
        (self.folder / f"{program}.out").write_text(output)
        path.write_text(f'#!/bin/sh\n{script}\n/bin/cat "$0.out"\n')
        path.chmod(0o755)

    def times_asked(self, program: str) -> int:
        count = self.folder / f"{program}.count"
        return len(count.read_text()) if count.exists() else 0

    def answer(self, ref: JobRef, *, max_age: float = 0) -> Answer:
        return Slurm().ask(max_age=max_age).answers([ref])[ref]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "lab")
    cluster.says("squeue", HEADER, script='printf x >>"$0.count"')
    cluster.says("sacct", ACCOUNTS, script='printf x >>"$0.count"')
    return cluster


def ref(launch: str = OLD, job_id: str = "") -> JobRef:
    return JobRef(launch, 0, Place(SLURM, "lab", login_name(), job_id=job_id), key=launch)


def row(name: str = OLD, job_id: str = "7", state: str = "RUNNING") -> str:
    return f"{job_id}|{state}|n1|None|{name}\n"


def account(name: str = OLD, state: str = "FAILED", code: str = "2:0") -> str:
    return f"7|{state}|{code}|1764000000|n1|{name}\n"


def test_rows_are_read_whatever_the_names_of_other_jobs_are() -> None:
    output = HEADER + row() + row("a|b\nc", "8_3", "PENDING") + row("", "9")
    assert read_rows(output) == [
        Row("7", "RUNNING", "n1", "None", OLD),
        Row("8_3", "PENDING", "n1", "None", "a|b"),
        Row("9", "RUNNING", "n1", "None", ""),
    ]
    assert read_rows(HEADER) == []
    assert read_rows("module cuda/12 loaded\n" + HEADER + row()) == read_rows(HEADER + row())


@pytest.mark.parametrize(
    "output",
    [
        "",
        "\n",
        row(),
        "The system is down.\n",
        HEADER[:-1],
        HEADER + row()[:-1],
        HEADER + "7|RUN\n",
    ],
)
def test_an_answer_that_is_not_whole_is_none(output: str) -> None:
    with pytest.raises(SchedulerError, match="squeue printed"):
        read_rows(output)


def test_only_where_both_were_asked_is_there_no_such_job(cluster: Cluster) -> None:
    assert cluster.answer(ref()) == NoSuchJob()
    cluster.says("sacct", ACCOUNTS + account())
    assert cluster.answer(ref()) == Job(Phase.OVER, "exit code 2", job_id="7", host="n1")


def test_where_no_accounts_are_kept_squeue_alone_decides(cluster: Cluster) -> None:
    script = "echo 'Slurm accounting storage is disabled' >&2; exit 1"
    cluster.says("sacct", script=script)
    assert cluster.answer(ref()) == NoSuchJob()
    (cluster.folder / "sacct").unlink()
    assert cluster.answer(ref()) == NoSuchJob()


@pytest.mark.parametrize("script", ["echo 'sacct: error: Connection refused' >&2; exit 1", "exit"])
def test_where_the_accounting_fails_a_run_that_never_began_is_not_known(
    cluster: Cluster, script: str
) -> None:
    cluster.says("sacct", script=script)
    answer = cluster.answer(ref())
    assert isinstance(answer, NotAsked)
    assert answer.why.startswith("SLURM's accounting could not be asked: sacct")
    # It is asked again, and believed when it answers.
    with pytest.raises(SchedulerError, match="cannot submit"):
        Slurm().look_for([ref()])
    began = cluster.answer(ref(job_id="7"))
    assert isinstance(began, NoSuchJob)
    assert began.trace.startswith("no trace of the job; SLURM's accounting could not be asked")
    cluster.says("sacct", ACCOUNTS)
    assert Slurm().look_for([ref()]) == ([ref()], [])


def test_what_was_submitted_since_squeue_was_asked_is_not_lost(cluster: Cluster) -> None:
    assert cluster.answer(ref(launch(5))) == SUBMITTED_LATER
    snapshot = Slurm().ask(max_age=0)
    assert snapshot.answers([ref()])[ref()] == NoSuchJob()
    shared.forget_answers()  # as whoever submits does
    assert snapshot.answers([ref()])[ref()] == SUBMITTED_LATER
    cluster.says("sacct", ACCOUNTS + account(state="RUNNING"))
    assert snapshot.answers([ref()])[ref()] == Job(Phase.RUNNING, job_id="7", host="n1")


def test_a_job_whose_end_the_accounting_missed_is_over(cluster: Cluster) -> None:
    cluster.says("sacct", ACCOUNTS + account(state="RUNNING"))
    gone = Job(Phase.OVER, "the job ended without a word", job_id="7", host="n1")
    assert cluster.answer(ref()) == gone
    assert Slurm().look_for([ref()]) == ([], [])


def test_a_launch_in_the_future_has_another_clock(cluster: Cluster) -> None:
    assert cluster.answer(ref(FUTURE)) == NoSuchJob()


def test_answers_are_shared_until_something_is_submitted(cluster: Cluster) -> None:
    for _ in range(2):
        cluster.answer(ref(), max_age=60)
    assert (cluster.times_asked("squeue"), cluster.times_asked("sacct")) == (1, 1)
    shared.forget_answers()
    cluster.answer(ref(), max_age=60)
    assert (cluster.times_asked("squeue"), cluster.times_asked("sacct")) == (2, 2)


def test_of_those_who_ask_together_one_does(cluster: Cluster) -> None:
    # The accounting has it running still: that is no last word, and good for a while all the same.
    slowly = 'printf x >>"$0.count"; /bin/sleep 0.3'
    cluster.says("squeue", HEADER, script=slowly)
    cluster.says("sacct", ACCOUNTS + account(state="RUNNING"), script=slowly)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: cluster.answer(ref(), max_age=30), range(5)))
    assert len(set(answers)) == 1
    assert (cluster.times_asked("squeue"), cluster.times_asked("sacct")) == (1, 1)


@pytest.mark.parametrize("program", ["squeue", "sacct", "scontrol"])
def test_a_slurm_that_fails_is_asked_no_more_often(
    cluster: Cluster, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_CLUSTER_NAME")
    cluster.says("scontrol", "ClusterName = lab\n", script='printf x >>"$0.count"')
    cluster.says(program, script='printf x >>"$0.count"; echo "it is down" >&2; exit 1')
    for _ in range(3):
        answer = cluster.answer(ref(), max_age=30)
        assert isinstance(answer, NotAsked)
        assert "it is down" in answer.why
    assert cluster.times_asked(program) == 1
    # Who must know asks all the same, and so does everybody after a submission.
    cluster.answer(ref(), max_age=0)
    assert cluster.times_asked(program) == 2
    shared.forget_answers()
    cluster.answer(ref(), max_age=30)
    assert cluster.times_asked(program) == 3


def test_more_runs_than_are_kept_for_long_are_asked_about_once(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounting, "_KEPT", 2)
    place = Place(SLURM, "lab", login_name())
    refs = [JobRef(OLD, position, place, array_size=9) for position in range(4)]
    for _ in range(2):
        Slurm().ask(max_age=60).answers(refs)
    assert cluster.times_asked("sacct") == 1


@pytest.mark.parametrize("off", [-7200, 7200])
def test_what_a_machine_with_another_clock_has_left_is_not_used(cluster: Cluster, off: int) -> None:
    (file,) = [name for name in files_after(cluster) if name.startswith("squeue")]
    content = shared.read(file)
    shared.write(file, {**content, "at": content["at"] + off})
    cluster.answer(ref(), max_age=60)
    assert cluster.times_asked("squeue") == 2
    shared.write(file, None)
    cluster.says("squeue", script="exit 1")
    assert isinstance(cluster.answer(ref(), max_age=60), NotAsked)
    content = shared.read(f"failed-{file}")
    shared.write(f"failed-{file}", {**content, "at": content["at"] + off})
    cluster.says("squeue", HEADER)
    assert cluster.answer(ref(), max_age=60) == NoSuchJob()


def files_after(cluster: Cluster) -> list[str]:
    """The names of the shared answers after squeue was asked."""
    from savethat import cache

    cluster.answer(ref(), max_age=60)
    return [path.name for path in cache.folder().glob("*.json")]


def test_an_id_that_is_used_again_is_another_job(cluster: Cluster) -> None:
    cluster.says("squeue", HEADER + row(launch(60)))
    assert cluster.answer(ref(job_id="7")) == NoSuchJob()
    cluster.says("squeue", HEADER + row("other", state="COMPLETED"))
    assert cluster.answer(ref(job_id="7")) == NoSuchJob()


def test_a_job_that_may_have_been_renamed_leaves_doubt(cluster: Cluster) -> None:
    cluster.says("squeue", HEADER + row("mine"))
    cluster.says("scancel", script=': >"$0.ran"')
    why = "SLURM has a job 7 under the name mine"
    assert cluster.answer(ref(job_id="7")) == NotAsked(why)
    with pytest.raises(SchedulerError, match=why):
        Slurm().cancel([ref(job_id="7")])
    assert not (cluster.folder / "scancel.ran").exists()


def test_a_users_own_defaults_do_not_hide_jobs(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = '[ -z "$SQUEUE_PARTITION$B2_APPLICATION_KEY" ] || exit 1'
    cluster.says("squeue", HEADER + row(), script=script)
    monkeypatch.setenv("SQUEUE_PARTITION", "gpu")
    monkeypatch.setenv("B2_APPLICATION_KEY", "secret")
    assert cluster.answer(ref()) == Job(Phase.RUNNING, job_id="7", host="n1")
