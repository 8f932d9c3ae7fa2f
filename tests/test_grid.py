from __future__ import annotations

import dataclasses
import itertools
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeVar

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from savethat.args import (
    MOST_POINTS,
    Grid,
    command_words,
    from_json,
    make_grid,
    parse,
    parse_grid,
    to_argv,
    to_json,
)
from savethat.errors import ArgumentError
from tests.test_args import (
    CLASSES,
    EVERYTHING,
    ITEMS,
    PLAIN,
    Color,
    Everything,
    Level,
    Optimizer,
    Required,
    Schedule,
    instances,
    json_values,
    many,
    of_type,
    plain,
    words,
)

T = TypeVar("T")

MAXSIZE = f"{sys.maxsize:,}"


@dataclasses.dataclass(frozen=True)
class Fit:
    lr: float = 0.5
    seed: int = 0
    layers: list[int] = dataclasses.field(default_factory=list)
    opt: Optimizer = dataclasses.field(default_factory=lambda: Optimizer(lr=0.25))
    limit: int | None = None
    name: str = "n"


@dataclasses.dataclass(frozen=True)
class Checked:
    p: float = 0.5
    name: str = "n"
    layers: list[int] = dataclasses.field(default_factory=list)
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError("p is a probability")
        object.__setattr__(self, "name", self.name.lower())


def one_field(hint: object) -> Any:
    return of_type(hint)


def from_words(hint: object, *argv: str) -> list[Any]:
    """The values of a field of this type."""
    return [point.x for point in parse_grid(one_field(hint), argv).points()]


def from_file(hint: object, data: object) -> list[Any]:
    return [point.x for point in parse_grid(one_field(hint), [], base={"x": data}).points()]


def from_python(hint: object, values: object) -> list[Any]:
    return [point.x for point in make_grid(one_field(hint), {"x": values}).points()]


def refused(cls: type, *argv: str, **options: Any) -> ArgumentError:
    with pytest.raises(ArgumentError) as caught:
        parse_grid(cls, argv, **options)
    return caught.value


def exactly(values: list[Any]) -> str:
    """Tells 1, 1.0 and True apart, and [1] from (1,)."""
    return repr(values)


def unique(points: Iterable[T]) -> list[T]:
    """The points that differ in JSON, each where it is first met."""
    found: dict[str, T] = {}
    for point in points:
        found.setdefault(json.dumps(to_json(point)), point)
    return list(found.values())


def quoted(text: str, mark: str = '"') -> str:
    return mark + text.replace(mark, mark * 2) + mark


# The command line, case by case

Mode = Literal["fast", "slow", 3, True]


