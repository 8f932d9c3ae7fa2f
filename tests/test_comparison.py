"""Two runs compared: each kind of difference, and what never counts as one."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savethat.catalog.comparison import ABSENT, Comparison, Difference, RunFacts, compare

PROVENANCE: dict[str, Any] = {
    "timestamp": "2026-11-23T08:05:52.000000Z",
    "argv": ["run", "Fit"],
    "hostname": "login1",
    "platform": "Linux-5.15-x86_64",
    "python": {
        "version": "3.12.1",
        "implementation": "CPython",
        "compiler": "GCC 12",
        "executable": "/home/ada/env/bin/python",
        "prefix": "/home/ada/env",
    },
    "packages": {"numpy": "2.1.0", "Lab_Models": "1.0"},
    "direct_urls": {"Lab_Models": {"url": "https://x/lab", "editable": False, "commit": "abc"}},
    "cpu": {"model": "EPYC", "machine": "x86_64", "usable": 4, "count": 8, "flags": ["avx", "sse"]},
    "gpus": ["A100", "A100"],
    "driver": "550.54",
    "cuda": "12.4",
    "os": {"name": "Ubuntu", "version": "22.04", "kernel": "5.15"},
    "modules": ["cuda/12.4", "slurm"],
    "seeds": {"PYTHONHASHSEED": "0", "seed": 3},
    "capsule": None,
    "git": {"commit": "c1", "dirty": True, "diff": "+a\n+b\n", "untracked": ["x y", "z"]},
    "problems": [],
}
INPUTS = {
    "format": 1,
    "files": [{"key": "data/a.csv", "size": 1, "sha1": "s1"}],
    "left_out": 0,
}


def run(**changes: Any) -> RunFacts:
    facts = RunFacts(
        "Fit_1",
        {"lr": 0.1, "seed": 3, "opt": {"name": "adam", "betas": [0.9, 0.99]}, "none": {}},
        {"mse": 0.5, "history": [1.0, 2.0]},
        copy.deepcopy(PROVENANCE),
        copy.deepcopy(INPUTS),
        {"model.bin": (3, "m"), "log.csv": (9, "l"), "results.json": (5, "r")},
    )
    return dataclasses.replace(facts, **changes)


def made(*path: str, value: Any) -> RunFacts:
    """A run whose provenance has another value at a path."""
    facts = run()
    assert facts.provenance is not None
    section: Any = facts.provenance
    for name in path[:-1]:
        section = section[name]
    section[path[-1]] = value
    return facts


def differences(a: RunFacts, b: RunFacts, tolerance: float = 0.0) -> list[tuple[Any, ...]]:
    found = compare(a, b, tolerance=tolerance).differences
    return [dataclasses.astuple(difference) for difference in found]


def test_equal_runs_are_the_same() -> None:
    found = compare(run(), run(key="Fit_2"))
    assert found == Comparison("Fit_1", "Fit_2", 0.0, ())
    assert (found.same, found.equal_outcome, found.rows()) == (True, True, [])


# --- what they were made from ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("python", "version"), "3.12.2", [("python", "version", "3.12.1", "3.12.2")]),
        (("packages", "numpy"), "2.2.0", [("packages", "numpy", "2.1.0", "2.2.0")]),
        (("packages", "jax"), "1", [("packages", "jax", ABSENT, "1")]),
        (
            ("direct_urls", "Lab_Models", "commit"),
            "abd",
            [("packages", "lab-models", "1.0 at abc", "1.0 at abd")],
        ),
        (("os", "kernel"), "6.1", [("platform", "kernel", "5.15", "6.1")]),
        (("driver",), None, [("driver", "driver", "550.54", None)]),
        (("cuda",), "12.5", [("cuda", "cuda", "12.4", "12.5")]),
        (("gpus",), ["A100", "T4"], [("gpu", "A100", 2, 1), ("gpu", "T4", ABSENT, 1)]),
        (("cpu", "model"), "Xeon", [("cpu", "model", "EPYC", "Xeon")]),
        (("cpu", "flags"), ["avx2", "sse"], [("cpu", "flags", ["avx"], ["avx2"])]),
        (("modules",), ["cuda/12.5"], [
            ("modules", "cuda", "12.4", "12.5"),
            ("modules", "slurm", "loaded", ABSENT),
        ]),
        (("seeds", "PYTHONHASHSEED"), "1", [("seeds", "PYTHONHASHSEED", "0", "1")]),
        # An argument, compared as such.
        (("seeds", "seed"), 4, []),
        (("git", "commit"), "c2", [("code", "commit", "c1", "c2")]),
        (("git", "dirty"), False, [("code", "dirty", True, False)]),
        (("git", "untracked"), ["x y"], [("code", "untracked", ["z"], [])]),
        (("capsule",), {"name": "k"}, [("code", "capsule", None, "k")]),
        # Where and when, and what a person did to look at it.
        (("timestamp",), "2027-01-01T00:00:00.000000Z", []),
        (("argv",), ["retry"], []),
        (("python", "executable"), "/usr/bin/python3", []),
        (("problems",), ["cpu: no"], []),
    ],
)  # fmt: skip
def test_provenance(path: tuple[str, ...], value: Any, expected: list[Any]) -> None:
    found = compare(run(), made(*path, value=value))
    assert [dataclasses.astuple(difference) for difference in found.differences] == expected
    assert found.same is (not expected)
    assert found.equal_outcome


def test_another_host_is_told_and_still_the_same() -> None:
    found = compare(run(), made("hostname", value="node7"))
    assert found.differences == (Difference("host", "hostname", "login1", "node7"),)
    assert found.same


def test_the_same_capsule_is_the_same_code_whatever_git_says() -> None:
    other = {**PROVENANCE["git"], "commit": "c2", "dirty": False, "diff": ""}
    a = made("capsule", value={"name": "k"})
    b = run(provenance={**PROVENANCE, "git": other, "capsule": {"name": "k"}})
    assert differences(a, b) == []
    b = run(provenance={**PROVENANCE, "git": other, "capsule": {"name": "l"}})
    kinds = [(what, name) for what, name, _, _ in differences(a, b)]
    assert kinds == [("code", name) for name in ("capsule", "commit", "dirty", "diff")]


def test_a_long_diff_is_told_in_few_words() -> None:
    ((what, name, a, b),) = differences(run(), made("git", "diff", value="+a\n" * 100_000))
    assert (what, name) == ("code", "diff")
    assert a.startswith("2 lines, SHA-1 ")
    assert b.startswith("100000 lines, SHA-1 ")


def test_a_record_that_is_missing_is_one_difference() -> None:
    assert differences(run(provenance=None), run()) == [
        ("provenance", "reproducible.json", ABSENT, "there")
    ]
    assert differences(run(provenance=None), run(provenance=None)) == []


def test_what_an_earlier_record_does_not_tell_is_no_difference() -> None:
    later = ("os", "driver", "cuda", "modules", "seeds", "capsule")
    a = run(provenance={name: PROVENANCE[name] for name in PROVENANCE if name not in later})
    assert differences(a, run()) == []
    assert differences(a, made("platform", value="Linux-6")) == [
        ("platform", "platform", "Linux-5.15-x86_64", "Linux-6")
    ]


def test_what_could_not_be_had_is_null_and_compared_as_far_as_it_goes() -> None:
    a, b = made("git", value=None), made("cpu", value=None)
    kinds = {what for what, _, _, _ in differences(a, b)}
    assert kinds == {"code", "cpu"}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ({"lr": 0.2}, [("args", "lr", 0.1, 0.2)]),
        ({"lr": "0.1"}, [("args", "lr", 0.1, "0.1")]),
        ({"seed": True}, [("args", "seed", 3, True)]),
        ({"seed": 3.0}, []),
        ({"more": None}, [("args", "more", ABSENT, None)]),
        ({"none": {"x": 1}}, [("args", "none", {}, ABSENT), ("args", "none.x", ABSENT, 1)]),
        (
            {"opt": {"name": "adam", "betas": [0.9]}},
            [("args", "opt.betas", [0.9, 0.99], [0.9])],
        ),
    ],
)
def test_args(args: Mapping[str, Any], expected: list[Any]) -> None:
    other = run(args={**run().args, **args})
    # No tolerance is for what was asked.
    assert differences(run(), other, tolerance=0.5) == expected
    assert compare(run(), other).equal_outcome
    assert [name for _, name, a, _ in differences(run(args={}), run()) if a is ABSENT] == [
        *("lr", "none", "opt.betas", "opt.name", "seed"),
    ]


def test_inputs() -> None:
    changed = {"key": "data/a.csv", "size": 1, "sha1": "s2"}
    more = {"key": "b", "size": 2, "sha1": "s3"}
    other = {**INPUTS, "files": [more, *INPUTS["files"], changed], "left_out": 2}  # type: ignore[misc]
    assert differences(run(), run(inputs=other)) == [
        ("inputs", "b", ABSENT, "s3"),
        ("inputs", "data/a.csv", "s1", "s1 s2"),
        ("inputs", "(not named)", 0, 2),
    ]
    assert differences(run(), run(inputs={})) == [("inputs", "data/a.csv", "s1", ABSENT)]


# --- what came out --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "tolerance", "expected"),
    [
        ({"mse": 0.5}, {"mse": 0.5000001}, 0.0, [("mse", 0.5, 0.5000001)]),
        ({"mse": 0.5}, {"mse": 0.5000001}, 1e-6, []),
        ({"mse": 1e6}, {"mse": 1e6 + 1}, 1e-5, []),
        ({"n": 1}, {"n": 1.0}, 0.0, []),
        ({"n": 1}, {"n": True}, 1.0, [("n", 1, True)]),
        ({"n": 10**400}, {"n": 10**400 + 1}, 0.0, [("n", 10**400, 10**400 + 1)]),
        ({"n": 10**400}, {"n": 1.0}, 0.1, [("n", 10**400, 1.0)]),
        (float("nan"), float("nan"), 0.0, []),
        ({"h": [1, 2]}, {"h": [1, 3, 4]}, 0.0, [("h.1", 2, 3), ("h.2", ABSENT, 4)]),
        ({"a": "x"}, {"a": "y"}, 9.0, [("a", "x", "y")]),
        ({"a": {}}, {"a": []}, 0.0, [("a", {}, [])]),
        ({"a.b": 1}, {"a": {"b": 1}}, 0.0, [("a.b", 1, ABSENT), ("a.b", ABSENT, 1)]),
        ({}, {"a": None}, 0.0, [("a", ABSENT, None)]),
        (1, 2, 0.0, [("value", 1, 2)]),
        ([], None, 0.0, [("value", [], None)]),
    ],
)
def test_results(a: Any, b: Any, tolerance: float, expected: list[Any]) -> None:
    found = compare(run(result=a), run(result=b), tolerance=tolerance)
    told = [(item.what, item.name, item.a, item.b) for item in found.differences]
    assert told == [("result", *item) for item in expected]
    assert found.equal_outcome is found.same is (not expected)


def test_files_are_compared_by_their_content_not_their_logs() -> None:
    logs = ("output.log", "output.jsonl", "slurm.log", "queue.log", "reproducible.json")
    same = dict.fromkeys((*logs, "args.json", "results.pickle", "inputs.json"), (1, "x"))
    a, b = run(), run()
    a = dataclasses.replace(a, files={**a.files, **same})
    b = dataclasses.replace(b, files={**b.files, **dict.fromkeys(same, (2, "y"))})
    assert differences(a, b) == []
    b = dataclasses.replace(
        b, files={**b.files, "model.bin": (3, "n"), "deep/output.log": (1, "z")}
    )
    assert differences(a, b) == [
        ("files", "deep/output.log", ABSENT, [1, "z"]),
        ("files", "model.bin", [3, "m"], [3, "n"]),
    ]
    assert not compare(a, b).equal_outcome


def test_a_pickle_counts_where_there_is_no_json() -> None:
    a, b = (run(files={"results.pickle": (1, sha1)}) for sha1 in "xy")
    assert differences(a, b) == [("files", "results.pickle", [1, "x"], [1, "y"])]


def test_inputs_json_of_the_node_s_own_is_a_file_of_its() -> None:
    a, b = (run(inputs={"x": 1}, files={"inputs.json": (1, sha1)}) for sha1 in "xy")
    assert differences(a, b) == [("files", "inputs.json", [1, "x"], [1, "y"])]


def reader(content: str | bytes) -> Callable[[str], bytes]:
    data = content.encode() if isinstance(content, str) else content
    return lambda _name: data


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ('{"loss": [1.0, 2]}', '{"loss": [1.0001, 2]}', True),
        ('{"loss": [1.0, 2]}', '{"loss": [1.1, 2]}', False),
        ('{"loss": 1.0}', '{"lost": 1.0}', False),
        ("NaN", "NaN ", True),
        ("step,loss\n1,0.5\n", "step,loss\r\n1,0.50001\n", True),
        ("step,loss\n1,0.5\n", "step,loss\n1,0.6\n", False),
        ("step,loss\n1,0.5\n", "step,lost\n1,0.5\n", False),
        ("step,loss\n1,0.5\n", "step,loss\n1,0.5\n2,0.5\n", False),
        ("1,,2\n", "1,2,\n", False),
        ("1,nan\n", "1.0,nan\n", True),
        ('"a b";1\n', '"a b";1.0001\n', True),
        ("a\t1\n", "a\t1.0001\n", True),
        ("1.0e+00 2\n3 4\n", "1.00001 2\n 3   4\n", True),
        ("id_1_0\n", "id_1_1\n", False),
        ("1_0\n", "1_00\n", False),
        (b"\xff1", b"\xfe1", False),
        ("[" * 100_000, "[" * 100_001, False),
        ('a,"b\n1', 'a,"b\n2', False),
        ("", "x", False),
    ],
)
def test_files_of_numbers_within_the_tolerance(a: str | bytes, b: str | bytes, equal: bool) -> None:
    one = run(files={"f": (1, "x")}, read=reader(a))
    two = run(files={"f": (2, "y")}, read=reader(b))
    assert compare(one, two, tolerance=1e-3).equal_outcome is equal
    assert not compare(one, two).equal_outcome


def test_large_files_and_those_nobody_can_read_are_compared_by_sha1() -> None:
    one = run(files={"f": (5_000_001, "x")}, read=reader("1"))
    two = run(files={"f": (1, "y")}, read=reader("1"))
    assert not compare(one, two, tolerance=1.0).equal_outcome
    assert not compare(two, one, tolerance=1.0).equal_outcome
    assert not compare(two, run(files={"f": (1, "z")}), tolerance=1.0).equal_outcome
    assert not compare(two, run(files={}), tolerance=1.0).equal_outcome


# --- as a whole -----------------------------------------------------------------------------


@pytest.mark.parametrize("tolerance", [-1e-9, float("nan")])
def test_a_tolerance_that_is_none_is_refused(tolerance: float) -> None:
    with pytest.raises(ValueError, match="tolerance"):
        compare(run(), run(), tolerance=tolerance)


def test_json_and_rows() -> None:
    found = compare(
        run(result={"a": float("inf"), "b": [1], "t": "x"}),
        run(key="Fit_2", result={"a": 1, "t": "ü", "c": None}),
        tolerance=0.25,
    )
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == {
        "a": "Fit_1",
        "b": "Fit_2",
        "tolerance": 0.25,
        "equal_outcome": False,
        "same": False,
        "differences": [
            {"what": "result", "name": "a", "a": "inf", "b": 1, "only": None},
            {"what": "result", "name": "b.0", "a": 1, "b": None, "only": "a"},
            {"what": "result", "name": "t", "a": "x", "b": "ü", "only": None},
            {"what": "result", "name": "c", "a": None, "b": None, "only": "b"},
        ],
    }
    assert found.rows() == [
        ("result", "a", "Infinity", "1"),
        ("result", "b.0", "1", "-"),
        ("result", "t", "x", "ü"),
        ("result", "c", "-", "null"),
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.text("ab.", max_size=2), JSON, max_size=3)
# Records are read from files that others may write: whatever they hold is compared.
RECORD = st.fixed_dictionaries(
    {}, optional={name: JSON | st.just(value) for name, value in PROVENANCE.items()}
)
RUNS = st.builds(
    RunFacts,
    key=st.just("x"),
    args=OBJECT,
    result=JSON,
    provenance=st.none() | RECORD,
    inputs=JSON | st.just(INPUTS),
    files=st.dictionaries(
        st.sampled_from(["f", "results.json", "results.pickle", "inputs.json", "output.log"]),
        st.tuples(st.integers(0, 2), st.sampled_from("xy")),
    ),
)
TOLERANCES = st.sampled_from([0.0, 1e-3, 1.0])


@given(RUNS, TOLERANCES)
def test_a_run_is_the_same_as_itself(facts: RunFacts, tolerance: float) -> None:
    found = compare(facts, copy.deepcopy(facts), tolerance=tolerance)
    assert found.differences == ()


@given(RUNS, RUNS, TOLERANCES)
def test_the_order_of_the_runs_does_not_matter(a: RunFacts, b: RunFacts, tolerance: float) -> None:
    one = compare(a, b, tolerance=tolerance)
    two = compare(b, a, tolerance=tolerance)
    mirrored = [Difference(item.what, item.name, item.b, item.a) for item in two.differences]
    assert sorted(map(repr, one.differences)) == sorted(map(repr, mirrored))
    assert (one.same, one.equal_outcome) == (two.same, two.equal_outcome)
    json.dumps(one.to_json(), allow_nan=False)
