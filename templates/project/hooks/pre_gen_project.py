"""Refuses a package name that Python could not import, before anything is written."""

import keyword
import re
import sys

SLUG = "{{ cookiecutter.project_slug }}"
# The template's own folder and dependencies; Python's `test` is not among its stdlib_module_names.
TAKEN = {"numpy", "savethat", "test", "tests"}

if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?", SLUG):
    sys.exit(f"ERROR: {SLUG!r} is no name for a Python package: use letters, digits and _")
if keyword.iskeyword(SLUG):
    sys.exit(f"ERROR: {SLUG!r} is a Python keyword: choose another name")
if SLUG in TAKEN or SLUG in sys.stdlib_module_names:
    sys.exit(f"ERROR: {SLUG!r} is the name of another module: choose another name")