@pytest.mark.parametrize(
    ("hint", "word", "values"),
    [
        (float, "0.1,0.01", [0.1, 0.01]),
        (float, "0.1", [0.1]),
        (float, "-1,-2", [-1.0, -2.0]),
        (float, "-1e-3,0", [-0.001, 0.0]),
        (float, "-.5,.5", [-0.5, 0.5]),
        (float, "-inf,inf", [-math.inf, math.inf]),
        (float, "0.1, 0.01 ,1", [0.1, 0.01, 1.0]),
        (float, '"0.1","0.2"', [0.1, 0.2]),
        (float, "0..2", [0.0, 1.0, 2.0]),
        (float, "0..1..0.1", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        (float, "1e-3..3e-3..1e-3", [0.001, 0.002, 0.003]),
        (float, "0..1..0.3", [0.0, 0.3, 0.6, 0.9]),
        (float, "1..-1..0.5", [1.0, 0.5, 0.0, -0.5, -1.0]),
        (float, "-0.5..-1.5", [-0.5, -1.5]),
        (float, "1_0..1_2", [10.0, 11.0, 12.0]),
        (float, "1e308..1e308..1e-300", [1e308]),
        (int, "1,2", [1, 2]),
        (int, "0..3", [0, 1, 2, 3]),
        (int, "0..10..3", [0, 3, 6, 9]),
        (int, "0..3,10", [0, 1, 2, 3, 10]),
        (int, "10,0..1,5..4", [10, 0, 1, 5, 4]),
        (int, "3..0", [3, 2, 1, 0]),
        (int, "9..0..3", [9, 6, 3, 0]),
        (int, "9..0..-4", [9, 5, 1]),
        (int, "-3..3..3", [-3, 0, 3]),
        (int, "-1..-3", [-1, -2, -3]),
        (int, "5..5", [5]),
        (int, "5..5..-2", [5]),
        (int, "0 .. 2, 7", [0, 1, 2, 7]),
        (int, "1,1,0..1", [1, 0]),
        (int | None, "none,1", [None, 1]),
        (int | None, "0..1,None", [0, 1, None]),
        (bool, "true,false", [True, False]),
        (bool, "no,1", [False, True]),
        (bool | None, "none,true", [None, True]),
        (str, "a,b", ["a", "b"]),
        (str, "a, b", ["a", "b"]),
        (str, " a", [" a"]),
        (str, "a b,c d", ["a b", "c d"]),
        (str, r"a\,b,c", ["a,b", "c"]),
        (str, r"\d,a\\b", [r"\d", r"a\\b"]),
        (str, '"a,b",c', ["a,b", "c"]),
        (str, "'a,b' , \"it's\"", ["a,b", "it's"]),
        (str, '"say ""hi""",\'it\'\'s\'', ['say "hi"', "it's"]),
        (str, '"a\\",b', ["a\\", "b"]),
        (str, '""', [""]),
        (str, "'',a", ["", "a"]),
        (str, "a\"b,c'", ['a"b', "c'"]),
        (str, '" a"', [" a"]),
        (str, "0..3", ["0..3"]),
        (str, "a\nb,c", ["a\nb", "c"]),
        (str | None, "none,a", ["none", "a"]),
        (Path, "../x,a..b", [Path("../x"), Path("a..b")]),
        (Path | None, "none,../x", [None, Path("../x")]),
        (Color, "RED,blue", [Color.RED, Color.BLUE]),
        (Level, "LOW,2", [Level.LOW, Level.HIGH]),
        (Mode, "fast,3,true", ["fast", 3, True]),
        (Literal["a,b", "c..d"], '"a,b",c..d', ["a,b", "c..d"]),
        (list[int], "[64],[64,64]", [[64], [64, 64]]),
        (list[int], "[64,64]", [[64, 64]]),
        (list[int], " [64] , [] ", [[64], []]),
        (list[int], "64", [[64]]),
        (list[str], "a,b", [["a,b"]]),
        (list[str], '["a,b"],["[","]"]', [["a,b"], ["[", "]"]]),
        (list[float], '[1,"inf"],[]', [[1.0, math.inf], []]),
        (tuple[int, str], '[1,"a"],[2,"b"]', [(1, "a"), (2, "b")]),
        (tuple[float, ...], "[1],[1,2]", [(1.0,), (1.0, 2.0)]),
        (set[int], "[1,1],[2]", [{1}, {2}]),
        (list[list[int]], "[[1],[]],[]", [[[1], []], []]),
        (list[int] | None, "none,[1]", [None, [1]]),
        (list[int] | None, "[1],none,null", [[1], None]),
        (list[int] | None, "none", [None]),
        (list[str] | None, '["none"],none', [["none"], None]),
        (list[str] | None, "none", [["none"]]),
    ],
)
@pytest.mark.parametrize("joined", [True, False], ids=["--x=", "--x "])
def test_values_of_a_word(hint: object, word: str, values: list[Any], joined: bool) -> None:
    argv = [f"--x={word}"] if joined else ["--x", word]
    assert exactly(from_words(hint, *argv)) == exactly(values)


@pytest.mark.parametrize(
    ("argv", "field", "values"),
    [
        ("--amp", "amp", [True]),
        ("--amp true,false", "amp", [True, False]),
        ("--no_amp", "amp", [False]),
        ("--no-amp --amp", "amp", [True]),
        ("--no_limit", "limit", [None]),
        ("--layers 64 64", "layers", [[64, 64]]),
        ("--layers", "layers", [[]]),
        ("--layers -1 -2", "layers", [[-1, -2]]),
        ("--n-times 1,2", "n_times", [1, 2]),
        ("--n_times 1,2 --n-times 3,4", "n_times", [3, 4]),
        ("--opt.lr 0.1,0.2", "opt", [Optimizer(0.1), Optimizer(0.2)]),
        ("--opt.nesterov true,false", "opt", [Optimizer(0.1, 0.9, True), Optimizer(0.1)]),
        ("--schedule.warmup none,1", "schedule", [Schedule(), Schedule(warmup=1)]),
        ("--schedule none", "schedule", [None]),
        ("--no_schedule", "schedule", [None]),
    ],
)
def test_values_of_options(argv: str, field: str, values: list[Any]) -> None:
    points = parse_grid(Everything, ["--dataset", "d", *argv.split()]).points()
    assert exactly([getattr(point, field) for point in points]) == exactly(values)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--l2 0.1,,0.2", "--l2: an empty value in '0.1,,0.2'"),
        ("--l2 0.1,", "--l2: an empty value in '0.1,'"),
        ("--l2 ,", "--l2: an empty value in ','"),
        ("--l2=", "--l2: an empty value in ''"),
        ("--target a,", "--target: an empty value in 'a,'; the empty string is \"\""),
        ("--target=", "--target: an empty value in ''"),
        ('--l2 ""', "--l2: expected float, got ''"),
        ("--l2 0.1,x", "--l2: expected float, got 'x'"),
        ('--target "a', "--target: '\"a' begins with a quote, and does not end with it"),
        ('--target "a"b,c', "begins with a quote"),
        ("--target 'tis", "begins with a quote"),
        ("--n_times 1.5", "--n_times: expected int, got '1.5'"),
        ("--n_times 0..1.5", "--n_times: the range '0..1.5': expected int, got '1.5'"),
        ("--n_times 0..4..0.5", "--n_times: the range '0..4..0.5': expected int, got '0.5'"),
        ("--n_times 0..3.0", "expected int, got '3.0'"),
        ("--n_times 0..", "'0..' is not FIRST..LAST or FIRST..LAST..STEP"),
        ("--n_times ..3", "'..3' is not FIRST..LAST or"),
        ("--n_times ..", "'..' is not FIRST..LAST or"),
        ("--n_times 0..1..2..3", "'0..1..2..3' is not FIRST..LAST or"),
        ("--n_times 0...3", "'0...3' is not FIRST..LAST or"),
        ("--l2 0...5", "'0...5' is not FIRST..LAST or"),
        ('--n_times "0..3"', "--n_times: expected int, got '0..3'"),
        ("--n_times 0..3..0", "--n_times: the range '0..3..0': its step is 0"),
        ("--n_times 3..3..0", "its step is 0"),
        ("--n_times 0..3..-1", "'0..3..-1': its step leads away from its end"),
        ("--l2 0..1..-0.1", "its step leads away from its end"),
        ("--l2 0..1..0.0", "its step is 0"),
        ("--l2 0.1..0.5", "steps of 1 do not meet its end: write FIRST..LAST..STEP"),
        ("--l2 0..inf", "the range '0..inf': inf is no finite float"),
        ("--l2 nan..1", "nan is no finite float"),
        ("--l2 0..1..1e999", "1e999 is no finite float"),
        ("--l2 a..b", "the range 'a..b': expected float, got 'a'"),
        (f"--l2 1e-5000..1e308..{1}", "its numbers have too many digits"),
        ("--l2 0..1e-99999999999999999999", "its numbers have too many digits"),
        ("--limit none..3", "the range 'none..3': expected int, got 'none'"),
        (f"--n_times 0..{sys.maxsize}", f"--n_times: the range '0..{sys.maxsize}': more than "),
        ("--l2 0..1e300..1e-10", f"the range '0..1e300..1e-10': more than {MAXSIZE} values"),
        (f"--n_times 1..{sys.maxsize},0", f"--n_times: more than {MAXSIZE} values"),
        ("--color RED,green", "--color: expected one of RED, BLUE, got 'green'"),
        ("--color RED..BLUE", "--color: expected one of RED, BLUE, got 'RED..BLUE'"),
        ("--amp true,maybe", "--amp: expected true or false, got 'maybe'"),
        ("--no_amp true,false", "unexpected word 'true,false'"),
        ("--layers 64,64", "--layers: expected int, got '64,64'"),
        ("--layers [64],", "--layers: '[64],' is not JSON lists with commas between them"),
        ("--layers [64],64", "--layers: expected list[int], got 64"),
        ("--layers [64][64]", "'[64][64]' is not JSON lists"),
        ("--layers [64],none", "'[64],none' is not JSON lists"),
        ("--layers [64],[x]", "is not JSON lists"),
        ("--layers [64] [64]", "--layers: expected int, got '[64]'"),
        ('--layers ["1"]', "--layers: expected int, got '1'"),
        ("--layers " + "[" * 100_000, "is not JSON lists"),
        ("--l2 0.1 0.2", "unexpected word '0.2'"),
        ("--lr 0.1,0.2", "has no option --lr (did you mean --opt.lr?)"),
        ("--l2 --foo,1", "--l2: expected float, got '--foo'"),
        ("--schedule none,none", "--schedule: takes only none, got 'none,none'"),
        ("--schedule.warmup 1,2 --no_schedule", "--schedule set to none as well"),
    ],
    ids=lambda text: text[:40],
)
def test_what_is_refused(argv: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    error = refused(Everything, "--dataset", "d", *argv.split())
    assert message in str(error)
    assert str(error).startswith("Everything")
    assert error.hint == "`savethat run NODE --help` shows every argument."
    assert capfd.readouterr() == ("", "")


def test_what_is_missing_is_one_error() -> None:
    assert str(refused(Required, "--amp", "true,false")) == (
        "Required: missing --name, --limit, --opt.lr, --schedule"
    )
    assert str(refused(Required, base={"schedule": {}, "name": ["a", "b"]})) == (
        "Required: missing --amp, --limit, --opt.lr"
    )
    with pytest.raises(ArgumentError, match=r"Everything: missing dataset$"):
        make_grid(Everything, {"l2": [1, 2]})


def test_a_typo_is_told_before_what_is_missing() -> None:
    assert "did you mean --name" in str(refused(Required, "--nam", "x,y"))


# The order and number of points


def pairs(grid: Grid[Fit]) -> list[tuple[float, int]]:
    return [(point.lr, point.seed) for point in grid.points()]


def test_the_first_flag_varies_slowest() -> None:
    assert pairs(parse_grid(Fit, ["--lr", "1,2", "--seed", "0..1"])) == [
        (1, 0),
        (1, 1),
        (2, 0),
        (2, 1),
    ]
    # The order of the flags, not of the fields; of a flag given twice, its last place.
    expected = [(1, 0), (2, 0), (1, 1), (2, 1)]
    assert pairs(parse_grid(Fit, ["--seed", "0..1", "--lr", "1,2"])) == expected
    assert pairs(parse_grid(Fit, ["--lr", "7,8", "--seed=0..1", "--lr", "1,2"])) == expected
    assert pairs(make_grid(Fit, {"seed": range(2), "lr": [1, 2]})) == expected


def test_the_axes_of_the_file_vary_slower_than_those_of_the_words() -> None:
    base = {"opt.lr": [1.0, 2.0], "seed": [0, 1], "opt": {"momentum": [0.1, 0.2]}, "lr": [5, 6]}
    grid = parse_grid(Fit, ["--opt.lr", "8,9"], base=base)
    assert list(grid.axes) == ["seed", "opt.momentum", "lr", "opt.lr"]
    found = [(p.seed, p.opt.momentum, p.lr, p.opt.lr) for p in grid.points()]
    assert found == list(itertools.product([0, 1], [0.1, 0.2], [5, 6], [8, 9]))


def test_fields_of_a_group_keep_their_place_among_the_others() -> None:
    values = {"opt.lr": [1, 2], "seed": [3, 4], "opt.momentum": [5, 6]}
    found = [(p.opt.lr, p.seed, p.opt.momentum) for p in make_grid(Fit, values).points()]
    assert found == list(itertools.product([1, 2], [3, 4], [5, 6]))


def test_a_grid_of_nothing_is_the_defaults() -> None:
    for grid in (parse_grid(Fit, []), make_grid(Fit, {}), parse_grid(Fit, [], zipped=True)):
        assert len(grid) == 1
        assert grid.points() == [Fit()]


def test_equal_points_are_kept_once_the_first() -> None:
    grid = parse_grid(Fit, ["--lr", "1,2,1.0", "--seed", "0,0"])
    assert len(grid) == 6
    assert pairs(grid) == [(1, 0), (2, 0)]
    # What counts is the point, not what was given for it.
    assert [point.name for point in parse_grid(Checked, ["--name", "A,b,a"]).points()] == ["a", "b"]
    assert len(make_grid(Fit, {"lr": [math.nan, math.nan]}).points()) == 1
    assert len(make_grid(Fit, {"lr": [0.0, -0.0]}).points()) == 2


def test_each_point_has_lists_of_its_own() -> None:
    given = [1, 2]
    points = make_grid(Fit, {"layers": given, "seed": [0, 1]}).points()
    given.append(3)
    points[0].layers.append(4)
    assert points[1].layers == [1, 2]


@many
@given(
    st.lists(st.lists(st.integers(-5, 5), min_size=1, max_size=4), min_size=3, max_size=3),
    st.permutations(["lr", "seed", "limit"]),
)
def test_points_are_those_of_nested_loops(values: list[list[int]], keys: list[str]) -> None:
    argv = [f"--{key}={','.join(map(str, axis))}" for key, axis in zip(keys, values, strict=True)]
    grid = parse_grid(Fit, argv)
    loops = [
        Fit(**dict(zip(keys, map(int, point), strict=True)))  # type: ignore[arg-type] # by name
        for point in itertools.product(*values)
    ]
    assert len(grid) == len(loops)
    assert grid.points() == unique(loops)


# Zipped


def test_zipped_values_are_paired_up_and_single_ones_apply_to_all() -> None:
    grid = parse_grid(Fit, ["--lr", "1,2,3", "--limit", "5", "--seed", "7..9"], zipped=True)
    assert len(grid) == 3
    assert [(p.lr, p.seed, p.limit) for p in grid.points()] == [(1, 7, 5), (2, 8, 5), (3, 9, 5)]
    single = parse_grid(Fit, ["--lr", "1", "--seed", "2"], zipped=True)
    assert pairs(single) == [(1, 2)]
    assert pairs(make_grid(Fit, {"lr": [1, 2], "seed": (3, 4)}, zipped=True)) == [(1, 3), (2, 4)]


def test_zipped_values_that_are_not_equally_many() -> None:
    error = refused(
        Fit, "--lr", "1,2", "--seed", "0..9", "--name", "a", base={"limit": [1, 2]}, zipped=True
    )
    assert str(error) == (
        "Fit: the values cannot be paired up: --limit has 2, --lr has 2, --seed has 10"
    )
    assert error.hint == "Give each as many values as the others, or one."
    with pytest.raises(ArgumentError, match=r": opt.lr has 2, seed has 1,000$"):
        make_grid(Fit, {"opt.lr": [1, 2], "seed": range(1000)}, zipped=True)


def test_zipped_axes_may_be_long_where_their_product_could_not_be_counted() -> None:
    argv = ["--seed", f"1..{sys.maxsize}", "--lr", f"1..{sys.maxsize}"]
    assert len(parse_grid(Fit, argv, zipped=True)) == sys.maxsize
    assert str(refused(Fit, *argv)) == f"Fit: more than {MAXSIZE} combinations"


# Samples


def test_a_sample_of_a_huge_grid_is_made_at_once() -> None:
    begin = time.monotonic()
    argv = ["--seed", "0..1000000000,-5..-1", "--lr", "0..1000000..0.001"]
    grid = parse_grid(Fit, argv)
    found = grid.points(sample=5)
    assert time.monotonic() - begin < 5  # writing it out would take years
    assert len(grid) == 1_000_000_006 * 1_000_000_001
    assert len(found) == 5
    assert found == grid.points(sample=5)
    assert found == sorted(found, key=lambda point: (point.seed, point.lr))


@plain
@given(st.integers(1, 40), st.integers(0, 9), st.booleans())
def test_a_sample_is_some_of_the_points_in_their_order(
    size: int, random_seed: int, zipped: bool
) -> None:
    grid = parse_grid(Fit, ["--seed", "9..5,0..2", "--lr", "8..1"], zipped=zipped)
    points = grid.points()
    sample = grid.points(sample=size, random_seed=random_seed)
    assert sample == [point for point in points if point in sample]
    assert len(sample) == min(size, len(points))
    assert sample == grid.points(sample=size, random_seed=random_seed)


def test_another_seed_draws_another_sample() -> None:
    grid = parse_grid(Fit, ["--seed", "0..999"])
    assert grid.points(sample=10) != grid.points(sample=10, random_seed=1)
    assert grid.points(sample=1000) == grid.points(sample=5000) == grid.points()


@pytest.mark.parametrize("sample", [0, -1])
def test_a_sample_of_nothing(sample: int) -> None:
    with pytest.raises(ArgumentError, match=f"Fit: a sample of {sample} points"):
        parse_grid(Fit, ["--seed", "0..3"]).points(sample=sample)


def test_too_many_points(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_POINTS == 100_000
    grid = parse_grid(Fit, ["--seed", "0..999", "--lr", "1..101"])
    for sample in (None, 101_000, 100_001):
        with pytest.raises(ArgumentError) as caught:
            grid.points(sample=sample)
        count = "100,001" if sample == 100_001 else "101,000"
        assert str(caught.value) == f"Fit: {count} points are more than 100,000"
        assert caught.value.hint == "Give --sample N, or fewer values."
    monkeypatch.setattr("savethat.args.grid.MOST_POINTS", 4)
    assert len(parse_grid(Fit, ["--seed", "1..4"]).points()) == 4
    with pytest.raises(ArgumentError, match="5 points are more than 4"):
        parse_grid(Fit, ["--seed", "1..5"]).points()


# Points that cannot be made


def test_a_point_that_fails_the_class_s_own_check_is_named() -> None:
    argv = ["--p", "0,2,3", "--name", "a", "--layers", "[1],[]", "--schedule", "none"]
    with pytest.raises(ArgumentError) as caught:
        parse_grid(Checked, argv).points()
    assert str(caught.value) == "Checked: p is a probability (at p=2.0, layers=[1])"
    assert caught.value.hint == "`savethat run NODE --help` shows every argument."
    assert isinstance(caught.value.__cause__, ValueError)
    with pytest.raises(ArgumentError) as caught:
        make_grid(Checked, {"p": 2, "schedule": [None, Schedule()], "name": ["a", "b"]}).points()
    assert str(caught.value) == "Checked: p is a probability (at schedule=none, name=a)"
    values = {"p": [2.0], "schedule": [Schedule("linear"), Schedule()]}
    with pytest.raises(ArgumentError, match=r"schedule=Schedule\(kind='linear', warmup=None\)\)$"):
        make_grid(Checked, values).points()


def test_a_single_point_that_fails_needs_no_name() -> None:
    with pytest.raises(ArgumentError, match=r"^Checked: p is a probability$"):
        parse_grid(Checked, ["--p", "2"]).points()


def test_a_point_that_a_sample_leaves_out_is_not_made() -> None:
    grid = parse_grid(Checked, ["--p", "0,2"])
    assert grid.points(sample=1, random_seed=1) == [Checked(p=0)]
    with pytest.raises(ArgumentError, match=r"\(at p=2.0\)"):
        grid.points(sample=1, random_seed=0)


# Configuration files


@pytest.mark.parametrize(
    ("hint", "data", "values"),
    [
        (float, 0.1, [0.1]),
        (float, [0.1, 1], [0.1, 1.0]),
        (float, "0.1,0.01", [0.1, 0.01]),
        (float, ["0..0.2..0.1", 5, "inf"], [0.0, 0.1, 0.2, 5.0, math.inf]),
        (int, "0..3", [0, 1, 2, 3]),
        (int, ["0..1", "7,8"], [0, 1, 7, 8]),
        (int | None, None, [None]),
        (int | None, [None, 1, "none,2"], [None, 1, 2]),
        (bool, [True, False], [True, False]),
        (bool, "true,false", [True, False]),
        (str, "a,b", ["a,b"]),
        (str, "", [""]),
        (str, ["a,b", '"c"'], ["a,b", '"c"']),
        (Path, "../a,b", [Path("../a,b")]),
        (Path, ["a", "b"], [Path("a"), Path("b")]),
        (Color, "RED", [Color.RED]),
        (Color, ["RED", "blue"], [Color.RED, Color.BLUE]),
        (Mode, ["fast", 3, True], ["fast", 3, True]),
        (list[int], [64, 64], [[64, 64]]),
        (list[int], [[64], [64, 64]], [[64], [64, 64]]),
        (list[int], [[]], [[]]),
        (list[int], [], [[]]),
        (list[str], ["0..3", "a,b"], [["0..3", "a,b"]]),
        (list[int] | None, [[1], None], [[1], None]),
        (list[int] | None, None, [None]),
        (tuple[int, str], [1, "a"], [(1, "a")]),
        (tuple[int, str], [[1, "a"], [2, "b"]], [(1, "a"), (2, "b")]),
        (set[int], [[1, 1], [2]], [{1}, {2}]),
        (list[list[int]], [[1], [2]], [[[1], [2]]]),
        (list[list[int]], [[[1], []], [[2]]], [[[1], []], [[2]]]),
        (list[int | None], [None, 1], [[None, 1]]),
    ],
)
def test_values_of_a_file(hint: object, data: object, values: list[Any]) -> None:
    assert exactly(from_file(hint, data)) == exactly(values)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ({"l2": "0.1,"}, "Everything: l2: an empty value in '0.1,'"),
        ({"l2": []}, "l2: no values are given"),
        ({"l2": "x"}, "l2: expected float, got 'x'"),
        ({"l2": [[1]]}, "l2: expected float, got [1]"),
        ({"l2": {"a": 1}}, "Everything: l2: expected float, got {'a': 1}"),
        ({"n_times": [1, 1.5]}, "n_times: expected int, got 1.5"),
        ({"n_times": [f"1..{sys.maxsize}", 0]}, f"n_times: more than {MAXSIZE} values"),
        ({"target": 1}, "target: expected str, got 1"),
        ({"mode": "fast,slow"}, "mode: expected one of fast, slow, 3, true, got 'fast,slow'"),
        ({"layers": 1}, "layers: expected list[int], got 1"),
        ({"layers": "[1]"}, "layers: expected list[int], got '[1]'"),
        ({"pair": []}, "pair: expected tuple[int, str], got []"),
        ({"layers": [[1], 2]}, "layers: expected int, got [1]"),
        ({"layers": [[1], None]}, "layers: expected int, got [1]"),
        ({"layers": [[1], ["2"]]}, "layers: expected int, got '2'"),
        ({"opt": [{"lr": 1}]}, "opt: expected an object of arguments, got [{'lr': 1}]"),
        ({"opt": None}, "opt: expected an object of arguments, got None"),
        ({"opt": {"lr": ["x"]}}, "Everything: opt.lr: expected float, got 'x'"),
        ({"opt": {"lr": 1}, "opt.lr": [1]}, "opt.lr is given twice"),
        ({"schedule": None, "schedule.warmup": [1]}, "schedule is given twice"),
    ],
)
def test_what_a_file_may_not_hold(base: dict[str, Any], message: str) -> None:
    error = refused(Everything, "--dataset", "d", base=base)
    assert message in str(error)
    assert error.hint == "`savethat run NODE --help` shows every argument."


