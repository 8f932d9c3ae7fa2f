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
from savethat.launchers.queue import revive
from savethat.launchers.queue.environment import INSIDE_A_RUN, own_fingerprint
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


def add(store: Store, name: str = "A") -> int:
    """Queues a run; its number."""
    store.add(Batch(name, Path("/jobs"), sys.executable, Needs()), [(name, 1, 0)], HERE)
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
    assert answer(ref()) == Job(Phase.PENDING, job_id=str(number))
    ((job, _),) = store.queued(HERE, launches=1, of_each=1)
    claim = store.start(job, 0)
    assert claim is not None
    assert answer(ref()) == Job(Phase.PENDING, "starting", job_id=str(number))
    assert store.claim(number, claim, worker.place.pid, worker.place.pid_started)
    assert answer(ref()) == Job(Phase.RUNNING, job_id=str(number), host=SENT.host)
    worker.kill()
    assert answer(ref()) == Job(Phase.OVER, KILLED, job_id=str(number), host=SENT.host)
    store.end(number, claim, reason="exit code 3")
    assert answer(ref()) == Job(Phase.OVER, "exit code 3", job_id=str(number), host=SENT.host)
    later = dataclasses.replace(ref(), attempt=2)
    assert answer(later) == NoSuchJob()


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
    running = Job(Phase.RUNNING, job_id=str(number), host=SENT.host)
    assert snapshot.answers([ref()]) == {ref(): running}
    store.end(number, claim, ending="completed")
    assert snapshot.answers([ref()]) == {ref(): running}


def test_nor_is_what_was_queued_and_ended_meanwhile(store: Store, worker: Worker) -> None:
    for ending in ("completed", "failed"):
        snapshot = Queue().ask(max_age=0)
        number = add(store, ending)
        store.end(number, run(store, number, worker.place), ending=ending)
        (found,) = snapshot.answers([ref(ending)]).values()
        assert found == Job(Phase.RUNNING, job_id=str(number), host=SENT.host)
        # Asked again, its mark must be there: if it is not, the run is over and has none.
        found = answer(ref(ending))
        assert isinstance(found, Job)
        assert found.phase is Phase.OVER
    add(store, "B")
    Queue().cancel([ref("B")])
    assert answer(ref("B")) == Job(Phase.OVER, "cancelled", True, "3", SENT.host)


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


def test_a_runner_that_cannot_be_started_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BlockingIOError("too many processes")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(SchedulerError, match="too many processes"):
        enqueue("A")
    revive()
