from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
import pickle
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from types import GenericAlias
from typing import Any, ClassVar, Literal, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savethat.args import (
    Args,
    flag_names,
    flat,
    format_help,
    from_json,
    parse,
    to_argv,
    to_json,
    wants_help,
)
from savethat.args.schema import schema
from savethat.errors import ArgumentError

# No timed assertions, and no folder of examples left behind.
plain = settings(deadline=None, database=None)
many = settings(plain, max_examples=500)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"
    NAVY = "blue"  # noqa: PIE796 - an alias on purpose


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Swapped(enum.Enum):
    a = "b"
    b = "a"


class Bits(enum.Flag):
    ONE = 1
    TWO = 2


@dataclasses.dataclass(frozen=True)
class Optimizer:
    lr: float  # learning rate
    momentum: float = 0.9
    nesterov: bool = False


@dataclasses.dataclass(frozen=True)
class Schedule:
    kind: Literal["cosine", "linear"] = "cosine"
    warmup: int | None = None


@dataclasses.dataclass(frozen=True)
class Model:
    width: int = 64
    schedule: Schedule = Schedule(warmup=10)


@dataclasses.dataclass(frozen=True)
class Everything:
    dataset: str
    target: str = "y"
    n_times: int = 3
    l2: float = 0.0
    amp: bool = False
    log: bool = True
    maybe_amp: bool | None = None
    limit: int | None = None
    note: Optional[str] = None  # noqa: UP045 - the older spelling is to work too
    out: Path | None = None
    root: Path = Path("data")
    color: Color = Color.RED
    level: Level = Level.LOW
    mode: Literal["fast", "slow", 3, True] = "fast"
    layers: list[int] = dataclasses.field(default_factory=lambda: [64, 64])
    names: list[str] = dataclasses.field(default_factory=list)
    scales: tuple[float, ...] = ()
    pair: tuple[int, str] = (1, "a")
    tags: set[str] = dataclasses.field(default_factory=set)
    seeds: frozenset[int] = frozenset()
    grid: list[list[int]] | None = None
    opt: Optimizer = Optimizer(lr=0.1)
    model: Model = Model()
    schedule: Schedule | None = None
    VERSION: ClassVar[int] = 3
    derived: int = dataclasses.field(default=7, init=False)


def run(*argv: str) -> Everything:
    return parse(Everything, ["--dataset", "d", *argv])


def refused(cls: type, *argv: str, base: dict[str, Any] | None = None) -> ArgumentError:
    with pytest.raises(ArgumentError) as caught:
        parse(cls, argv, base=base)
    return caught.value


def of_type(hint: object, **options: Any) -> type:
    """A class with one field, `x`, of this type."""
    return dataclasses.make_dataclass(
        "OneField", [("x", hint, dataclasses.field(**options))], frozen=True
    )


# The round trips

Typed = tuple[Any, st.SearchStrategy[Any]]

SCALARS: list[Typed] = [
    (str, st.text()),
    (str, st.sampled_from(["", "--", "-1", "none", "[1]", "--x", " a", "\0", "a=b", "-"])),
    (int, st.integers()),
    (float, st.floats(allow_nan=False)),
    (bool, st.booleans()),
    (Path, st.text(max_size=9).map(Path) | st.sampled_from([Path("none"), Path("--x")])),
    (PurePosixPath, st.text(max_size=9).map(PurePosixPath)),
    (Color, st.sampled_from(Color)),
    (Level, st.sampled_from(Level)),
    (Swapped, st.sampled_from(Swapped)),
    (Literal["a", "none", 1, False], st.sampled_from(["a", "none", 1, False])),
]


def optional(typed: Typed) -> Typed:
    return Optional[typed[0]], st.none() | typed[1]  # noqa: UP045 - built from a value