@pytest.mark.parametrize(
    "data", [{"datset": 1}, {"opt": {"lrr": 1}}, {"opt.lrr": [1]}, {"target.x": 1}, {"lr": [1]}]
)
def test_an_unknown_key_is_the_error_of_a_run(data: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError) as of_run:
        from_json(Everything, data)
    assert "no argument" in str(of_run.value)
    assert str(refused(Everything, base=data)) == str(of_run.value)
    with pytest.raises(ArgumentError) as of_python:
        make_grid(Everything, data)
    assert str(of_python.value) == str(of_run.value)


def test_words_override_the_file_key_by_key() -> None:
    base = {"lr": [1, 2], "seed": "0..1", "opt": {"lr": [3, 4], "momentum": 0.5}}
    grid = parse_grid(Fit, ["--lr", "9", "--opt.lr", "7"], base=base)
    assert grid.points() == [Fit(9.0, seed, opt=Optimizer(7.0, 0.5)) for seed in (0, 1)]


def test_words_set_and_clear_a_group_of_the_file() -> None:
    cleared = parse_grid(
        Checked, ["--no_schedule", "--p", "0,1"], base={"schedule": {"warmup": [1, 2]}}
    )
    assert cleared.points() == [Checked(0), Checked(1)]
    set_again = parse_grid(Checked, ["--schedule.warmup", "1,2"], base={"schedule": None})
    assert [p.schedule for p in set_again.points()] == [Schedule(warmup=1), Schedule(warmup=2)]
    empty = parse_grid(Checked, ["--p", "0,1"], base={"schedule": {}})
    assert [p.schedule for p in empty.points()] == [Schedule(), Schedule()]


