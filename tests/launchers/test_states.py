from __future__ import annotations

import pytest

from savethat.launchers.slurm.states import STATES, read_state
from savethat.run.status import Job, NotAsked, Phase

OVER, PENDING, RUNNING = Phase.OVER, Phase.PENDING, Phase.RUNNING


@pytest.mark.parametrize(
    ("state", "kwargs", "job"),
    [
        ("PENDING", {"reason": "Resources", "host": "n/a"}, Job(PENDING, "Resources")),
        ("PENDING", {"reason": "None"}, Job(PENDING)),
        ("REQUEUED", {"reason": "BeginTime"}, Job(PENDING, "requeued")),
        ("REQUEUE_HOLD", {}, Job(PENDING, "requeued and held")),
        ("RUNNING", {"reason": "None", "host": "n1"}, Job(RUNNING, host="n1")),
        ("COMPLETING", {}, Job(RUNNING, "ending")),
        ("SUSPENDED", {}, Job(RUNNING, "suspended")),
        ("COMPLETED", {"exit_code": "0:0"}, Job(OVER, "the job ended without a word")),
        ("FAILED", {"exit_code": "1:0"}, Job(OVER, "exit code 1")),
        ("FAILED", {"exit_code": "0:9"}, Job(OVER, "killed by SIGKILL")),
        ("FAILED", {"exit_code": "0:99"}, Job(OVER, "killed by signal 99")),
        ("FAILED", {"reason": "NonZeroExitCode"}, Job(OVER, "non-zero exit code")),
        ("FAILED", {"reason": "RaisedSignal:9(Killed)"}, Job(OVER, "RaisedSignal:9(Killed)")),
        ("CANCELLED", {}, Job(OVER, "cancelled", cancelled=True)),
        ("CANCELLED by 0", {}, Job(OVER, "cancelled by root", cancelled=True)),
        ("CANCELLED by 99999", {}, Job(OVER, "cancelled by user 99999", cancelled=True)),
        ("TIMEOUT", {}, Job(OVER, "timeout")),
        ("OUT_OF_MEMORY", {"exit_code": "0:125"}, Job(OVER, "out of memory")),
        ("NODE_FAIL", {}, Job(OVER, "node failure")),
        ("PREEMPTED", {"job_id": "7"}, Job(OVER, "preempted", job_id="7")),
    ],
)
def test_states(state: str, kwargs: dict[str, str], job: Job) -> None:
    assert read_state(state, **kwargs) == job


def test_a_state_of_a_later_slurm_is_not_guessed_at() -> None:
    answer = read_state("TELEPORTED")
    assert isinstance(answer, NotAsked)
    assert "TELEPORTED" in answer.why


@pytest.mark.parametrize("state", STATES)
def test_only_a_job_that_is_over_was_cancelled(state: str) -> None:
    meaning = STATES[state]
    assert meaning.phase is OVER or not meaning.cancelled
