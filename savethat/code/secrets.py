"""What never enters a capsule: files that hold secrets, and the keys in `savethat.toml`."""

from __future__ import annotations

import re

# Everything about names is told in lower case: some file systems do not know the difference.
_SECRET = re.compile(
    r"""(?:.*/)?(?:
        (?:\.aws|\.ssh|\.gnupg)/.*
        | \.env
        | \.env\.(?!(?:example|sample|template)$)[^/]*
        | [^/]*\.(?:pem|key|p12|pfx|kdbx)
        | id_(?:rsa|dsa|ecdsa|ed25519)(?![^/]*\.pub$)[^/]*
        | \.netrc | \.pypirc | \.npmrc | \.git-credentials | \.htpasswd
        | credentials[^/]*\.(?:toml|json|ya?ml|ini)
        | \.savethat-credentials[^/]*
        | savethat\.local\.toml
    )""",
    re.VERBOSE | re.DOTALL,
)
# Everybody knows that these stay behind.
_EXPECTED = re.compile(r"(?:.*/)?(?:\.env[^/]*|savethat\.local\.toml)", re.DOTALL)


def is_secret(path: str) -> bool:
    """Whether a file of this name holds secrets, whatever git thinks of it."""
    return _SECRET.fullmatch(path.lower()) is not None


def is_surprising(path: str) -> bool:
    """Whether a user should be told that this secret file stays behind."""
    return _EXPECTED.fullmatch(path.lower()) is None


# TOML 1.0's strings; up to two quotes may stand before the three that end a long one.
_STRING = (
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
)
_NAME = r"""(?:b2_key(?:_id)?|"b2_key(?:_id)?"|'b2_key(?:_id)?')"""
_KEY = re.compile(rf"{_NAME}[ \t]*=")
_TOKEN = re.compile(rf"(?P<string>{_STRING})|(?P<comment>\#[^\n]*)|.", re.DOTALL)
_COMMENTED_KEY = re.compile(r"b2_(?:application_)?key(?:_id)?\W*[=:]", re.IGNORECASE)


def without_keys(text: str) -> str | None:
    """A `savethat.toml` without the lines that set `b2_key_id` and `b2_key`.

    Comments that mention a value of theirs go too. Everything else stays as it is written.

    Args:
        text: valid TOML.

    Returns:
        None where the text is not TOML, so that nothing can be said about it.
    """
    kept: list[str] = []
    place = 0
    while place < len(text):
        end = _statement_end(text, place)
        if end is None:
            return None
        statement = text[place:end]
        if not _KEY.match(statement.lstrip()):
            kept.append(_without_comments(statement))
        place = end
    return "".join(kept)


def _statement_end(text: str, start: int) -> int | None:
    """Where the line that begins at `start` ends, with what its strings and brackets run on to."""
    depth = 0
    place = start
    while place < len(text):
        match = _TOKEN.match(text, place)
        assert match is not None
        place = match.end()
        piece = match[0]
        if match["string"] is None and match["comment"] is None:
            if piece in "\"'":
                return None  # a string that does not end
            if piece in "[{":
                depth += 1
            elif piece in "]}":
                depth -= 1
            elif piece == "\n" and depth <= 0:
                return place
    return place if depth == 0 else None


def _without_comments(statement: str) -> str:
    def kept(match: re.Match[str]) -> str:
        comment = match["comment"]
        return "" if comment is not None and _COMMENTED_KEY.search(comment) else match[0]

    return _TOKEN.sub(kept, statement)
