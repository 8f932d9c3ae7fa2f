"""Input that nobody meant: each parser takes it or refuses it, and does nothing else."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.guard import CaughtError, confined
from tests.fuzz.targets import TARGETS, Target

EXAMPLES = 60

# What parsers have stumbled over.
PIECES = (
    *(
        b"../../x",
        b"/etc/passwd",
        b"\x00",
        b"\x1b]0;x\x07",
        b"\xff\xfe",
        b"\xe2\x80\xae",
        b"\\ud800",
    ),
    *(b"[" * 2_000, b'{"a":' * 2_000, b"9" * 5_000, b"1e999", b"NaN", b"-Infinity", b"a" * 300),
    *(
        b"0-99999999999",
        b"0-9:0",
        b",",
        b"1-2-3",
        b"a." * 100,
        b"=" * 9,
        b"99999999w",
        b"+" + b"9" * 5_000,
    ),
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2, 2**31, 2**63, 10**400, 1e300, float("nan"), float("inf"), "", "\ud800"),
    *("../../x", "/etc/passwd", "a\x00b", "\x1b[2J\n", "\u202e", "x" * 300, "1", [], {}, [[]]),
    *({"a": {"b": 1}}, ["\x9b", 1], {"../x": 1}, {"[/x]": "[/y]"}, "0001-01-01T00:00:00.000000Z"),
    *("9999-12-31T23:59:59.999999Z", 99),
)


def spliced(content: bytes, at: float, cut: int, piece: bytes) -> bytes:
    start = int(at * len(content))
    return content[:start] + piece + content[start + cut :]


def replaced(content: bytes, at: int, value: Any) -> bytes:
    """A JSON text with another value in one place."""
    data = json.loads(content)
    places: list[tuple[Any, Any]] = []
    stack = [data]
    while stack:
        item = stack.pop()
        inner = [*item.items()] if isinstance(item, dict) else [*enumerate(item)]
        places += [(item, name) for name, _ in inner]
        stack += [part for _, part in inner if isinstance(part, (dict, list))]
    owner, name = places[at % len(places)]
    owner[name] = value
    return json.dumps(data).encode()


def contents(target: Target) -> st.SearchStrategy[bytes]:
    seeds = st.sampled_from(target.seeds)
    pieces = st.sampled_from(PIECES) | st.binary(max_size=6)
    choices = [
        st.binary(max_size=100),
        st.text(max_size=40).map(str.encode),
        st.builds(spliced, seeds, st.floats(0, 1), st.integers(0, 12), pieces),
        st.sampled_from([*PIECES, *target.seeds]),
    ]
    objects = [content for content in target.seeds if content.startswith(b"{")]
    if objects:
        odd = st.sampled_from(ODD_VALUES)
        choices += [st.builds(replaced, st.sampled_from(objects), st.integers(0, 200), odd)] * 3
    return st.one_of(choices)


def run(target: Target, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as box:
        folder = Path(box) / "folder"
        folder.mkdir()
        with confined(folder), contextlib.suppress(*target.refuses):
            target.parse(content, folder)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name.replace(" ", "-"))
def test_input_that_nobody_meant_is_taken_or_refused(target: Target) -> None:
    # The same inputs each time, so that it fails by a change; `make fuzz` looks for others.
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(contents(target))
    def each(content: bytes) -> None:
        run(target, content)

    for content in (*target.seeds, *PIECES):
        run(target, content)
    each()


def test_the_guard_sees_what_it_is_to_see(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path)
    with confined(inside):
        (inside / "file").write_text("may be written")
        for path in (tmp_path / "file", inside / ".." / "file", inside / "link" / "file"):
            with pytest.raises(CaughtError):
                path.write_text("must not be")
    assert not (tmp_path / "file").exists()