# Python


def one_by_one() -> Iterator[int]:
    yield from (3, 1, 2)


@pytest.mark.parametrize(
    ("hint", "given", "values"),
    [
        (float, 1, [1.0]),
        (float, [0.1, 1, math.inf], [0.1, 1.0, math.inf]),
        (float, range(3), [0.0, 1.0, 2.0]),
        (float, range(3, 0, -2), [3.0, 1.0]),
        (int, range(2, 8, 3), [2, 5]),
        (int, (1, 2), [1, 2]),
        (int, {30, 4, 1}, [1, 4, 30]),
        (int, one_by_one(), [3, 1, 2]),
        (int, {2: "a", 1: "b"}.keys(), [2, 1]),
        (int | None, [None, 1], [None, 1]),
        (int | None, None, [None]),
        (int | None, range(2), [0, 1]),
        (bool, [True, False], [True, False]),
        (str, "a,b", ["a,b"]),
        (str, ["0..3", ""], ["0..3", ""]),
        (str, frozenset("cab"), ["a", "b", "c"]),
        (Path, Path("../a"), [Path("../a")]),
        (Path, [Path("a"), "b"], [Path("a"), Path("b")]),
        (Color, Color.RED, [Color.RED]),
        (Color, Color, [Color.RED, Color.BLUE]),
        (Level, [Level.HIGH], [Level.HIGH]),
        (Mode, ["fast", 3, True], ["fast", 3, True]),
        (Literal[1, 2], range(1, 3), [1, 2]),
        (list[int], [64, 64], [[64, 64]]),
        (list[int], range(3), [[0, 1, 2]]),
        (list[int], one_by_one(), [[3, 1, 2]]),
        (list[int], [], [[]]),
        (list[int], [[64], (64, 64)], [[64], [64, 64]]),
        (list[int], ([n] for n in range(2)), [[0], [1]]),
        (tuple[int, str], (1, "a"), [(1, "a")]),
        (tuple[int, str], [(1, "a"), [2, "b"]], [(1, "a"), (2, "b")]),
        (tuple[int, ...], {(2,), (1, 5)}, [(1, 5), (2,)]),
        (set[int], {1, 2}, [{1, 2}]),
        (set[int], [{1}, {2}], [{1}, {2}]),
        (set[tuple[int, str]], {(1, "a")}, [{(1, "a")}]),
        (list[int] | None, [None, [1]], [None, [1]]),
        (list[int] | None, None, [None]),
        (list[list[int]], [[1], [2]], [[[1], [2]]]),
        (list[list[int]], [[[1]], [[2], []]], [[[1]], [[2], []]]),
        (Optimizer, Optimizer(1), [Optimizer(1.0)]),
        (Optimizer, (Optimizer(1), Optimizer(2)), [Optimizer(1.0), Optimizer(2.0)]),
        (Schedule | None, [None, Schedule()], [None, Schedule()]),
        (Schedule | None, None, [None]),
        (Optimizer, {"lr": [1, 2]}, [Optimizer(1.0), Optimizer(2.0)]),
    ],
)
def test_values_of_python(hint: object, given: object, values: list[Any]) -> None:
    assert exactly(from_python(hint, given)) == exactly(values)