def containers(typed: Typed) -> list[Typed]:
    hint, values = typed
    return [
        (GenericAlias(list, (hint,)), st.lists(values, max_size=4)),
        (GenericAlias(tuple, (hint, ...)), st.lists(values, max_size=4).map(tuple)),
        (GenericAlias(tuple, (hint, int)), st.tuples(values, st.integers())),
        (GenericAlias(set, (hint,)), st.sets(values, max_size=4)),
        (GenericAlias(frozenset, (hint,)), st.frozensets(values, max_size=4)),
    ]


ITEMS = SCALARS + [optional(typed) for typed in SCALARS]
COLLECTIONS = [typed for item in ITEMS for typed in containers(item)]
NESTED: list[Typed] = [
    (list[list[int]], st.lists(st.lists(st.integers(), max_size=3), max_size=3)),
    (set[tuple[int, str]], st.sets(st.tuples(st.integers(), st.text()), max_size=3)),
]
OPTIMIZERS = st.builds(
    Optimizer, st.floats(allow_nan=False), st.floats(allow_nan=False), st.booleans()
)
GROUPS: list[Typed] = [
    (Optimizer, OPTIMIZERS),
    (Model, st.builds(Model, st.integers(), st.builds(Schedule, warmup=st.integers() | st.none()))),
]
PLAIN = ITEMS + COLLECTIONS + NESTED
ALL = PLAIN + [optional(typed) for typed in COLLECTIONS + NESTED + GROUPS] + GROUPS
CLASSES = [(of_type(hint), values) for hint, values in ALL]

instances = st.sampled_from(CLASSES).flatmap(lambda pair: st.builds(pair[0], x=pair[1]))


@many
@given(instances)
def test_json_round_trip_is_without_loss(args: Any) -> None:
    text = json.dumps(to_json(args), allow_nan=False)
    restored = from_json(type(args), json.loads(text))
    assert restored == args
    assert repr(to_json(restored)) == repr(to_json(args))  # 1 == 1.0 == True, but not in JSON
    assert type(restored.x) is type(args.x)


@many
@given(instances)
def test_command_line_round_trip_is_without_loss(args: Any) -> None:
    parsed = parse(type(args), to_argv(args))
    assert parsed == args
    assert repr(to_json(parsed)) == repr(to_json(args))


EVERYTHING = st.builds(
    Everything,
    dataset=st.text(),
    n_times=st.integers(),
    l2=st.floats(allow_nan=False),
    maybe_amp=st.none() | st.booleans(),
    note=st.none() | st.text(),
    out=st.none() | st.text().map(Path),
    names=st.lists(st.text()),
    scales=st.lists(st.floats(allow_nan=False)).map(tuple),
    tags=st.sets(st.text()),
    opt=OPTIMIZERS,
    schedule=st.none() | st.builds(Schedule, warmup=st.none() | st.integers()),
)


@plain
@given(EVERYTHING)
def test_a_whole_class_survives_both_round_trips(args: Everything) -> None:
    assert parse(Everything, to_argv(args)) == args
    assert from_json(Everything, json.loads(json.dumps(to_json(args)))) == args
    assert from_json(Everything, flat(args)) == args


def test_nan_is_restored() -> None:
    args = parse(Optimizer, ["--lr", "nan"])
    text = json.dumps(to_json(args), allow_nan=False)
    assert math.isnan(from_json(Optimizer, json.loads(text)).lr)
    assert math.isnan(parse(Optimizer, to_argv(args)).lr)


words = st.one_of(
    st.sampled_from(
        [
            *(f"--{name}" for name in flag_names(Everything)),
            *("--no_amp", "--no-opt", "--", "-", "-1", "1e-3", "none", "true", "[1]", "[", "-h"),
            *("--dataset=", "--layers=1", "--no_schedule", "--help", "--amp=", "--=", "---x"),
        ]
    ),
    st.text(max_size=5),
)


@many
@given(st.lists(words, max_size=6))
def test_any_command_line_is_parsed_or_is_an_argument_error(argv: list[str]) -> None:
    try:
        args = parse(Everything, ["--dataset", "d", *argv])
    except ArgumentError as error:
        refusal = error
    else:
        assert repr(to_json(parse(Everything, to_argv(args)))) == repr(to_json(args))
        return
    assert str(refusal)
    assert "savethat run NODE --help" in refusal.hint
    assert "\0" not in str(refusal) or any("\0" in word for word in argv)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@plain
