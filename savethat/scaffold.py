"""A new project from the template that ships with savethat. Home of cookiecutter."""

from __future__ import annotations

import json
import keyword
import re
import shutil
import sys
import tempfile
from pathlib import Path

from savethat.errors import RefusedError, SavethatError, UsageError

# Also names of modules a new project would hide, besides the standard library's: the template's own
# folder and dependencies. Python's `test` is not among its stdlib_module_names.
_TAKEN = frozenset({"numpy", "savethat", "test", "tests"})


def create_project(name: str, parent: Path) -> Path:
    """Writes a new project into the folder ``parent / name`` and returns that folder.

    Asks nothing, needs no network, and neither reads nor writes cookiecutter's files in the user's
    home.

    Args:
        name: the project's name and its Python package's.
        parent: the folder to create it in; made where it is missing.

    Raises:
        UsageError: Python could not import a package of that name, or it would hide another one.
        RefusedError: the folder exists and is not empty.
        SavethatError: the folder cannot be written.
    """
    # Imported here: it brings jinja2 and requests, which no other command needs.
    from cookiecutter.exceptions import CookiecutterException
    from cookiecutter.main import cookiecutter

    _check_name(name)
    project = parent / name
    with tempfile.TemporaryDirectory(prefix="savethat-init-") as temporary:
        # Rendered from a copy: installers compile the modules of a wheel, and cookiecutter would
        # carry the template's __pycache__ into the project.
        template = Path(temporary, "project")
        shutil.copytree(_template(), template, ignore=shutil.ignore_patterns("__pycache__"))
        # JSON is YAML, in which cookiecutter reads its settings. Its default places are in HOME.
        settings = Path(temporary, "cookiecutterrc")
        settings.write_text(json.dumps({"cookiecutters_dir": temporary, "replay_dir": temporary}))
        try:
            if project.is_symlink() or project.exists():
                _refuse_unless_empty(project)
            cookiecutter(
                str(template),
                no_input=True,
                extra_context={"project_name": name, "project_slug": name},
                output_dir=str(parent),
                config_file=str(settings),
                overwrite_if_exists=True,  # it is empty
                accept_hooks=False,  # the hook repeats _check_name for users of plain cookiecutter
            )
        except OSError as error:
            raise SavethatError(
                f"cannot create the project {project}: {error.strerror or error}",
                "run `savethat init` in a folder you can write to",
            ) from error
        except CookiecutterException as error:
            raise SavethatError(f"cannot render the project {project}: {error}") from error
    return project


def _template() -> Path:
    """The template: in the package when installed from a wheel, beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "templates" / "project"
    return installed if installed.is_dir() else package.parent / "templates" / "project"


def _check_name(name: str) -> None:
    problem = _problem(name)
    if problem is None:
        return
    suggestion = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower()
    if _problem(suggestion) is not None:
        suggestion = f"my_{suggestion or 'project'}"
    raise UsageError(
        f"{name!r} cannot be a project's name: {problem}",
        f"try `savethat init {suggestion}`",
    )


def _problem(name: str) -> str | None:
    """Why ``name`` cannot name a Python package and its distribution, or None where it can."""
    if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?", name):
        return "use letters, digits and _, beginning with a letter"
    if keyword.iskeyword(name):
        return "it is a Python keyword"
    if name in sys.stdlib_module_names:
        return "it is the name of a module of Python's standard library"
    if name in _TAKEN:
        return "another package or folder has that name"
    return None


def _refuse_unless_empty(project: Path) -> None:
    if not project.is_dir():
        raise RefusedError(f"{project} exists and is not a folder", "choose another name")
    if any(project.iterdir()):
        raise RefusedError(
            f"the folder {project} exists and is not empty",
            "choose another name, or move what it holds elsewhere",
        )
