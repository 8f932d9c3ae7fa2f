from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from savethat.errors import SchedulerError
from savethat.launchers import queue
from savethat.launchers.base import JobRef
from savethat.launchers.foreground import this_process
from savethat.launchers.processes import INSIDE_A_RUN
from savethat.launchers.queue import revive
from savethat.launchers.queue.environment import own_fingerprint
from savethat.launchers.queue.job import Batch, Needs
from savethat.launchers.queue.scheduler import KILLED, Queue
from savethat.launchers.queue.store import Store, queue_file
from savethat.run.record import QUEUE, Place
from savethat.run.status import Answer, Job, NoSuchJob, NotAsked, Phase

HERE = "the environment"
SENT = dataclasses.replace(this_process(QUEUE, QUEUE), pid=0, pid_started=0.0)


@pytest.fixture
def store() -> Iterator[Store]:
    """The user's own."""
    with Store() as store:
        yield store


# A process that tells where it is.
_WORKER = """
import dataclasses, json, time
from savethat.launchers.foreground import this_process
print(json.dumps(dataclasses.asdict(this_process("queue", "queue"))), flush=True)
time.sleep(1000)
"""


@dataclasses.dataclass
class Worker:
    process: subprocess.Popen[str]
    place: Place

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def worker() -> Iterator[Worker]:
    command = [sys.executable, "-c", _WORKER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Worker(process, Place(**json.loads(process.stdout.readline())))
        process.kill()


def ref(name: str = "A", place: Place = SENT) -> JobRef:
    return JobRef(name, 0, place, key=name)


def word(
    phase: Phase, number: int, reason: str = "", *, cancelled: bool = False, attempt: int = 1
) -> Job:
    host = "" if phase is Phase.PENDING else SENT.host
    return Job(phase, reason, cancelled, str(number), host, attempt)


def add(store: Store, name: str = "A", requeue: int = 0) -> int:
    """Queues a run; its number."""
    store.add(Batch(name, Path("/jobs"), sys.executable, Needs(), requeue), [(name, 1, 0)], HERE)
    return store.jobs([name])[0].number


def run(store: Store, number: int, place: Place) -> int:
    """Gives a run to a worker; its claim to it."""
    (job,) = [job for job, _ in store.queued(HERE, launches=9, of_each=9) if job.number == number]
    claim = store.start(job, 99)
    assert claim is not None
    assert store.claim(number, claim, place.pid, place.pid_started)
    return claim


def answer(asked: JobRef) -> Answer:
    return Queue().ask(max_age=0).answers([asked])[asked]


def test_a_queue_that_never_was_knows_no_run() -> None:
    assert answer(ref()) == NoSuchJob()
    assert not queue_file().exists()


def test_a_run_from_the_queue_to_its_end(store: Store, worker: Worker) -> None:
    number = add(store)
    assert answer(ref()) == word(Phase.PENDING, number)
    ((job, _),) = store.queued(HERE, launches=1, of_each=1)
    claim = store.start(job, 0)
    assert claim is not None
    assert answer(ref()) == word(Phase.PENDING, number, "starting")
    assert store.claim(number, claim, worker.place.pid, worker.place.pid_started)
    assert answer(ref()) == word(Phase.RUNNING, number)
    worker.kill()
    assert answer(ref()) == word(Phase.OVER, number, KILLED)
    store.end(number, claim, reason="exit code 3")
    assert answer(ref()) == word(Phase.OVER, number, "exit code 3")
    later = dataclasses.replace(ref(), attempt=2)
    assert answer(later) == NoSuchJob()


def test_a_run_that_is_started_again_is_known_by_each_of_its_attempts(
    store: Store, worker: Worker
) -> None:
    number = add(store, requeue=1)
    claim = run(store, number, worker.place)
    second = dataclasses.replace(ref(), attempt=2)
    assert answer(ref()) == word(Phase.RUNNING, number)
    assert answer(second) == NoSuchJob()
    snapshot = Queue().ask(max_age=0)
    worker.kill()
    # Nobody has put it back yet; that it is to be is certain.
    assert answer(ref()) == word(Phase.PENDING, number, attempt=2)
    store.end_killed(number, claim, KILLED)
    # The newest mark is of the first attempt, until the second one has begun.
    for asked in (ref(), second):
        assert answer(asked) == word(Phase.PENDING, number, attempt=2)
    # It began after the queue was asked, and before the marks were listed.
    claim = run(store, number, this_process(QUEUE, QUEUE))
    assert snapshot.answers([second])[second] == word(Phase.RUNNING, number, attempt=2)
    store.end_killed(number, claim, KILLED)
    assert answer(ref()) == answer(second) == word(Phase.OVER, number, KILLED, attempt=2)


def test_what_waits_to_be_started_again_can_be_cancelled(store: Store, worker: Worker) -> None:
    run(store, add(store, requeue=1), worker.place)
    worker.kill()
    assert Queue().cancel([ref()]) == [ref()]
    assert answer(ref()) == word(Phase.OVER, 1, "cancelled", cancelled=True, attempt=2)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (dataclasses.replace(SENT, machine="another", host="mila-7"), "mila-7"),
        (dataclasses.replace(SENT, user="anna"), "anna"),
        (dataclasses.replace(SENT, scheduler="slurm", where="mila"), "mila"),
    ],
)
def test_others_are_not_asked(place: Place, words: str) -> None:
    found = answer(ref(place=place))
    assert isinstance(found, NotAsked)
    assert words in found.why
    with pytest.raises(SchedulerError, match=words):
        Queue().cancel([ref(), ref(place=place)])