@given(st.dictionaries(st.sampled_from(flag_names(Everything)) | st.text(max_size=5), json_values))
def test_any_json_is_restored_or_is_an_argument_error(data: dict[str, Any]) -> None:
    try:
        args = from_json(Everything, data)
    except ArgumentError:
        return
    assert repr(to_json(from_json(Everything, to_json(args)))) == repr(to_json(args))


# The command line, case by case


@pytest.mark.parametrize(
    ("argv", "field", "value"),
    [
        ("--n_times 5", "n_times", 5),
        ("--n-times 5", "n_times", 5),
        ("--n-times=5", "n_times", 5),
        ("--n_times -5", "n_times", -5),
        ("--n_times=-5", "n_times", -5),
        ("--n_times 1 --n_times 2", "n_times", 2),
        ("--l2 -1e-3", "l2", -1e-3),
        ("--l2 -.5", "l2", -0.5),
        ("--l2=-1", "l2", -1.0),
        ("--l2 inf", "l2", math.inf),
        ("--l2 -inf", "l2", -math.inf),
        ("--target -1", "target", "-1"),
        ("--target -", "target", "-"),
        ("--target=--foo", "target", "--foo"),
        ("--target=--", "target", "--"),
        ("--target=", "target", ""),
        ("--target=a=b", "target", "a=b"),
        ("--target none", "target", "none"),
        ("--amp", "amp", True),
        ("--amp true", "amp", True),
        ("--amp=True", "amp", True),
        ("--amp false", "amp", False),
        ("--no_amp", "amp", False),
        ("--no-amp", "amp", False),
        ("--amp --no_amp", "amp", False),
        ("--no_amp --amp", "amp", True),
        ("--log", "log", True),
        ("--log false", "log", False),
        ("--no_log", "log", False),
        ("--maybe_amp", "maybe_amp", True),
        ("--no_maybe_amp", "maybe_amp", False),
        ("--maybe_amp --maybe-amp none", "maybe_amp", None),
        ("--limit 3", "limit", 3),
        ("--limit 3 --limit none", "limit", None),
        ("--limit 3 --no_limit", "limit", None),
        ("--no_limit --limit 3", "limit", 3),
        ("--note none", "note", "none"),
        ("--note a --no_note", "note", None),
        ("--out a --out none", "out", None),
        ("--out ./none", "out", Path("none")),
        ("--root a/b", "root", Path("a/b")),
        ("--color BLUE", "color", Color.BLUE),
        ("--color NAVY", "color", Color.BLUE),
        ("--color blue", "color", Color.BLUE),
        ("--level HIGH", "level", Level.HIGH),
        ("--level 2", "level", Level.HIGH),
        ("--mode slow", "mode", "slow"),
        ("--mode 3", "mode", 3),
        ("--mode true", "mode", True),
        ("--layers 1 -2 3", "layers", [1, -2, 3]),
        ("--layers 1", "layers", [1]),
        ("--layers [1,2]", "layers", [1, 2]),
        ("--layers=[1,2]", "layers", [1, 2]),
        ("--layers", "layers", []),
        ("--layers []", "layers", []),
        ("--layers 1 2 --layers 3", "layers", [3]),
        ("--names a none", "names", ["a", "none"]),
        ('--names ["a","-b"]', "names", ["a", "-b"]),
        ("--scales -1e-3 2 -inf", "scales", (-1e-3, 2.0, -math.inf)),
        ("--pair -1 b", "pair", (-1, "b")),
        ('--pair [2,"b"]', "pair", (2, "b")),
        ("--tags a b a", "tags", {"a", "b"}),
        ("--seeds 1 2", "seeds", frozenset({1, 2})),
        ("--grid [[1],[]]", "grid", [[1], []]),
        ("--grid none", "grid", None),
        ("--opt.lr 2", "opt", Optimizer(lr=2.0)),
        ("--opt.nesterov", "opt", Optimizer(lr=0.1, nesterov=True)),
        ("--opt.nesterov --opt.no_nesterov", "opt", Optimizer(lr=0.1)),
        ("--opt.nesterov --no-opt.nesterov", "opt", Optimizer(lr=0.1)),
        ("--model.schedule.kind linear", "model", Model(schedule=Schedule("linear", 10))),
        ("--no_model.schedule.warmup", "model", Model(schedule=Schedule())),
        ("--schedule.warmup 5", "schedule", Schedule(warmup=5)),
        ("--schedule none", "schedule", None),
        ("--", "target", "y"),
    ],
)
def test_options(argv: str, field: str, value: object) -> None:
    found = getattr(run(*argv.split()), field)
    assert found == value
    assert type(found) is type(value)


