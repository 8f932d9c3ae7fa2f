"""A node's arguments: from a dataclass to a command line, to JSON, and back.

Everything starts from the dataclass's fields and their resolved types; each type that can be saved
is a `Kind` (kinds.py). Values given in a file and on the command line meet as one tree of typed
values, from which the dataclass is built (codec.py). In a sweep some arguments have several values,
and the dataclass is built from each combination (grid.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savethat.face import on_first_use

if TYPE_CHECKING:
    from savethat.args.base import Args as Args
    from savethat.args.codec import command_words as command_words
    from savethat.args.codec import flat as flat
    from savethat.args.codec import from_json as from_json
    from savethat.args.codec import to_json as to_json
    from savethat.args.grid import MOST_POINTS as MOST_POINTS
    from savethat.args.grid import Grid as Grid
    from savethat.args.grid import make_grid as make_grid
    from savethat.args.grid import parse_grid as parse_grid
    from savethat.args.helptext import format_help as format_help
    from savethat.args.parser import parse as parse
    from savethat.args.parser import to_argv as to_argv
    from savethat.args.schema import flag_names as flag_names
    from savethat.args.words import wants_help as wants_help

_HOMES = {
    "Args": "savethat.args.base",
    "Grid": "savethat.args.grid",
    "MOST_POINTS": "savethat.args.grid",
    "command_words": "savethat.args.codec",
    "flag_names": "savethat.args.schema",
    "flat": "savethat.args.codec",
    "format_help": "savethat.args.helptext",
    "from_json": "savethat.args.codec",
    "make_grid": "savethat.args.grid",
    "parse": "savethat.args.parser",
    "parse_grid": "savethat.args.grid",
    "to_argv": "savethat.args.parser",
    "to_json": "savethat.args.codec",
    "wants_help": "savethat.args.words",
}

__all__ = [
    "MOST_POINTS",
    "Args",
    "Grid",
    "command_words",
    "flag_names",
    "flat",
    "format_help",
    "from_json",
    "make_grid",
    "parse",
    "parse_grid",
    "to_argv",
    "to_json",
    "wants_help",
]

__getattr__ = on_first_use(__name__, _HOMES)