def test_what_ends_while_marks_are_listed_is_not_lost(store: Store, worker: Worker) -> None:
    """The queue is asked first, the marks are listed then: an answer tells of the first moment."""
    number = add(store)
    claim = run(store, number, worker.place)
    snapshot = Queue().ask(max_age=0)
    worker.kill()
    running = word(Phase.RUNNING, number)
    assert snapshot.answers([ref()]) == {ref(): running}
    store.end(number, claim, ending="completed")
    assert snapshot.answers([ref()]) == {ref(): running}


def test_nor_is_what_was_queued_and_ended_meanwhile(store: Store, worker: Worker) -> None:
    for ending in ("completed", "failed"):
        snapshot = Queue().ask(max_age=0)
        number = add(store, ending)
        store.end(number, run(store, number, worker.place), ending=ending)
        (found,) = snapshot.answers([ref(ending)]).values()
        assert found == word(Phase.RUNNING, number)
        # Asked again, its mark must be there: if it is not, the run is over and has none.
        found = answer(ref(ending))
        assert isinstance(found, Job)
        assert found.phase is Phase.OVER
    add(store, "B")
    Queue().cancel([ref("B")])
    assert answer(ref("B")) == word(Phase.OVER, 3, "cancelled", cancelled=True)


def test_cancelling_tells_workers_and_names_what_never_began(store: Store, worker: Worker) -> None:
    run(store, add(store, "Running"), worker.place)
    add(store, "Waiting")
    refs = [ref("Running"), ref("Waiting"), ref("Unknown")]
    assert Queue().cancel(refs) == refs[1:]
    assert worker.process.wait() == -15


def test_a_worker_lives_on_when_the_queue_s_file_is_lost(
    worker: Worker,
) -> None:
    started = ref(place=worker.place)
    assert answer(started) == Job(Phase.RUNNING, host=SENT.host)
    assert Queue().cancel([started]) == []
    assert worker.process.wait() == -15
    assert answer(started) == NoSuchJob()
    assert Queue().cancel([started]) == [started]


def test_a_queue_that_cannot_be_read_is_no_answer() -> None:
    queue_file().parent.mkdir(parents=True)
    queue_file().write_bytes(b"no database" * 999)
    snapshot = Queue().ask(max_age=0)
    assert str(queue_file()) in snapshot.warning
    assert snapshot.answers([ref()]) == {ref(): NotAsked(snapshot.warning)}
    with pytest.raises(SchedulerError, match="not a database"):
        Queue().cancel([ref()])
    revive()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The environments in which a runner was started; none really is."""
    found: list[str] = []
    monkeypatch.setattr(queue, "_start_runner", lambda: found.append(own_fingerprint()))
    return found


def enqueue(name: str) -> list[int]:
    return queue.enqueue(Batch(name, Path("/jobs"), sys.executable, Needs()), [(name, 1, 0)])


def test_who_queues_first_starts_the_runner(started: list[str]) -> None:
    revive()
    assert not queue_file().exists()
    assert enqueue("A") == [0]
    assert enqueue("A") == []
    assert enqueue("B") == [0]
    revive()
    assert started == [own_fingerprint()]


def test_who_looks_takes_over_what_has_no_runner(
    started: list[str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store)
    # A run that looks at others has an environment which is not for them.
    monkeypatch.setenv(INSIDE_A_RUN, "1")
    revive()
    assert started == []
    monkeypatch.delenv(INSIDE_A_RUN)
    revive()
    assert started == [own_fingerprint()]
    assert store.queued(own_fingerprint(), launches=1, of_each=1)


def test_who_looks_takes_over_what_was_killed(
    started: list[str], store: Store, worker: Worker
) -> None:
    run(store, add(store, requeue=1), worker.place)
    revive()
    assert started == []
    worker.kill()
    revive()
    assert started == [own_fingerprint()]
    assert store.queued(own_fingerprint(), launches=1, of_each=1)


def test_a_runner_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BlockingIOError("too many processes")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(SchedulerError, match="too many processes"):
        enqueue("A")
    revive()
