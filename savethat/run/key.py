"""Run keys: `FitOLS_2026-11-23T08-05-52_k3x9w2pq` is a node, a UTC time and a suffix.

A key is the run's name everywhere: folder, object prefix and (for a launch of one) job name, so
it holds only characters that are legal in all of them. The runs of a larger launch have its id and
their position: `FitOLS_2026-11-23T08-05-52_k3x9w2pq007`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from savethat.errors import UsageError

TIME_FORMAT = "%Y-%m-%dT%H-%M-%S"
# There were no runs before, and who computes with a time would have to mind the year 0.
FIRST_YEAR = 1970
# No vowels and no 0/o, 1/l: suffixes are read aloud, typed, and should not spell words.
SUFFIX_ALPHABET = "23456789bcdfghjkmnpqrstvwxz"
# 27**8 suffixes per node and second: a thousand launches in one second on different machines
# clash once in half a million such seconds.
SUFFIX_LENGTH = 8

# The name of a mark has up to 20 bytes more, and b2sdk takes 250 between two slashes.
_KEY_BYTES = 230
_POSITION_DIGITS = 9
_KEY = re.compile(
    r"(?P<node>[^\W\d]\w*)"
    r"_(?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2})"
    r"_(?P<suffix>[a-z0-9]{4,32})"
)


class KeyParts(NamedTuple):
    """A run key taken apart: node's class name, launch time (UTC) and suffix."""

    node: str
    time: datetime
    suffix: str


# Whoever reads a mark asks several times in a row: for its name, its content, its launch.
@functools.lru_cache(maxsize=64)
def parse_key(text: str) -> KeyParts | None:
    """The parts of a run key, or None where the text is not one."""
    match = _KEY.fullmatch(text) if len(text) <= _KEY_BYTES else None
    if match is None or len(text.encode()) > _KEY_BYTES:
        return None
    try:
        # A tenth of what strptime takes; Python 3.10 does not read the dashes of the clock.
        day, clock = match["time"].split("T")
        time = datetime.fromisoformat(f"{day}T{clock.replace('-', ':')}+00:00")
    except ValueError:
        return None
    return KeyParts(match["node"], time, match["suffix"]) if time.year >= FIRST_YEAR else None


def node_of(key: str) -> str:
    """The class name of a key's node; `key` must be a run key."""
    parts = parse_key(key)
    assert parts is not None, f"not a run key: {key!r}"
    return parts.node


def new_key(node: str, now: datetime, choices: Callable[..., Sequence[Any]]) -> str:
    """A key that no other launch has.

    Args:
        node: the node's class name.
        now: the time of the launch, aware.
        choices: `random.SystemRandom().choices`, or a seeded one in tests.

    Raises:
        UsageError: the class's name cannot be part of a key.
    """
    suffix = "".join(choices(SUFFIX_ALPHABET, k=SUFFIX_LENGTH))
    key = f"{node}_{now.astimezone(timezone.utc).strftime(TIME_FORMAT)}_{suffix}"
    # The runs of a larger launch have their position behind it.
    if parse_key(f"{key}{0:0{_POSITION_DIGITS}}") is None:
        raise UsageError(
            f"the class name {node} cannot be part of a run key",
            "give the node a name of letters, digits and underscores, at most 190 bytes long",
        )
    return key


def member_keys(stem: str, count: int) -> list[str]:
    """The keys of a launch's runs: `stem` itself for one, else followed by each one's position.

    They differ by construction, and each tells its launch (see `stem_of`).
    """
    if count == 1:
        return [stem]
    width = len(str(count - 1))
    return [f"{stem}{position:0{width}d}" for position in range(count)]


def stem_of(key: str) -> str:
    """The key without a position at its end: the start of the ids of all its launches."""
    parts = parse_key(key)
    assert parts is not None, f"not a run key: {key!r}"
    beyond = len(parts.suffix) - SUFFIX_LENGTH
    return key[:-beyond] if beyond > 0 else key
