"""The help of a node's arguments."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator

from savethat.args.comments import field_comments
from savethat.args.parser import new_parser
from savethat.args.schema import Field, Group, is_switch, may_be_none, schema

_NOTES = """\
A NAME is spelled with dashes or underscores. --NAME=VALUE always works, and is needed for a
value that looks like an option. Lists are words (--NAME 1 2) or JSON (--NAME '[1, 2]')."""


def format_help(cls: type, prog: str, description: str) -> str:
    """The help text: each argument with its field's comment, type and default.

    Args:
        cls: the class of arguments.
        prog: what is typed before the arguments.
        description: what the node does.

    Raises:
        ArgumentError: as `schema` does.
    """
    arguments = {
        f"--{key}": {"default": None, "help": _escaped(text), "metavar": metavar}
        for key, metavar, text in _rows(cls, "", None, "required")
    }
    description = inspect.cleandoc(description)
    parser = new_parser(
        arguments,
        usage=_escaped(f"{prog} --NAME VALUE ..." if arguments else prog),
        # argparse fills in a text only if it names the program.
        description=_escaped(description) if "%(prog)" in description else description,
        epilog=_NOTES if arguments else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser.format_help()


def _rows(
    cls: type, prefix: str, start: object | None, required: str
) -> Iterator[tuple[str, str, str]]:
    """The dotted key, the shape of the value and the help of each argument."""
    comments = field_comments(cls)
    for field in schema(cls):
        key = prefix + field.name
        comment = comments.get(field.name, "")
        needed = start is None and field.default is None
        value = field.make_default() if start is None else getattr(start, field.name)
        if not isinstance(field.kind, Group):
            facts = [field.kind.label, required if needed else f"default: {_text(field, value)}"]
            if is_switch(field.kind):
                facts.append(f"--no_{key} for false")
            elif may_be_none(field.kind):
                facts.append(f"--no_{key} for none")
            yield key, field.kind.metavar, f"{comment} ({'; '.join(facts)})".lstrip()
            continue
        inner = required
        if field.kind.optional:
            inner = f"required unless --{key} is none"
            state = required if needed else f"default: {'none' if value is None else 'as below'}"
            yield key, "none", f"{comment} ({state}; --{key}.NAME sets its fields)".lstrip()
        yield from _rows(field.kind.cls, f"{key}.", value, inner)


def _text(field: Field, value: object) -> str:
    """A default as it would be given."""
    if value is None:
        return "none"
    try:
        assert not isinstance(field.kind, Group)
        word = field.kind.write(value)
    except ValueError:  # made by a default_factory that disagrees with the type
        return repr(value)
    return word if word.strip() else repr(word)


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
