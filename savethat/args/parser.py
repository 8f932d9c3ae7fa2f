"""Arguments as a command line, and back.

Tap does the flags: which option takes which words. What those words mean is its field's kind's
business. Before Tap sees a command line, each word in it is known to be an option or a value:
argparse would take `-1e-3` for an option, and a value `--` for the end of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from savethat.args.codec import HINT, Tree, build, decode, did_you_mean, merge, to_json
from savethat.args.kinds import means_none
from savethat.args.schema import (
    Field,
    Group,
    flag_names,
    is_switch,
    may_be_none,
    schema,
    spellings,
    walk,
)
from savethat.errors import ArgumentError

if TYPE_CHECKING:
    from tap import Tap

T = TypeVar("T")

_OPTION = re.compile(r"--?[^\W\d][\w.-]*")
# Stands before each value that Tap gets to see: no word of a real command line holds it.
_MARK = "\0"
_NEGATED = object()


def parse(cls: type[T], argv: Sequence[str], *, base: Mapping[str, object] | None = None) -> T:
    """The arguments given on a command line.

    Args:
        cls: the class of arguments.
        argv: the words after the node's name.
        base: values from a configuration file, in JSON's or TOML's types; `argv` overrides them.

    Raises:
        ArgumentError: whatever is wrong with the words, `base` or `cls`.
    """
    below = decode(cls, base or {})
    above = grow(cls, options(cls, argv), value_of)
    return build(cls, merge(below, above), dashes="--")


def to_argv(args: object) -> list[str]:
    """A command line that `parse` turns into equal arguments.

    Raises:
        ArgumentError: a value is not of its field's type.
    """
    to_json(args)  # checks the values
    return _words(args, "")


def new_parser(arguments: Mapping[str, dict[str, Any]], **settings: Any) -> Tap:
    """A parser of its own class with these options, for argparse's `add_argument`.

    Raises:
        ArgumentError: from the parser, where argparse would exit.
    """
    from tap import Tap  # takes 60 ms, and only what parses or shows help needs it

    class Parser(Tap):
        def configure(self) -> None:
            for flag, options in arguments.items():
                self.add_argument(flag, **options)

        def error(self, message: str) -> NoReturn:
            raise ArgumentError(message.replace("argument --", "--"), HINT)

    return Parser(allow_abbrev=False, **settings)


def options(cls: type, argv: Sequence[str]) -> dict[str, list[str] | None]:
    """What was given, by dotted key: words, or None for an option that was negated.

    Of an option that was given twice, the last one counts; the options are in the order of those
    that count.

    Raises:
        ArgumentError: an unknown option, or a number of words that the option does not take.
    """
    fields = dict(walk(schema(cls)))
    known = spellings(cls)
    arguments: dict[str, dict[str, Any]] = {}
    for name, (key, negated) in known.items():
        # The destination can be no attribute of Tap's.
        arguments[f"--{name}"] = {"dest": f"--{key}", "default": None} | (
            {"action": "store_const", "const": _NEGATED} if negated else _arity(fields[key])
        )
    parser = new_parser(arguments, add_help=False)
    marked = _marked(cls, argv)
    parser.parse_args(marked, known_only=True)
    if parser.extra_args:
        raise _unexpected(cls, parser.extra_args[0].removeprefix(_MARK))
    found: dict[str, list[str] | None] = {}
    for word in marked:
        if not word.startswith(_MARK):
            key, _ = known[word[2:].partition("=")[0]]
            found.pop(key, None)
            found[key] = _unmarked(getattr(parser, f"--{key}"))
    return found


def _unmarked(given: Any) -> list[str] | None:
    if given is _NEGATED:
        return None
    return [word.removeprefix(_MARK) for word in ([given] if isinstance(given, str) else given)]


def _unexpected(cls: type, word: str) -> ArgumentError:
    return ArgumentError(
        f"{cls.__name__}: unexpected word {word!r}: every argument is given as --NAME VALUE", HINT
    )


def _arity(field: Field) -> dict[str, Any]:
    if is_switch(field.kind):
        return {"nargs": "?", "const": "true"}
    if not isinstance(field.kind, Group) and field.kind.takes_many:
        return {"nargs": "*"}
    return {}


def _marked(cls: type, argv: Sequence[str]) -> list[str]:
    """The words as Tap is to see them: known options in the fields' own spelling, marked values."""
    known = spellings(cls)
    words: list[str] = []
    last = ""
    for index, word in enumerate(argv):
        if word == "--":  # the end of the options, and there is nothing but options
            if argv[index + 1 :]:
                raise _unexpected(cls, argv[index + 1])
            break
        flag, equals, value = word.partition("=")
        if not _OPTION.fullmatch(flag) or _is_number(word):
            words.append(_MARK + word)
            last = ""
            continue
        name = flag[2:].replace("-", "_") if flag.startswith("--") else ""
        if name not in known:
            near = did_you_mean(flag.lstrip("-").replace("-", "_"), known, "--")
            as_value = f"; as a value: {last}={word}" if last else ""
            raise ArgumentError(f"{cls.__name__} has no option {flag}{near}{as_value}", HINT)
        if equals and known[name][1]:
            raise ArgumentError(f"{cls.__name__}: {flag} takes no value", HINT)
        words.append(f"--{name}{equals}{_MARK if equals else ''}{value}")
        last = "" if equals else flag
    return words


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def grow(
    cls: type,
    given: Mapping[str, list[str] | None],
    read: Callable[[str, Field, list[str] | None], object],
) -> Tree:
    """The tree of what `options` found.

    Args:
        cls: the class of arguments.
        given: words by dotted key.
        read: makes the value of a key, its field and its words; raises ValueError if it cannot.

    Raises:
        ArgumentError: `read` raised, or a group is set to none and its fields are given as well.
    """
    fields = dict(walk(schema(cls)))
    tree: Tree = {}
    for key in flag_names(cls):  # a group comes before its fields, so that a clash is seen
        if key in given:
            try:
                _put(tree, key, read(key, fields[key], given[key]))
            except ValueError as error:
                raise ArgumentError(f"{cls.__name__}: --{key}: {error}", HINT) from None
    return tree


def value_of(key: str, field: Field, words: list[str] | None) -> object:
    """The value of an option's words, None being those of a negated one; ValueError if none is."""
    if words is None:
        return False if is_switch(field.kind) else None
    if not isinstance(field.kind, Group):
        return field.kind.read(words)
    if means_none(words[0]):
        return None
    raise ValueError(f"takes only none, got {words[0]!r}: give its fields, --{key}.NAME")


def _put(tree: Tree, key: str, value: object) -> None:
    *groups, name = key.split(".")
    for depth, group in enumerate(groups, start=1):
        inner = tree.setdefault(group, {})
        if not isinstance(inner, dict):
            raise ValueError(f"given, and --{'.'.join(groups[:depth])} set to none as well")
        tree = inner
    tree[name] = value


def _words(args: object, prefix: str) -> list[str]:
    words: list[str] = []
    for field in schema(type(args)):
        value = getattr(args, field.name)
        key = prefix + field.name
        if value is None and is_switch(field.kind):
            words.append(f"--{key}=none")
        elif value is None and may_be_none(field.kind):
            words.append(f"--no_{key}")
        elif isinstance(field.kind, Group):
            words += _words(value, f"{key}.")
        else:
            words.append(f"--{key}={field.kind.write(value)}")
    return words
