"""The program: its commands, its global options, and the one place where errors are shown."""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from savethat import __version__
from savethat.cli.completing import VARIABLE, complete_folders
from savethat.cli.session import Session
from savethat.errors import SavethatError
from savethat.untrusted import printable

if TYPE_CHECKING:
    from pathlib import Path

    from click.shell_completion import CompletionItem

INTERRUPTED = 130
# What a shell reports for a program that SIGPIPE ended, as git and ls are by `| head`.
BROKEN_PIPE = 141

# Each command by its module, with its line of help: a command is imported when it is used.
COMMANDS = {
    "init": "Make a new project from the template.",
    "setup": "Store and test the B2 credentials.",
    "nodes": "List the project's nodes.",
    "run": "Run a node, here or as a SLURM job.",
    "sweep": "Run every combination of a node's arguments.",
    "ls": "List runs with their true state.",
    "show": "Show all that is known of a run.",
    "logs": "Show a run's log, also while it grows.",
    "cancel": "End runs.",
    "retry": "Start the next attempt of runs that failed.",
    "reproduce": "Run a run again, and tell whether the same comes out.",
    "diff": "Compare two runs.",
    "code": "Unpack the code that a run ran from.",
    "rm": "Remove runs, all their versions.",
    "du": "Show what runs take of storage, and what it costs.",
    "gc": "Propose which runs to remove to save space.",
    "download": "Bring runs' files here.",
    "upload": "Send a run's files to storage.",
    "sync": "Send all that is still waiting here.",
    "completion": "Print the script that completes commands in a shell.",
}


class Commands(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands, in the order in which they are met."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"savethat.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """The commands and the global options, without importing a command."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=text)
            for name, text in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="`savethat COMMAND --help` tells more; `savethat init NAME` starts a project.",
)
@click.option(
    "--project",
    metavar="DIR",
    shell_complete=complete_folders,
    help="The project, where it is not the current folder.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="savethat")
@click.pass_context
def cli(ctx: click.Context, project: str | None, debug: bool) -> None:
    """Saves ML experiments: run nodes here or on SLURM, keep what they leave on Backblaze B2."""
    session = ctx.ensure_object(Session)
    session.debug = debug
    if project is not None:
        from pathlib import Path  # 3 ms, which --help has not

        session.project = Path(project)


def main(
    argv: Sequence[str] | None = None,
    *,
    package: str | None = None,
    env_file: Path | None = None,
    program: str | None = None,
) -> None:
    """Runs the program and exits with its code.

    Args:
        argv: the arguments; None for this process's.
        package: the project's package; None for what its configuration says.
        env_file: the project's savethat.toml; None to search for it.
        program: the name shown in help.
    """
    session = Session(package=package, env_file=env_file)
    code = 0
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that is not UTF-8 is shown somehow, and in JSON as what it is.
        sys.stdout.reconfigure(errors="backslashreplace")
    if program is None and VARIABLE in os.environ:
        from savethat.cli.completing.shells import answer

        answer(cli, session)
    else:
        code = _run(sys.argv[1:] if argv is None else list(argv), session, program)
    # The process ends: what is there is given back without a search for circles, which takes 6 ms.
    gc.freeze()
    sys.exit(code)


def _run(argv: list[str], session: Session, program: str | None) -> int:
    try:
        code = cli.main(argv, prog_name=program or "savethat", obj=session, standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # What is left in the buffer cannot be written any more: not at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except SavethatError as error:
        if session.debug:
            raise
        _show(error)
        return error.exit_code
    return code if isinstance(code, int) else 0


def _show(error: SavethatError) -> None:
    # They name what others may have named.
    message, hint = (printable(text, lines=True) for text in (error.message, error.hint))
    click.echo(f"{click.style('error:', fg='red', bold=True)} {message}", err=True)
    if hint:
        click.echo(f"{click.style('hint:', bold=True)}  {hint}", err=True)


def run_main(package: str, env_file: Path | str | None = None) -> None:
    """The program of one project: `python -m my_project` is then `savethat` in it.

    Args:
        package: the package whose modules hold the nodes.
        env_file: the project's savethat.toml.
    """
    from pathlib import Path

    main(
        package=package,
        env_file=Path(env_file) if env_file is not None else None,
        program=f"python -m {package}",
    )
