from __future__ import annotations

from typing import Any

import pytest

from savethat.config import SlurmConfig
from savethat.errors import ConfigError, UsageError
from savethat.launchers.slurm.known import ALTERNATIVES, OPTIONS, OWNED, TIMES
from savethat.launchers.slurm.options import merge, over, with_requeue

CONFIG = SlurmConfig(
    defaults={"partition": "gpu", "time": "4h", "mem": "8G", "gres": "gpu:1", "exclusive": True},
    presets={"big": {"gpus": 4, "mem": "64G", "setup": ("module load big",)}},
    clusters={"mila": {"account": "rrg-x", "partition": "long", "setup": ("module load mila",)}},
    setup=("module load cuda",),
)


def test_each_layer_goes_over_the_one_before() -> None:
    options = dict(merge(CONFIG, cluster="mila").options)
    assert options == {
        "account": "rrg-x",
        "exclusive": True,
        "gres": "gpu:1",
        "mem": "8G",
        "partition": "long",
        "time": "04:00:00",
    }
    request = merge(
        CONFIG,
        cluster="mila",
        preset="big",
        flags={"time": "90m", "partition": "short", "qos": None},
        sbatch=["time=30", "mail_type=END"],
    )
    assert dict(request.options) == {
        "account": "rrg-x",
        "exclusive": True,
        "gpus": 4,
        "mail-type": "END",
        "mem": "64G",
        "partition": "short",
        "time": "00:30:00",
    }
    assert request.setup == ("module load cuda", "module load mila", "module load big")


def test_another_clusters_options_do_not_apply() -> None:
    assert merge(CONFIG, cluster="lab").options["partition"] == "gpu"
    assert merge(CONFIG).setup == ("module load cuda",)


def test_an_option_goes_over_its_alternatives() -> None:
    request = merge(CONFIG, flags={"gpus": "a100:1"}, sbatch=["mem-per-cpu=2G"])
    assert request.options.keys() & {"gres", "mem"} == set()
    # In one layer the user may have meant both: sbatch is to say.
    both = merge(SlurmConfig(defaults={"gpus": 2, "gpus-per-node": 1}))
    assert both.options == {"gpus": 2, "gpus-per-node": 1}


def test_a_job_is_requeued_or_is_not_whatever_was_said_before() -> None:
    for before in ((), ("requeue",), ("no-requeue",)):
        options: dict[str, str | int | bool] = {"mem": "8G", **dict.fromkeys(before, True)}
        assert with_requeue(options, requeue=True) == {"mem": "8G", "requeue": True}
        assert with_requeue(options, requeue=False) == {"mem": "8G", "no-requeue": True}
        # What the launch before said is not among what a retry asks for again.
        asked: dict[str, str | int | float | bool] = {**options}
        assert over(asked, {"time": "1h"}).options == {"mem": "8G", "time": "01:00:00"}
    assert over({"no-requeue": True}, {}, ["requeue=true"]).options == {"requeue": True}


def test_false_takes_an_option_back() -> None:
    assert "exclusive" not in merge(CONFIG, sbatch=["exclusive=false"]).options
    assert merge(SlurmConfig(), sbatch=["hold", "exclusive=user"]).options == {
        "exclusive": "user",
        "hold": True,
    }


@pytest.mark.parametrize(
    ("kwargs", "message", "hint"),
    [
        ({"sbatch": ["partitoin=gpu"]}, "no option --partitoin", "did you mean partition"),
        ({"sbatch": ["frobnicate=1"]}, "no option --frobnicate", "man sbatch"),
        ({"sbatch": ["output=x"]}, "--output is not yours to set", "leave it out"),
        ({"sbatch": ["job_name=x"]}, "--job-name is not yours to set", "leave it out"),
        ({"sbatch": ["partition"]}, "--partition needs a value", "partition=VALUE"),
        ({"sbatch": ["partition="]}, "has no value", "KEY=VALUE"),
        ({"sbatch": ["hold=maybe"]}, "--hold takes no value", "true or false"),
        ({"sbatch": ["comment=a\nb"]}, "--comment cannot be", "one line"),
        ({"flags": {"time": "tomorrow"}}, "'tomorrow' is not a time limit", "90m"),
        ({"flags": {"mem": ""}}, "--mem cannot be ''", "value"),
        ({"preset": "bgi"}, "no preset 'bgi'", "did you mean big"),
        ({"preset": "x"}, "no preset 'x'", "has: big"),
    ],
)
def test_a_wrong_option_is_refused_by_name(kwargs: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        merge(CONFIG, **kwargs)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SlurmConfig(defaults={"partitoin": "gpu"}), "[slurm] of savethat.toml: sbatch has no"),
        (SlurmConfig(clusters={"lab": {"time": "x"}}), "[slurm.clusters.lab] of savethat.toml"),
        (SlurmConfig(presets={"big": {"wrap": "x"}}), "[slurm.presets.big] of savethat.toml"),
    ],
)
def test_a_wrong_option_in_the_configuration_names_its_table(
    config: SlurmConfig, message: str
) -> None:
    preset = "big" if config.presets else None
    with pytest.raises(ConfigError) as caught:
        merge(config, cluster="lab", preset=preset)
    assert message in caught.value.message


def test_the_warning_comes_ahead_of_the_limit() -> None:
    assert merge(SlurmConfig()).signal == "B:USR2@90"
    assert merge(SlurmConfig(defaults={"time": 2})).signal == "B:USR2@30"


def test_the_tables_agree() -> None:
    assert not OPTIONS & OWNED.keys()
    assert frozenset().union(*ALTERNATIVES, TIMES) <= OPTIONS
