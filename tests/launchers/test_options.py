"""Resources as data: merged, checked and normalised before anything is submitted."""

from __future__ import annotations

import pytest

from savethat.config import SlurmConfig
from savethat.errors import ConfigError, SavethatError, UsageError
from savethat.launchers.slurm.options import merge
from savethat.launchers.slurm.states import STATES, read_state
from savethat.run.status import Job, NotAsked, Phase

CONFIG = SlurmConfig(
    defaults={"partition": "cpu", "time": "4h", "mem": "4G"},
    presets={"big": {"gpus": 4, "mem": "64G", "setup": ("module load cuda",)}},
    clusters={"mila": {"account": "rrg-x", "partition": "long"}},
    setup=("source env",),
)


def test_each_layer_goes_over_the_one_before() -> None:
    request = merge(
        CONFIG, cluster="mila", preset="big", flags={"mem": "8G"}, sbatch=["mail-type=END"]
    )
    assert request.options == {
        "account": "rrg-x",
        "gpus": "4" if isinstance(request.options["gpus"], str) else 4,
        "mail-type": "END",
        "mem": "8G",
        "partition": "long",
        "time": request.options["time"],
    }
    assert request.setup == ("source env", "module load cuda")
    assert merge(CONFIG, cluster="other").options["partition"] == "cpu"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("90m", 5400),
        ("4h", 14400),
        ("2d", 172800),
        ("1:30:00", 5400),
        ("2-0", 172800),
        ("1-12:30", 131400),
    ],
)
def test_times_are_sbatch_s_and_people_s(text: str, seconds: float) -> None:
    assert merge(SlurmConfig(), flags={"time": text}).time_limit == seconds


def test_short_requests_are_warned_later() -> None:
    assert merge(SlurmConfig(), flags={"time": "4h"}).signal == "B:USR2@90"
    lead = int(merge(SlurmConfig(), flags={"time": "2"}).signal.partition("@")[2])
    assert 0 < lead <= 30


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["partitoin=gpu"], "partition"),
        (["time=soon"], "soon"),
        (["output=x"], "output"),
        (["array=0-5"], "array"),
        (["mem="], "mem"),
    ],
)
def test_what_sbatch_does_not_have_is_refused(options: list[str], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        merge(SlurmConfig(), sbatch=options)
    assert words in refused.value.message + refused.value.hint


def test_mistakes_in_the_configuration_name_the_table() -> None:
    with pytest.raises(ConfigError, match=r"\[slurm\]"):
        merge(SlurmConfig(defaults={"partitoin": "gpu"}))
    with pytest.raises(SavethatError, match="huge"):
        merge(CONFIG, preset="huge")


@pytest.mark.parametrize("state", sorted(STATES))
def test_every_state_of_slurm_has_a_meaning_and_an_end_has_a_reason(state: str) -> None:
    job = read_state(state, reason="Resources", exit_code="1:0", job_id="7", host="n1")
    assert isinstance(job, Job)
    assert job.phase is not Phase.OVER or job.reason


@pytest.mark.parametrize(
    ("state", "exit_code", "reason", "cancelled"),
    [
        ("TIMEOUT", "0:0", "timeout", False),
        ("OUT_OF_MEMORY", "0:125", "out of memory", False),
        ("NODE_FAIL", "1:0", "node failure", False),
        ("FAILED", "3:0", "exit code 3", False),
        ("FAILED", "0:9", "killed by SIGKILL", False),
        ("CANCELLED by 0", "0:15", "cancelled by root", True),
    ],
)
def test_reasons_are_in_our_words(state: str, exit_code: str, reason: str, cancelled: bool) -> None:
    job = read_state(state, exit_code=exit_code)
    assert isinstance(job, Job)
    assert (job.reason, job.cancelled) == (reason, cancelled)


def test_a_state_slurm_has_not_had_so_far_is_doubt() -> None:
    assert isinstance(read_state("QUANTUM"), NotAsked)