def test_values_of_numpy() -> None:
    numpy = pytest.importorskip("numpy")
    cases: list[tuple[object, Any, list[Any]]] = [
        (float, numpy.array([0.5, 1]), [0.5, 1.0]),
        (float, numpy.linspace(0, 1, 3), [0.0, 0.5, 1.0]),
        (float, numpy.arange(2), [0.0, 1.0]),
        (float, numpy.float32(0.5), [0.5]),
        (int, numpy.arange(2), [0, 1]),
        (int, [numpy.int64(3), 4], [3, 4]),
        (int, numpy.array(3), [3]),
        (bool, numpy.array([True, False]), [True, False]),
        (str, numpy.array(["a", "b"]), ["a", "b"]),
        (list[int], numpy.array([1, 2]), [[1, 2]]),
        (list[int], numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (list[int], [numpy.array([1]), numpy.array([2, 3])], [[1], [2, 3]]),
    ]
    for hint, given_values, values in cases:
        assert exactly(from_python(hint, given_values)) == exactly(values)
    with pytest.raises(ArgumentError, match=r"x: expected int, got 1\.0"):
        make_grid(of_type(int), {"x": numpy.array([1.0])})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"l2": "0.1"}, "Everything: l2: expected float, got '0.1'"),
        ({"n_times": "0..3"}, "n_times: expected int, got '0..3'"),
        ({"n_times": [1, "2"]}, "n_times: expected int, got '2'"),
        ({"n_times": [True]}, "n_times: expected int, got True"),
        ({"n_times": {"a": 1}}, "n_times: expected int, got {'a': 1}"),
        ({"n_times": b"ab"}, "n_times: expected int, got b'ab'"),
        ({"n_times": []}, "n_times: no values are given"),
        ({"n_times": range(0)}, "n_times: no values are given"),
        ({"n_times": iter(())}, "n_times: no values are given"),
        ({"n_times": range(sys.maxsize + 1)}, f"n_times: more than {MAXSIZE} values"),
        ({"l2": range(10**400, 10**400 + 5)}, "l2: expected float, got 1000"),
        ({"l2": range(0)}, "l2: no values are given"),
        ({"target": range(10**9)}, "target: expected str, got 0"),
        ({"target": [["a"]]}, "target: expected str, got ['a']"),
        ({"color": ["RED"]}, "color: expected one of RED, BLUE, got 'RED'"),
        ({"layers": 1}, "layers: expected list[int], got 1"),
        ({"layers": [[1], 2]}, "layers: expected int, got [1]"),
        ({"pair": ()}, "pair: expected tuple[int, str], got []"),
        ({"layers": [None, [1]]}, "layers: expected int, got None"),
        ({"layers": [[1], ["2"]]}, "layers: expected int, got '2'"),
        ({"tags": ["a"]}, "tags: expected set[str], got ['a']"),
        ({"opt": None}, "opt: expected Optimizer, got None"),
        ({"opt": []}, "opt: no values are given"),
        ({"opt": [Optimizer(1), 3]}, "opt: expected Optimizer, got 3"),
        ({"opt": [{"lr": 3}]}, "opt: expected Optimizer, got {'lr': 3}"),
        ({"opt": Schedule()}, "opt: expected Optimizer, got Schedule("),
        ({"opt": Optimizer("x")}, "Everything: opt: Optimizer: lr: expected float, got 'x'"),  # type: ignore[arg-type] # on purpose
        ({"opt": Optimizer(1), "opt.lr": [1, 2]}, "opt is given twice"),
        ({"opt.lr": [1, 2], "opt": Optimizer(1)}, "opt is given twice"),
    ],
)
def test_what_python_may_not_give(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        make_grid(Everything, {"dataset": "d", **values})
    assert message in str(caught.value)
    assert caught.value.hint == "`savethat run NODE --help` shows every argument."


def test_a_huge_range_of_python_stays_one() -> None:
    grid = make_grid(Fit, {"seed": range(10**15), "lr": range(10**3)})
    assert len(grid) == 10**18
    found = grid.points(sample=3)
    assert found == parse_grid(Fit, ["--seed", f"0..{10**15 - 1}", "--lr", "0..999"]).points(
        sample=3
    )
    assert all(type(point.lr) is float and type(point.seed) is int for point in found)


# What holds for all values

SCALARS = [(of_type(hint), values) for hint, values in ITEMS]
one_scalar_class = st.sampled_from(SCALARS).flatmap(
    lambda pair: st.tuples(st.just(pair[0]), st.lists(pair[1], min_size=1, max_size=5))
)
one_class = st.sampled_from(CLASSES[: len(PLAIN)]).flatmap(
    lambda pair: st.tuples(st.just(pair[0]), st.lists(pair[1], min_size=1, max_size=4))
)


def word_of(args: Any) -> str | None:
    """How a run would be given this field's value; None for a value that has no word."""
    (argument,) = to_argv(args)
    _, equals, word = argument.partition("=")
    return word if equals else None


@many
@given(one_scalar_class, st.sampled_from("\"'"))
def test_every_scalar_can_be_one_of_several(case: tuple[Any, list[Any]], mark: str) -> None:
    cls, values = case
    points = [cls(value) for value in values]
    items = [quoted(word, mark) for point in points if (word := word_of(point)) is not None]
    assume(len(items) == len(points))
    assert repr_all(parse_grid(cls, [f"--x={','.join(items)}"]).points()) == repr_all(
        unique(points)
    )


def repr_all(points: list[Any]) -> list[str]:
    return [repr(to_json(point)) for point in points]


@many
@given(one_class)
def test_python_and_json_say_the_same(case: tuple[Any, list[Any]]) -> None:
    cls, values = case
    points = [cls(value) for value in values]
    # By itself [[]] is one list of lists, [].
    assume(not (cls in NESTED_CLASSES and all(not value for value in values)))
    expected = repr_all(unique(points))
    assert repr_all(make_grid(cls, {"x": values}).points()) == expected
    forms = [to_json(point)["x"] for point in points]
    if not any(isinstance(form, str) for form in forms):  # strings may be words
        assert repr_all(parse_grid(cls, [], base={"x": forms}).points()) == expected
    if all(isinstance(form, list) for form in forms):
        word = ",".join(map(json.dumps, forms))
        assert repr_all(parse_grid(cls, [f"--x={word}"]).points()) == expected


NESTED_CLASSES = [cls for cls, _ in CLASSES[len(PLAIN) - 2 : len(PLAIN)]]


@many
@given(st.sampled_from(CLASSES).map(lambda pair: pair[0]), st.lists(words, max_size=3))
def test_a_word_that_is_one_item_means_what_it_means_to_run(cls: Any, argv: list[str]) -> None:
    assume(all(word and not set(word) & set(",\"'") and ".." not in word for word in argv))
    argv = [f"--x={word}" for word in argv[:1]] + argv[1:]
    try:
        point = parse(cls, argv)
    except ArgumentError as error:
        refusal = str(error)
    else:
        assert repr_all(parse_grid(cls, argv).points()) == repr_all([point])
        return
    if "JSON" not in refusal:  # where lists of JSON are read, it says so
        assert str(refused(cls, *argv)) == refusal


@many
@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(1, 7), st.booleans())
def test_ranges_of_ints(first: int, last: int, step: int, written: bool) -> None:
    sign = 1 if first <= last else -1
    word = f"{first}..{last}..{sign * step}" if written else f"{first}..{last}"
    expected = list(range(first, last + sign, sign * (step if written else 1)))
    assert from_words(int, f"--x={word}") == expected
    assert exactly(from_words(float, f"--x={word}")) == exactly([float(n) for n in expected])
    assert from_words(int | None, f"--x={word},none") == [*expected, None]
    if written:
        assert from_words(int, f"--x={first}..{last}..{step}") == expected