def test_defaults_are_the_dataclass_s_own() -> None:
    assert run() == Everything(dataset="d")


def test_an_option_like_value_needs_an_equals_sign_and_the_message_shows_it() -> None:
    assert "--target=--foo" in str(refused(Everything, "--target", "--foo"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--n_times 1.5", "--n_times: expected int, got '1.5'"),
        ("--n_times x", "--n_times: expected int, got 'x'"),
        ("--l2 x", "--l2: expected float"),
        ("--amp maybe", "--amp: expected true or false"),
        ("--log=", "--log: expected true or false"),
        ("--no_amp=true", "--no_amp takes no value"),
        ("--no_amp true", "unexpected word 'true'"),
        ("--color green", "--color: expected one of RED, BLUE"),
        ("--mode medium", "--mode: expected one of fast, slow, 3, true"),
        ("--layers 1 x", "--layers: expected int, got 'x'"),
        ("--layers [1,x]", "JSON"),
        ('--layers ["1"]', "--layers: expected int, got '1'"),
        ("--pair 1", "2 words, got 1"),
        ("--pair 1 a b", "2 words, got 3"),
        ("--grid 1 2", "JSON in one word"),
        ("--target", "--target: expected one argument"),
        ("stray", "unexpected word 'stray'"),
        ("-5", "unexpected word '-5'"),
        ("--target a stray", "unexpected word 'stray'"),
        ("-- --amp", "unexpected word '--amp'"),
        ("--target -- a", "unexpected word 'a'"),
        ("--target --", "--target: expected one argument"),
        ("--targt x", "has no option --targt (did you mean --target"),
        ("--n-tims 3", "did you mean --n_times"),
        ("--momentum 3", "did you mean --opt.momentum?"),
        ("--targ x", "has no option --targ "),
        ("-t x", "has no option -t"),
        ("--derived 3", "has no option --derived"),
        ("--VERSION 3", "has no option --VERSION"),
        ("--schedule on", "--schedule: takes only none"),
        ("--no_schedule --schedule.warmup 3", "--schedule set to none as well"),
        ("--no_target", "has no option --no_target"),
    ],
)
def test_what_is_refused(argv: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    error = refused(Everything, "--dataset", "d", *argv.split())
    assert message in str(error)
    assert "savethat run NODE --help" in error.hint
    assert capfd.readouterr() == ("", "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Required:
    name: str
    amp: bool
    limit: int | None
    opt: Optimizer
    schedule: Schedule | None


def test_all_that_is_missing_is_named() -> None:
    assert str(refused(Required)) == (
        "Required: missing --name, --amp, --limit, --opt.lr, --schedule"
    )


def test_required_fields_of_every_sort_can_be_given() -> None:
    argv = ["--name=x", "--no_amp", "--no_limit", "--opt.lr=1", "--no_schedule"]
    assert parse(Required, argv) == Required(
        name="x", amp=False, limit=None, opt=Optimizer(1.0), schedule=None
    )


def test_a_typo_is_told_before_what_is_missing() -> None:
    assert "did you mean --name" in str(refused(Required, "--nam", "x"))


@pytest.mark.parametrize("name", ["prog", "description", "error", "configure", "extra_args", "h"])
def test_names_that_mean_something_to_the_parser_are_ordinary_fields(name: str) -> None:
    cls = dataclasses.make_dataclass("Odd", [(name, int), ("_x", int, 1)], frozen=True)
    assert parse(cls, [f"--{name}", "3", "--_x", "4"]) == cls(3, 4)


@dataclasses.dataclass(frozen=True)
class Checked:
    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError("p is a probability")


def test_the_class_s_own_check_is_an_argument_error() -> None:
    assert str(refused(Checked, "--p", "2")) == "Checked: p is a probability"


# Configuration files and args.json


def test_options_override_the_configuration() -> None:
    base = {"dataset": "c", "l2": 1, "layers": [1], "opt": {"lr": 5, "momentum": 0.5}}
    args = parse(Everything, ["--opt.lr", "2", "--layers", "7", "8"], base=base)
    assert args == Everything(
        dataset="c", l2=1.0, layers=[7, 8], opt=Optimizer(lr=2.0, momentum=0.5)
    )


def test_a_group_of_the_configuration_can_be_cleared_and_set() -> None:
    base = {"schedule": {"warmup": 3}}
    assert run() == parse(Everything, ["--dataset=d", "--no_schedule"], base=base)
    base_none = {"dataset": "d", "schedule": None}
    args = parse(Everything, ["--schedule.warmup=4"], base=base_none)
    assert args.schedule == Schedule(warmup=4)


def test_dotted_keys_are_nested_ones() -> None:
    data = {"dataset": "d", "opt.lr": 2, "model": {"width": 3}, "model.schedule.warmup": 4}
    assert from_json(Everything, data) == Everything(
        dataset="d", opt=Optimizer(lr=2.0), model=Model(3, Schedule(warmup=4))
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "Everything: missing dataset"),
        ({"datset": "x"}, "Everything has no argument datset (did you mean dataset?)"),
        ({"opt": {"lrr": 1}}, "no argument opt.lrr (did you mean opt.lr?)"),
        ({"opt.lrr": 1}, "no argument opt.lrr (did you mean opt.lr?)"),
        ({"lr": 1}, "did you mean opt.lr?"),
        ({"target.x": 1}, "no argument target.x"),
        ({"dataset": 1}, "dataset: expected str, got 1"),
        ({"n_times": "1"}, "n_times: expected int, got '1'"),
        ({"n_times": 1.0}, "n_times: expected int, got 1.0"),
        ({"n_times": True}, "n_times: expected int, got True"),
        ({"l2": True}, "l2: expected float, got True"),
        ({"l2": "1"}, "l2: expected float, got '1'"),
        ({"l2": 10**400}, "l2: expected float"),
        ({"amp": 1}, "amp: expected bool, got 1"),
        ({"amp": None}, "amp: expected bool, got None"),
        ({"limit": "none"}, "limit: expected int, got 'none'"),
        ({"mode": 1}, "mode: expected one of"),
        ({"mode": "3"}, "mode: expected one of"),
        ({"color": 1}, "color: expected one of"),
        ({"layers": 1}, "layers: expected list[int], got 1"),
        ({"layers": "12"}, "layers: expected list[int]"),
        ({"layers": [1, "2"]}, "layers: expected int, got '2'"),
        ({"pair": [1]}, "pair: expected tuple[int, str]"),
        ({"opt": {"lr": "x"}}, "opt.lr: expected float"),
        ({"opt.lr": "x"}, "opt.lr: expected float"),
        ({"opt": 3}, "opt: expected an object"),
        ({"opt": None}, "opt: expected an object"),
        ({"opt": {"lr": 1}, "opt.lr": 2}, "opt.lr is given twice"),
        ({"schedule": None, "schedule.warmup": 2}, "schedule is given twice"),
        ({"target": datetime.date(2026, 1, 1)}, "target: expected str"),
    ],
)
def test_what_a_configuration_may_not_hold(data: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        from_json(Everything, data)
    assert message in str(caught.value)


@pytest.mark.parametrize("data", [[], "x", None, 3])
def test_args_that_are_no_object(data: Any) -> None:
    with pytest.raises(ArgumentError, match="expected an object"):
        from_json(Everything, data)


def test_json_form() -> None:
    args = run("--l2", "inf", "--tags", "b", "a", "--out", "x/y", "--seeds", "10", "9", "-1")
    data = to_json(args)
    assert data["l2"] == "inf"
    assert data["tags"] == ["a", "b"]
    assert data["seeds"] == [-1, 9, 10]
    assert data["out"] == "x/y"
    assert data["color"] == "RED"
    assert data["opt"] == {"lr": 0.1, "momentum": 0.9, "nesterov": False}
    assert data["schedule"] is None
    assert "derived" not in data
    assert "VERSION" not in data


def test_a_set_of_mixed_items_has_one_order() -> None:
    cls = of_type(set[float | None])
    values = [None, math.inf, 2.0, -1.0]
    assert len({repr(to_json(cls(set(order)))) for order in (values, values[::-1])}) == 1


def test_flat_form() -> None:
    data = flat(run("--opt.lr", "2"))
    assert data["opt.lr"] == 2.0
    assert data["model.schedule.warmup"] == 10
    assert data["layers"] == [64, 64]
    assert data["schedule"] is None
    assert "opt" not in data


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_times": "3"}, "Everything: n_times: expected int"),
        ({"limit": 1.5}, "limit: expected int, got 1.5"),
        ({"color": "RED"}, "color: expected one of"),
        ({"opt": Optimizer(lr="x")}, "opt.lr: expected float"),  # type: ignore[arg-type] # on purpose
        ({"opt": None}, "opt: expected Optimizer, got None"),
        ({"layers": {1}}, "layers: expected list[int]"),
    ],
)
def test_a_value_that_would_not_be_restored_is_not_written(
    values: dict[str, Any], message: str
) -> None:
    for write in (to_json, to_argv):
        with pytest.raises(ArgumentError, match="expected"):
            write(Everything(dataset="d", **values))
    with pytest.raises(ArgumentError) as caught:
        to_json(Everything(dataset="d", **values))
    assert message in str(caught.value)


