"""Text from outside: JSON read within bounds, and words shown so that a terminal only shows them.

A record in a bucket, a file in a run's folder or a job's name may be anybody's. Whoever reads one
goes through here, so that size, depth and numbers are bounded in one place.
"""

from __future__ import annotations

import functools
import re
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from json import JSONDecoder

# A launch record has some 300 bytes a run: this is one of about 100,000 runs.
JSON_LIMIT = 32 * 1024 * 1024
# What walks through a value goes down a few frames a level, and Python's stack has 1,000.
_DEPTH = 64
# As Python's own: a longer one takes time that grows with its square. 3.10.0 has no such bound.
_DIGITS = 4_300
_BITS = 14_280
# A text this short, with few brackets, is within these bounds: a listing has thousands of them.
_SHORT = 4_000

# What stands where a secret was.
REDACTED = "[redacted]"

# Control characters, line ends that only some know, what shows words in another order than they
# are written in (Unicode TR 36), and what UTF-8 cannot say.
_UNSAFE = r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
_UNSAFE_IN_TEXT = rf"(?![\n\t]){_UNSAFE}"


def read_json(content: bytes | str, *, limit: int = JSON_LIMIT) -> Any:
    """The value of a JSON text. NaN and the infinities are taken, as Python itself writes them.

    Args:
        content: the text, of any of JSON's encodings.
        limit: the most bytes, or characters, that it may have.

    Raises:
        ValueError: it is not JSON, larger than the limit, too deeply nested, or has a key twice in
            one object or an integer of more than 4,300 digits.
    """
    if len(content) > limit:
        raise ValueError(f"it has {len(content)} bytes, more than {limit}")
    if isinstance(content, bytes):
        content = content.decode(_json().detect_encoding(content), "surrogatepass")
    try:
        # No number of a short text has too many digits.
        value = _decoder(counts_digits=len(content) > _DIGITS).decode(content)
    except RecursionError:
        raise _too_deep() from None
    if len(content) >= _SHORT or content.count("[") + content.count("{") > _DEPTH:
        check_bounds(value)
    return value


def check_bounds(value: object) -> None:
    """Refuses a value that cannot be walked through, or cannot be written down again.

    Raises:
        ValueError: its dicts and lists are nested too deeply, or an integer has too many digits.
    """
    level = [value]
    for _ in range(_DEPTH):
        if any(isinstance(item, int) and item.bit_length() > _BITS for item in level):
            raise ValueError(f"a number has more than {_DIGITS} digits")
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _too_deep()


def printable(text: str, *, lines: bool = False) -> str:
    r"""The text with what a terminal would obey escaped: `\x1b`, `\n`, `\u202e`.

    Args:
        text: from anywhere.
        lines: whether line ends and tabs stay, because it is not one line of many.
    """
    # Python calls none of these printable, and nearly all that is shown is.
    if text.isprintable():
        return text
    return re.sub(_UNSAFE_IN_TEXT if lines else _UNSAFE, _escaped, text)


def printable_json(text: str) -> str:
    """The same of a JSON text, whose value stays what it was."""
    if text.isprintable():
        return text
    return re.sub(_UNSAFE_IN_TEXT, lambda match: f"\\u{ord(match[0]):04x}", text)


def shortened(value: object) -> str:
    """What a value is, in a few characters, for a message that refuses it."""
    if isinstance(value, (str, bytes)):
        return repr(value[:60]) + ("…" if len(value) > 60 else "")
    if isinstance(value, (dict, list, tuple)):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _json() -> ModuleType:
    """The library, once it is needed: it takes milliseconds, and some commands read no record."""
    import json

    return json


@functools.cache
def _decoder(*, counts_digits: bool) -> JSONDecoder:
    """What reads a text; to make it takes as long as to read one."""
    numbers = _integer if counts_digits else None
    decoder: JSONDecoder = _json().JSONDecoder(object_pairs_hook=_object, parse_int=numbers)
    return decoder


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def _too_deep() -> ValueError:
    return ValueError(f"it is nested more than {_DEPTH} levels deep")