decimals = st.decimals(-50, 50, places=2, allow_nan=False)


@many
@given(decimals, decimals, st.decimals("0.25", 9, places=2))
def test_ranges_of_floats_are_those_of_decimal_numbers(first: Any, last: Any, step: Any) -> None:
    found = from_words(float, f"--x={first}..{last}..{step}")
    signed = Fraction(step) if first <= last else -Fraction(step)
    count = (Fraction(last) - Fraction(first)) // signed + 1
    # Division of whole numbers rounds correctly, so each is the float nearest to the exact number.
    assert found == [float(Fraction(first) + signed * n) for n in range(count)]
    assert found[0] == float(first)
    assert abs(Fraction(last) - Fraction(found[-1])) < Fraction(step) + Fraction(1, 10**9)


more_words = st.one_of(
    words,
    st.sampled_from(
        ["1,2", "0..3", "-1..1", "a,", '"a', '""', "[1],[2]", "[1],", "none,1", "--l2=1..2..0.5"]
    ),
    st.sampled_from(["--layers=[1],none", "--amp=true,false", "--n_times=0..99999999999999999999"]),
    st.text("01.,-\"'[]\\ en", max_size=9),
)


@many
@given(st.lists(more_words, max_size=6), st.dictionaries(st.text(max_size=3), json_values))
def test_any_command_line_is_a_grid_or_an_argument_error(
    argv: list[str], base: dict[str, Any]
) -> None:
    try:
        grid = parse_grid(Everything, ["--dataset", "d", *argv], base=base)
    except ArgumentError as error:
        refusal = error
    else:
        points = grid.points(sample=3)
        again = [from_json(Everything, to_json(point)) for point in points]
        assert repr_all(again) == repr_all(points)
        return
    assert str(refusal)
    assert "savethat run NODE --help" in refusal.hint or "Give fewer values." in refusal.hint