def test_a_subclass_in_place_of_a_group_is_not_cut_down() -> None:
    @dataclasses.dataclass(frozen=True)
    class Adam(Optimizer):
        beta: float = 0.9

    with pytest.raises(ArgumentError, match="opt: expected Optimizer"):
        to_json(Everything(dataset="d", opt=Adam(lr=1.0)))


def test_numbers_of_numpy_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    data = to_json(Everything("d", n_times=numpy.int64(3), l2=numpy.float32(0.5)))
    assert (type(data["n_times"]), type(data["l2"])) == (int, float)
    assert (data["n_times"], data["l2"]) == (3, 0.5)


# Classes


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (dict[str, int], "dict[str, int]"),
        (datetime.date, "date"),
        (datetime.datetime, "datetime"),
        (bytes, "bytes"),
        (complex, "complex"),
        (object, "object"),
        (Any, "Any"),
        (int | str, "int | str"),
        (list, "list"),
        (list[datetime.date], "date"),
        (list[Optimizer], "Optimizer"),
        (set[list[int]], "set[list[int]]"),
        (Callable[[], int], "Callable"),
        (Bits, "Bits"),
        (Literal[b"x"], "Literal[b'x']"),
        (Literal["1", 1], "Literal['1', 1]"),
        (typing.TypeVar("T"), "T"),
    ],
)
def test_a_type_that_cannot_be_saved_is_refused_by_name(hint: object, name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        schema(of_type(hint))
    assert str(caught.value).startswith("OneField.x: ")
    assert name in str(caught.value)
    assert "Path, Enum, Literal" in caught.value.hint


@pytest.mark.parametrize(
    ("hint", "default"),
    [(int, None), (int, "3"), (Path, "data"), (Color, "RED"), (Optimizer, None), (float, True)],
)
def test_a_default_of_another_type_is_refused(hint: object, default: object) -> None:
    cls = dataclasses.make_dataclass("OneField", [("x", hint, default)], frozen=True)
    with pytest.raises(ArgumentError, match=r"OneField\.x: its default"):
        schema(cls)


def test_nan_and_whole_numbers_are_defaults_of_a_float() -> None:
    for default in (math.nan, 1):
        schema(dataclasses.make_dataclass("OneField", [("x", float, default)], frozen=True))


def test_a_class_must_be_a_frozen_dataclass() -> None:
    with pytest.raises(ArgumentError, match="Color is not a dataclass"):
        schema(Color)

    @dataclasses.dataclass
    class Thawed:
        x: int = 1

    with pytest.raises(ArgumentError, match="Thawed is not frozen"):
        schema(Thawed)
    with pytest.raises(ArgumentError, match="Thawed is not frozen"):
        schema(of_type(Thawed))


@dataclasses.dataclass(frozen=True)
class Endless:
    inner: Endless | None = None


@dataclasses.dataclass(frozen=True)
class Lost:
    x: NotImportedAnywhere  # type: ignore[name-defined] # noqa: F821 - on purpose


@dataclasses.dataclass(frozen=True)
class Initial:
    x: dataclasses.InitVar[int]


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Endless, "Endless.inner: Endless inside itself"),
        (Lost, "Lost: the name 'NotImportedAnywhere' in its annotations is not defined in "),
        (Initial, "Initial"),
        (int, "int is not a dataclass"),
    ],
)
def test_other_classes_that_are_refused(cls: type, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        schema(cls)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        [("help", int, 1)],
        [("amp", bool, True), ("no_amp", bool, False)],
        [("x", Optional[int], 1), ("no_x", int, 1)],  # noqa: UP045 - a value
    ],
)
def test_names_that_would_mean_two_things_are_refused(fields: list[Any]) -> None:
    with pytest.raises(ArgumentError, match=r"--(help|no_amp|no_x)"):
        schema(dataclasses.make_dataclass("Clash", fields, frozen=True))


