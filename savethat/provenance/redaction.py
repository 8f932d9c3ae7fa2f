"""Secrets taken out of a record, before it is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from savethat.untrusted import REDACTED

_NAME = r"b2[_-](?:application[_-])?key(?:[_-]id)?"
_VALUE = (
    r"""(?:\\?(?:\"{3}|'{3}).*|\\?"(?:[^"\\\n]|\\.)*"?|\\?'(?:[^'\\\n]|\\.)*'?|[^\s"',;)}\]]+)"""
)
# NAME = VALUE in TOML, Python, shell, JSON and YAML: quotes and brackets may close behind the name,
# and after a colon a type may stand before the value. As arguments of a call the name is quoted.
_ASSIGNMENT = re.compile(
    rf"""(?P<name>{_NAME}(?:["'\])\\]*[ \t]*(?:={{1,3}}|(?P<colon>:))|\\?["'][ \t]*,)[ \t]*)"""
    rf"""(?(colon)(?:[^=\n"']*=[ \t]*)?){_VALUE}""",
    re.IGNORECASE,
)
# An option of a command, and the shells that assign without a sign.
_COMMAND = re.compile(
    rf"(?P<name>(?:-|setenv[ \t]+|\bset[ \t]+(?:-\w+[ \t]+)*|\benv[ \t]+){_NAME}[ \t]+){_VALUE}",
    re.IGNORECASE,
)
_FLAG = re.compile(rf"[\w.-]*{_NAME}", re.IGNORECASE)
# What B2's application keys look like, wherever one stands.
_KEY = re.compile(r"(?<![A-Za-z0-9+/])K0\d\d[A-Za-z0-9+/]{27}(?![A-Za-z0-9+/])")
_USER_INFO = re.compile(r"""://(?P<user>[^\s/:@"'<>]*)[^\s/"'<>]*@""")


def without_credentials(url: str) -> str:
    """`url` without its password; without the user too, unless ssh needs it to log in."""
    return _USER_INFO.sub(lambda match: f"://{_login(match)}", url)


def redacted(record: dict[str, Any], secrets: Sequence[str]) -> dict[str, Any]:
    """`record` with every secret replaced, and every string such that UTF-8 can say it."""
    # The longest first: a shorter one may be part of it.
    ordered = sorted({s for s in secrets if s}, key=len, reverse=True)
    literal = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            text = value.encode(errors="replace").decode()
            if literal is not None:
                text = literal.sub(REDACTED, text)
            return _without_patterns(text)
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [clean(item) for item in value]
        return value

    cleaned: dict[str, Any] = clean(record)
    return {**cleaned, "argv": _without_flag_values(cleaned["argv"])}


def _without_patterns(text: str) -> str:
    for pattern in (_ASSIGNMENT, _COMMAND):
        text = pattern.sub(lambda match: match["name"] + REDACTED, text)
    text = _KEY.sub(REDACTED, text)
    return _USER_INFO.sub(_marked, text)


def _marked(match: re.Match[str]) -> str:
    return match[0] if match[0] == f"://{_login(match)}" else f"://{REDACTED}@"


def _login(match: re.Match[str]) -> str:
    scheme = match.string[max(0, match.start() - 3) : match.start()]
    return f"{match['user']}@" if scheme.lower() == "ssh" else ""


def _without_flag_values(argv: Sequence[str]) -> list[str]:
    words: list[str] = []
    follows = False
    for word in argv:
        name, sign, _ = word.partition("=")
        named = _FLAG.fullmatch(name) is not None
        if follows:
            words.append(REDACTED)
        elif named and sign:
            words.append(f"{name}={REDACTED}")
        else:
            words.append(word)
        follows = not follows and named and not sign and word.startswith("-")
    return words