@many
@given(
    st.sampled_from(CLASSES).map(lambda pair: pair[0]),
    json_values | st.lists(json_values, max_size=3),
    st.booleans(),
)
def test_any_value_is_a_grid_or_an_argument_error(cls: Any, value: Any, of_python: bool) -> None:
    try:
        if of_python:
            points = make_grid(cls, {"x": value}).points()
        else:
            points = parse_grid(cls, [], base={"x": value}).points()
    except ArgumentError as error:
        message = str(error)
    else:
        assert repr_all([from_json(cls, to_json(p)) for p in points]) == repr_all(points)
        return
    assert message.startswith("OneField")


# Words of a run's arguments


def test_command_words() -> None:
    data = {
        "lr": 0.1,
        "opt": {"m": None, "lr": -1e-3, "inner": {"deep": None}},
        "layers": [64, 64],
        "amp": False,
        "name": "a b",
        "flag": "--x",
        "empty": "",
        "tags": ["a", "-"],
        "limit": None,
        "l2": "-inf",
        "none": "none",
    }
    assert command_words(data) == [
        *("--lr", "0.1", "--opt.no_m", "--opt.lr=-0.001", "--opt.inner.no_deep"),
        *("--layers", "[64, 64]", "--amp", "false", "--name", "a b", "--flag=--x", "--empty", ""),
        *("--tags", '["a", "-"]', "--no_limit", "--l2=-inf", "--none", "none"),
    ]
    assert command_words({}) == []