def test_flag_names() -> None:
    names = flag_names(Everything)
    assert names[:3] == ("dataset", "target", "n_times")
    assert {"opt.lr", "model.schedule.warmup", "schedule", "schedule.kind"} <= set(names)
    assert not {"opt", "model", "derived", "VERSION"} & set(names)


def test_the_schema_is_made_once() -> None:
    assert schema(Everything) is schema(Everything)


class Undecorated(Args):
    dataset: str
    layers: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Decorated(Args):
    dataset: str
    layers: list[int] = dataclasses.field(default_factory=list)
    scale: int = dataclasses.field(default=1, kw_only=True)


class Child(Undecorated):
    l2: float = 0.0


@dataclasses.dataclass(frozen=True)
class DecoratedChild(Undecorated):
    l2: float = 0.0


class Grandchild(DecoratedChild):
    seed: int = 0


def test_a_subclass_of_args_is_a_frozen_dataclass_without_the_decorator() -> None:
    args = Undecorated("a", layers=[1])
    assert args == Undecorated(dataset="a", layers=[1])
    assert args != Undecorated(dataset="a", layers=[2])
    assert repr(args) == "Undecorated(dataset='a', layers=[1])"
    with pytest.raises(dataclasses.FrozenInstanceError):
        args.dataset = "b"  # type: ignore[misc] # on purpose
    assert pickle.loads(pickle.dumps(args)) == args


