"""The status law, row by row of docs/explanation/status.md."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import datetime, timezone

import pytest

from savethat.run.record import Mark, Place
from savethat.run.status import (
    ANSWER_AGE,
    SUBMIT_GRACE,
    Answer,
    Job,
    NoSuchJob,
    NotAsked,
    Phase,
    State,
    Status,
    read_status,
    stale_after,
)

T0 = datetime(2026, 11, 23, 8, 5, 52, tzinfo=timezone.utc)
PENDING = Job(Phase.PENDING, "Resources")
RUNNING = Job(Phase.RUNNING)
TIMEOUT = Job(Phase.OVER, "timeout")
SCANCEL = Job(Phase.OVER, "cancelled by anna", cancelled=True)
GONE = NoSuchJob()
SILENT = NotAsked("squeue did not answer")
ANSWERS: list[Answer] = [PENDING, RUNNING, TIMEOUT, SCANCEL, GONE, SILENT]
OLD = 10 * SUBMIT_GRACE


def mark(kind: str, reason: str = "") -> Mark:
    place = Place("slurm", "lab", "anna", "n1")
    return Mark(
        "FitOLS_2026-11-23T08-05-52_k3x9", 1, kind, "p.FitOLS", "l", place, T0, T0, reason=reason
    )


FRESH = 0.0
STALE = stale_after(mark("started"))


@pytest.mark.parametrize(
    ("kind", "answer", "heartbeat_age"),
    [*itertools.product(("completed", "failed", "cancelled"), ANSWERS, (FRESH, STALE))],
)
def test_an_ending_mark_is_the_truth_whatever_else_is_said(
    kind: str, answer: Answer, heartbeat_age: float
) -> None:
    state = read_status(mark(kind, "why"), answer, heartbeat_age=heartbeat_age, launch_age=OLD)
    assert state == State(Status(kind), "why")


@pytest.mark.parametrize(
    ("started", "heartbeat_age"), [(False, FRESH), (True, FRESH), (True, STALE)]
)
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (RUNNING, State(Status.RUNNING)),
        (TIMEOUT, State(Status.LOST, "timeout")),
        (SCANCEL, State(Status.CANCELLED, "cancelled by anna")),
    ],
)
def test_without_an_ending_a_scheduler_that_knows_the_job_decides(
    started: bool, heartbeat_age: float, answer: Answer, expected: State
) -> None:
    said = mark("started") if started else None
    assert read_status(said, answer, heartbeat_age=heartbeat_age, launch_age=OLD) == expected


def test_a_pending_job_is_queued() -> None:
    assert read_status(None, PENDING, launch_age=OLD) == State(Status.QUEUED, "Resources")


@pytest.mark.parametrize("reason", ["preempted", "timeout", ""])
def test_a_pending_job_that_had_begun_is_queued_again(reason: str) -> None:
    said = mark("started", reason)
    state = read_status(said, PENDING, heartbeat_age=STALE, launch_age=OLD)
    assert state == State(Status.QUEUED, f"{reason or 'requeued'} (attempt 2 queued)")


def test_a_job_that_began_since_it_was_asked_about_is_not_called_requeued() -> None:
    said = mark("started")
    for age, reason in ((ANSWER_AGE - 1, "Resources"), (ANSWER_AGE, "requeued (attempt 2 queued)")):
        state = read_status(said, PENDING, heartbeat_age=age, launch_age=OLD)
        assert state == State(Status.QUEUED, reason)
    # Where an attempt says itself that another follows, that is so at once.
    said = mark("started", "preempted")
    state = read_status(said, PENDING, heartbeat_age=FRESH, launch_age=OLD)
    assert state.reason == "preempted (attempt 2 queued)"


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [(1, "Resources"), (2, "requeued (attempt 2 queued)"), (3, "requeued (attempt 3 queued)")],
)
def test_a_scheduler_that_counts_attempts_is_believed(attempt: int, reason: str) -> None:
    job = dataclasses.replace(PENDING, attempt=attempt)
    state = read_status(mark("started"), job, heartbeat_age=FRESH, launch_age=OLD)
    assert state == State(Status.QUEUED, reason)


@pytest.mark.parametrize(("attempt", "reason"), [(0, "preempted"), (1, "preempted"), (2, "")])
def test_the_last_word_of_an_attempt_is_not_said_of_the_next(attempt: int, reason: str) -> None:
    job = dataclasses.replace(RUNNING, attempt=attempt)
    state = read_status(mark("started", "preempted"), job, heartbeat_age=FRESH, launch_age=OLD)
    assert state == State(Status.RUNNING, reason)


def test_an_attempt_that_says_that_another_follows_is_believed_from_afar_while_it_is_fresh() -> (
    None
):
    said = mark("started", "preempted")
    state = read_status(said, SILENT, heartbeat_age=STALE - 1)
    assert state == State(Status.QUEUED, "preempted (attempt 2 queued)")
    assert read_status(said, SILENT, heartbeat_age=STALE).status is Status.UNKNOWN
    # Its scheduler may know better: it was not started again.
    silent_end = dataclasses.replace(TIMEOUT, reason="")
    assert read_status(said, silent_end) == State(Status.LOST, "preempted")


@pytest.mark.parametrize("heartbeat_age", [FRESH, STALE])
def test_a_started_run_its_scheduler_does_not_know_is_lost(heartbeat_age: float) -> None:
    state = read_status(mark("started"), GONE, heartbeat_age=heartbeat_age, launch_age=0.0)
    assert state == State(Status.LOST, "no trace of the job")


def test_a_launch_without_a_job_is_being_submitted_and_then_was_not() -> None:
    young = read_status(None, GONE, launch_age=SUBMIT_GRACE - 1)
    old = read_status(None, GONE, launch_age=SUBMIT_GRACE)
    assert young == State(Status.QUEUED, "being submitted")
    assert old == State(Status.LOST, "never submitted")


def test_the_last_words_of_a_lost_job_are_its_reason() -> None:
    trace = NoSuchJob("ModuleNotFoundError: No module named 'torch'")
    assert read_status(None, trace, launch_age=OLD).reason == trace.trace


def test_where_nobody_could_be_asked_a_fresh_heartbeat_means_running() -> None:
    said = mark("started")
    assert read_status(said, SILENT, heartbeat_age=STALE - 1).status is Status.RUNNING
    stale = read_status(said, SILENT, heartbeat_age=STALE, last_seen="running on n1 at 22:40")
    assert stale == State(Status.UNKNOWN, "running on n1 at 22:40; squeue did not answer")


def test_could_not_ask_is_not_the_same_as_not_there() -> None:
    seen = "queued on mila when last seen 22:40"
    assert read_status(None, SILENT, launch_age=OLD, last_seen=seen).status is Status.UNKNOWN
    assert read_status(None, GONE, launch_age=OLD, last_seen=seen).status is Status.LOST


def test_doubt_never_makes_a_run_removable() -> None:
    for said, age in itertools.product((None, mark("started")), (FRESH, STALE)):
        state = read_status(said, SILENT, heartbeat_age=age, launch_age=OLD)
        assert not state.status.finished