def has_no_words(args: Any) -> bool:
    """Whether the class is needed to tell what this value's JSON stands for."""
    hint = type(args).__annotations__["x"]
    if args.x is None:
        return bool(hint == bool | None)
    optional_path = hint in (Path | None, PurePosixPath | None)
    return optional_path and str(args.x).lower() == "none"


@many
@given(instances)
def test_command_words_are_read_back(args: Any) -> None:
    assume(not has_no_words(args))
    data = to_json(args)
    assert repr(to_json(parse(type(args), command_words(json.loads(json.dumps(data)))))) == repr(
        data
    )


@plain
@given(EVERYTHING)
def test_command_words_of_a_whole_class_are_read_back(args: Everything) -> None:
    assume(args.maybe_amp is not None)
    assume(args.out is None or str(args.out).lower() != "none")
    data = to_json(args)
    assert to_json(parse(Everything, command_words(data))) == data


def test_the_limits_of_command_words() -> None:
    cls = of_type(bool | None)
    assert parse(cls, command_words({"x": None})) == cls(False)
    paths = of_type(Path | None)
    assert parse(paths, command_words({"x": "none"})) == paths(None)


def test_a_grid_does_not_import_the_parser_before_words_are_parsed() -> None:
    code = (
        "import sys, dataclasses, savethat.args as a\n"
        "cls = dataclasses.make_dataclass('X', [('x', int, 1)], frozen=True)\n"
        "a.make_grid(cls, {'x': [1, 2]}).points()\n"
        "sys.exit('tap' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
