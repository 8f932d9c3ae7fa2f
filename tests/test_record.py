"""Keys, names, launch records and marks."""

from __future__ import annotations

import dataclasses
import json
import random
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savethat.run.key import member_keys, new_key, parse_key, stem_of
from savethat.run.layout import (
    MARKS,
    job_name,
    launch_name,
    mark_name,
    marks_prefix,
    parse_job_name,
    parse_launch_name,
    parse_mark_name,
)
from savethat.run.record import Launch, Mark, Place, PlannedRun, format_time, parse_time

KEY = "FitOLS_2026-11-23T08-05-52_k3x9w2pq"
T0 = datetime(2026, 11, 23, 8, 5, 52, 120000, tzinfo=timezone.utc)
PLACE = Place("slurm", "lab", "anna", "n1", job_id="123_4")
LAUNCH = Launch(KEY, T0, PLACE, (PlannedRun(KEY, "p.fit.FitOLS", {"l2": 0.1}),), tags=("a",))
MARK = Mark(KEY, 1, "completed", "p.fit.FitOLS", KEY, PLACE, T0, T0, T0, args={"l2": 0.1})

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_a_key_says_node_and_time() -> None:
    parts = parse_key(KEY)
    assert parts is not None
    assert parts.node == "FitOLS"
    assert parts.time == T0.replace(microsecond=0)


@pytest.mark.parametrize("count", [1, 2, 10, 11, 1000])
def test_keys_of_one_launch_never_clash_and_tell_their_launch(count: int) -> None:
    stem = new_key("FitOLS", T0, random.Random(1).choices)
    keys = member_keys(stem, count)
    assert len(set(keys)) == count
    assert sorted(keys) == keys
    assert {stem_of(key) for key in keys} == {stem}
    assert all(parse_key(key) is not None for key in keys)


@given(st.integers(0, 5000), st.sampled_from([0, 1, 3, 101, 1001]))
def test_a_job_is_found_from_its_name_and_index(position: int, array_size: int) -> None:
    name, index = job_name("FitOLS_1.2", position, array_size)
    assert index < array_size or array_size == 0
    assert parse_job_name(name, index) == ("FitOLS_1.2", position)


@pytest.mark.parametrize(
    "text",
    ["", "FitOLS", "../FitOLS_2026-11-23T08-05-52_k3x9", "FitOLS_2026-13-23T08-05-52_k3x9", "last"],
)
def test_what_is_no_key_is_none(text: str) -> None:
    assert parse_key(text) is None


@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_is_its_name(mark: str) -> None:
    name = mark_name(KEY, 12, mark)
    assert name.startswith(marks_prefix(KEY))
    assert parse_mark_name(name) == (KEY, 12, mark)


def test_names_that_are_not_ours_are_none() -> None:
    assert parse_mark_name(".savethat/index/Other/" + KEY + ".1.completed") is None
    assert parse_mark_name(".savethat/index/FitOLS/x.1.completed") is None
    assert parse_mark_name(mark_name(KEY, 1, "started") + ".bak") is None
    assert parse_launch_name(launch_name("x/y")) is None


def test_a_launch_comes_back_as_it_was() -> None:
    assert Launch.from_json(json.loads(json.dumps(LAUNCH.to_json()))) == LAUNCH


@given(
    args=st.dictionaries(st.text(), JSON), reason=st.text(), result=st.dictionaries(st.text(), JSON)
)
def test_a_mark_comes_back_as_it_was(
    args: dict[str, Any], reason: str, result: dict[str, Any]
) -> None:
    mark = dataclasses.replace(MARK, args=args, reason=reason, result=result)
    assert Mark.from_json(json.loads(json.dumps(mark.to_json()))) == mark


@given(
    args=st.dictionaries(st.text(max_size=50), st.text(max_size=3000), max_size=8),
    reason=st.text(max_size=3000),
    tags=st.lists(st.text(max_size=3000), max_size=5),
)
def test_info_headers_always_fit_and_say_what_was_cut(
    args: dict[str, str], reason: str, tags: list[str]
) -> None:
    mark = dataclasses.replace(MARK, args=args, reason=reason, tags=tuple(tags))
    info = mark.to_info()
    assert len(info) <= 10
    encoded = sum(len(name) + len(quote(value, safe="")) for name, value in info.items())
    assert encoded + len(mark_name(KEY, 1, "completed")) <= 7000
    back = Mark.from_info(info)
    assert back.args == args or "args" in back.cut
    assert back.tags == tuple(tags) or "tags" in back.cut
    assert (back.key, back.mark, back.node) == (mark.key, mark.mark, mark.node)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"key": "../x"},
        {"attempt": 0},
        {"attempt": "1"},
        {"mark": "finished"},
        {"place": None},
        {"args": []},
        {"started_at": "yesterday"},
        {"tags": "a"},
        {"heartbeat": True},
    ],
)
def test_a_mark_that_does_not_look_as_it_should_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Mark.from_json({**MARK.to_json(), **change})


@pytest.mark.parametrize(
    "change", [{"format": 0}, {"runs": []}, {"runs": [{}]}, {"id": "../x"}, {"place": {}}]
)
def test_a_launch_that_does_not_look_as_it_should_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Launch.from_json({**LAUNCH.to_json(), **change})


def test_fields_of_later_versions_are_ignored() -> None:
    assert Mark.from_json({**MARK.to_json(), "colour": "red"}) == MARK


@given(st.datetimes(timezones=st.just(timezone.utc), min_value=datetime(1970, 1, 1)))
def test_times_come_back_as_they_were(time: datetime) -> None:
    assert parse_time(format_time(time)) == time