@pytest.mark.parametrize(
    ("cls", "names"),
    [
        (Args, []),
        (Undecorated, ["dataset", "layers"]),
        (Decorated, ["dataset", "layers", "scale"]),
        (Child, ["dataset", "layers", "l2"]),
        (DecoratedChild, ["dataset", "layers", "l2"]),
        (Grandchild, ["dataset", "layers", "l2", "seed"]),
    ],
)
def test_args_with_and_without_decorator_and_inheritance(cls: type, names: list[str]) -> None:
    assert [field.name for field in schema(cls)] == names
    argv = ["--dataset", "a", "--layers", "1"] if names else []
    args: object = parse(cls, argv)
    assert type(args) is cls
    assert from_json(cls, to_json(args)) == args
    if names:
        assert to_json(args)["layers"] == [1]


def test_an_undecorated_subclass_may_first_be_met_by_schema() -> None:
    class Late(Args):
        x: int

    assert [field.name for field in schema(Late)] == ["x"]


# Help


@dataclasses.dataclass(
    frozen=True,
)
class Documented:
    dataset: str  # path to csv, 100% of it
    # how often
    # it repeats
    n_times: int = 3
    layers: list[int] = dataclasses.field(
        default_factory=lambda: [64, 64],
    )  # sizes of the layers
    width: float = 1.5
    """Breite, größer als 0."""
    # not about amp

    amp: bool = True  # pragma: no cover
    name: str = ""  # who  # pragma: no cover
    limit: int | None = None
    color: Color = Color.BLUE
    opt: Optimizer = Optimizer(lr=0.25)
    schedule: Schedule | None = None  # how the rate falls


