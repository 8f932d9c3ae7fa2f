"""What `run`, `sweep` and `retry` share: where runs go, with what, and a node's arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from savethat.cli.session import Session, warn
from savethat.errors import ArgumentError, UsageError
from savethat.untrusted import read_json

if TYPE_CHECKING:
    from savethat.launch.destinations import Destination

Command = TypeVar("Command", bound=Callable[..., Any])

# Options that are sbatch's, by the name sbatch has for them.
_RESOURCES = (
    (("-p", "--partition"), "partition", "Partition."),
    (("-t", "--time"), "time", "Time limit: as sbatch takes it, or 90m, 4h, 2d."),
    (("--gpus",), "gpus", "GPUs: 2, a100:1."),
    (("--cpus",), "cpus-per-task", "CPUs."),
    (("--mem",), "mem", "Memory: 16G."),
    (("--nodes",), "nodes", "Compute nodes."),
    (("--tasks-per-node",), "ntasks-per-node", "Tasks on each compute node."),
    (("-A", "--account"), "account", "Account to charge."),
    (("--qos",), "qos", "Quality of service."),
    (("-C", "--constraint"), "constraint", "Features the compute nodes must have."),
    (("-x", "--exclude"), "exclude", "Compute nodes to stay away from."),
)
_FLAGS = {name: flags[-1] for flags, name, _ in _RESOURCES}
# What this machine's queue has to give, too.
_QUEUES = {"gpus", "cpus-per-task"}


def resource_options(command: Command) -> Command:
    """Adds the options of a job; the command takes them as `**options` for `destination`."""
    options = [
        click.option(*flags, f"sbatch_{name.replace('-', '_')}", help=text)
        for flags, name, text in _RESOURCES
    ]
    options += [
        click.option(
            "--preset", default="", metavar="NAME", help="Options of [slurm.presets.NAME]."
        ),
        click.option(
            "--sbatch", multiple=True, metavar="KEY=VALUE", help="Any other sbatch option."
        ),
        click.option(
            "--max-parallel",
            type=click.IntRange(min=1),
            metavar="N",
            help="At most so many of these runs at a time.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def launch_options(command: Command) -> Command:
    """Adds what `run` and `sweep` share beside a job's resources."""
    options = [
        click.option("--tag", multiple=True, help="A word of yours for the runs (repeatable)."),
        click.option("--wait", is_flag=True, help="Wait; exit 1 unless all completed."),
        click.option(
            "-n", "--dry-run", is_flag=True, help="Show what would be submitted; do nothing."
        ),
        click.option(
            "--config",
            "config_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="The node's arguments, as TOML or JSON; flags override it.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def requeue_option(command: Command) -> Command:
    """Adds how often runs may be started again; the command takes it as `requeue`."""
    option = click.option(
        "--requeue",
        type=click.IntRange(min=0),
        metavar="N",
        help="Start a run again up to N times when it was preempted, out of time, or its worker or"
        " machine was lost. 3 for nodes that resume, else 0.",
    )
    return option(command)


def given_resources(options: dict[str, Any]) -> dict[str, str]:
    """The resource options that were given, by sbatch's long names."""
    return {
        name: options[f"sbatch_{name.replace('-', '_')}"]
        for _, name, _ in _RESOURCES
        if options[f"sbatch_{name.replace('-', '_')}"] is not None
    }


def destination(
    session: Session, options: dict[str, Any], *, slurm: bool, dry: bool = False
) -> Destination:
    """Where the runs go: SLURM, or this machine's queue.

    Raises:
        UsageError: an option that the place does not have, or a wrong value.
    """
    from savethat.launch.destinations import ToQueue, slurm_destination

    flags = given_resources(options)
    if slurm:
        return slurm_destination(
            session.config,
            preset=options["preset"],
            flags=flags,
            sbatch=options["sbatch"],
            dry=dry,
        )
    foreign = [_FLAGS[name] for name in flags if name not in _QUEUES]
    foreign += [f"--{name}" for name in ("preset", "sbatch") if options[name]]
    if foreign:
        raise UsageError(f"{foreign[0]} is for SLURM jobs", "add --slurm, or leave it out")
    gpus = flags.get("gpus")
    return ToQueue(
        session.config,
        cpus=_number("--cpus", flags.get("cpus-per-task", "0")),
        gpus=_number("--gpus", gpus) if gpus is not None else None,
    )


def _number(option: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text.strip()):
        raise UsageError(f"{option} {text}: in this machine's queue it is a number", f"{option} 1")
    return int(text)


def find(session: Session, name: str) -> Any:
    """A node's class, by its name; its package is importable from now on.

    Raises:
        NotFoundError: there is no such node, or more than one.
    """
    from savethat.discovery import find_node

    session.python_path  # noqa: B018 # makes the package importable
    cls, broken = find_node(session.config.package, name)
    warn(f"cannot look into {module.module}: {module.error}" for module in broken)
    return cls


def shows_help(cls: Any, node_args: Sequence[str], ctx: click.Context) -> bool:
    """Prints a node's arguments where they ask for help; whether they did."""
    from savethat import args
    from savethat.node import args_type, first_line

    if not args.wants_help(node_args):
        return False
    program = f"{ctx.command_path} {cls.__name__}"
    click.echo(args.format_help(args_type(cls), program, first_line(cls)), nl=False)
    return True


def refuse_own_options(cls: Any, node_args: Sequence[str], ctx: click.Context) -> None:
    """Refuses options of savethat's that stand behind the node, unless they are its fields.

    Raises:
        UsageError: there is one.
    """
    from savethat import args
    from savethat.node import args_type

    own = {option for param in ctx.command.params for option in param.opts}
    fields = {f"--{name}" for name in args.flag_names(args_type(cls))}
    fields |= {name.replace("_", "-") for name in fields}
    for word in node_args:
        option = word.partition("=")[0]
        if option in own - fields and option.startswith("-"):
            raise UsageError(
                f"{option} is an option of savethat's, not of {cls.__name__}",
                f"put it before the node: {ctx.command_path} {option} … {cls.__name__} …",
            )


def naming(error: ArgumentError, cls: Any) -> ArgumentError:
    """The error, with the node's name in its hint."""
    return ArgumentError(error.message, error.hint.replace("NODE", cls.__name__))


def read_arguments(path: Path | None) -> dict[str, Any]:
    """The content of a file with a node's arguments; nothing where there is none.

    Raises:
        UsageError: it is not a JSON object.
        ConfigError: it is not TOML.
    """
    from savethat.config import read_toml

    if path is None:
        return {}
    if path.suffix != ".json":
        return dict(read_toml(path))
    try:
        data = read_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not JSON: {error}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{path}: not a JSON object", 'write the arguments as {"name": …}')
    return data
