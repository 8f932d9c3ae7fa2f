"""A node's arguments: from a dataclass to a command line, to JSON, and back.

Everything starts from the dataclass's fields and their resolved types; each type that can be saved
is a `Kind` (kinds.py). Values given in a file and on the command line meet as one tree of typed
values, from which the dataclass is built (codec.py). In a sweep some arguments have several values,
and the dataclass is built from each combination (grid.py).
"""

from __future__ import annotations

from savethat.args.base import Args
from savethat.args.codec import command_words, flat, from_json, to_json
from savethat.args.grid import MOST_POINTS, Grid, make_grid, parse_grid
from savethat.args.helptext import format_help, wants_help
from savethat.args.parser import parse, to_argv
from savethat.args.schema import Field, flag_names, schema

__all__ = [
    "MOST_POINTS",
    "Args",
    "Field",
    "Grid",
    "command_words",
    "flag_names",
    "flat",
    "format_help",
    "from_json",
    "make_grid",
    "parse",
    "parse_grid",
    "schema",
    "to_argv",
    "to_json",
    "wants_help",
]