@dataclasses.dataclass(frozen=True)
class DocumentedChild(Documented):
    seed: int = 0  # of the generator
    width: float = 2.5


def help_rows(cls: type) -> dict[str, str]:
    text = format_help(cls, "savethat run FitOLS", "Fits.\n\n    Twice %(prog)s 5%.")
    rows: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("  -"):
            flag = line.split()[0]
            rows[flag] = line.strip()
        elif line.startswith("    ") and rows:
            rows[flag] += " " + line.strip()
    return rows


def test_help_shows_comment_type_and_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    rows = {flag: " ".join(row.split()) for flag, row in help_rows(Documented).items()}
    assert rows["--dataset"] == "--dataset STR path to csv, 100% of it (str; required)"
    assert rows["--n_times"] == "--n_times INT how often it repeats (int; default: 3)"
    assert "sizes of the layers (list[int]; default: [64, 64])" in rows["--layers"]
    assert "Breite, größer als 0. (float; default: 1.5)" in rows["--width"]
    assert rows["--amp"] == "--amp [true|false] (bool; default: true; --no_amp for false)"
    assert rows["--name"] == "--name STR who (str; default: '')"
    assert "(int or none; default: none; --no_limit for none)" in rows["--limit"]
    assert "{RED,BLUE}" in rows["--color"]
    assert "default: BLUE" in rows["--color"]
    assert rows["--opt.lr"].endswith("learning rate (float; default: 0.25)")
    assert "how the rate falls (default: none" in rows["--schedule"]
    assert "-h," in rows


def test_help_of_a_subclass_keeps_inherited_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    rows = help_rows(DocumentedChild)
    assert "of the generator (int; default: 0)" in rows["--seed"]
    assert "how often" in rows["--n_times"]
    assert "(float; default: 2.5)" in rows["--width"]


def test_help_names_program_and_description() -> None:
    text = format_help(Documented, "savethat run FitOLS", "Fits.\n\n    Twice %(prog)s 5%.")
    assert text.startswith("usage: savethat run FitOLS ")
    assert "Fits.\n\nTwice %(prog)s 5%.\n" in text


def test_help_of_a_class_without_source_or_fields() -> None:
    assert "(int; default: 1)" in format_help(
        dataclasses.make_dataclass("Cell", [("x", int, 1)], frozen=True), "p", ""
    )
    assert format_help(Args, "p", "Nothing to set.").startswith("usage: p\n\nNothing to set.\n")


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["--help"], True),
        (["--lr", "1", "-h"], True),
        (["--", "--help"], False),
        (["--name=--help"], False),
        ([], False),
    ],
)
def test_wants_help(argv: list[str], wanted: bool) -> None:
    assert wants_help(argv) is wanted


def test_what_does_not_parse_does_not_import_the_parser() -> None:
    code = "import sys, savethat.args; sys.exit('tap' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
