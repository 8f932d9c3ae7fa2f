"""The comments that stand with a class's fields in its source, for the help text.

Tap reads comments too, through a function it does not export; that one sees none above a field and
none at all below a decorator of several lines, and fails on docstrings outside ASCII.
"""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize

_FOR_TOOLS = re.compile(r"(type:|noqa|pragma|pylint|pyright|mypy|ruff|fmt:|isort)")


def field_comments(cls: type) -> dict[str, str]:
    """The comment of each field that has one: beside it, else the string below, else above it.

    A class whose source cannot be read (from a notebook, say) has none.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        found |= _own_comments(base)
    return found


def _own_comments(cls: type) -> dict[str, str]:
    try:
        source = inspect.getsource(cls)
        if source[0].isspace():  # a class inside something: dedenting would change its strings
            source = f"if True:\n{source}"
        classes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.ClassDef)]
        beside, above = _comment_lines(source)
    except (OSError, TypeError, SyntaxError, tokenize.TokenError):
        return {}
    body = classes[0].body
    found: dict[str, str] = {}
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        comment = (
            beside.get(node.end_lineno or node.lineno)
            or beside.get(node.lineno)
            or _string(following)
            or _block_ending_at(node.lineno - 1, above)
        )
        if comment:
            found[node.target.id] = " ".join(comment.split())
    return found


def _comment_lines(source: str) -> tuple[dict[int, str], dict[int, str]]:
    """The text of comments by line: those beside code, and those with a line of their own."""
    beside: dict[int, str] = {}
    alone: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            parts = re.split(r"(?:^|\s+)#+\s*", token.string)
            text = " ".join(part for part in parts if part and not _FOR_TOOLS.match(part))
            row, column = token.start
            (beside if token.line[:column].strip() else alone)[row] = text
    return beside, alone


def _string(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return node.value.value if isinstance(node.value.value, str) else ""
    return ""


def _block_ending_at(line: int, comments: dict[int, str]) -> str:
    block: list[str] = []
    while line in comments:
        block.insert(0, comments[line])
        line -= 1
    return " ".join(block)
