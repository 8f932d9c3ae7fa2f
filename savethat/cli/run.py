"""`savethat run`: one run of a node."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savethat.cli.session import Session, talk, warn
from savethat.errors import ArgumentError, RunFailedError, UsageError

if TYPE_CHECKING:
    from savethat.launch import Asked
    from savethat.worker.supervisor import Outcome

INTERRUPTED = 130

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


def _resource_options(function: Any) -> Any:
    for flags, name, text in reversed(_RESOURCES):
        function = click.option(*flags, f"sbatch_{name.replace('-', '_')}", help=text)(function)
    return function


@click.command(
    "run",
    context_settings={"allow_interspersed_args": False},
    options_metavar="[OPTIONS]",
    epilog="`savethat run NODE --help` shows the arguments of a node.",
)
@click.option("--slurm", is_flag=True, help="Submit it as a SLURM job.")
@_resource_options
@click.option("--preset", default="", metavar="NAME", help="Options of [slurm.presets.NAME].")
@click.option("--sbatch", multiple=True, metavar="KEY=VALUE", help="Any other sbatch option.")
@click.option("--tag", multiple=True, help="A word of yours for the run (repeatable).")
@click.option("--wait", is_flag=True, help="Wait for the job; exit 1 unless it completed.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be submitted; do nothing.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The node's arguments, as TOML or JSON; flags override it.",
)
@click.option("--pdb", is_flag=True, help="Open the debugger where the node raises.")
@click.argument("node", metavar="NODE")
@click.argument("node_args", nargs=-1, type=click.UNPROCESSED, metavar="[NODE ARGS]")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    node: str,
    node_args: tuple[str, ...],
    slurm: bool,
    preset: str,
    sbatch: tuple[str, ...],
    tag: tuple[str, ...],
    wait: bool,
    dry_run: bool,
    config_file: Path | None,
    pdb: bool,
    **resources: str | None,
) -> int:
    """Run a node in the foreground, or with --slurm as a job.

    savethat's options come before NODE, the node's own after it. The run's key is the last line of
    stdout.
    """
    from savethat import launch
    from savethat.discovery import find_node

    session = ctx.ensure_object(Session)
    session.python_path  # noqa: B018 # makes the package importable
    cls, broken = find_node(session.config.package, node)
    warn(f"cannot look into {module.module}: {module.error}" for module in broken)
    if _shows_help(cls, node_args, ctx):
        return 0
    flags = {
        name.removeprefix("sbatch_").replace("_", "-"): value
        for name, value in resources.items()
        if value is not None
    }
    if not slurm:
        for given, option in ((flags or sbatch or preset, "resource options"), (wait, "--wait")):
            if given:
                raise UsageError(f"{option} are for jobs", "savethat run --slurm …")
    if slurm and pdb:
        raise UsageError("--pdb is for the foreground", "leave out --slurm")
    asked = launch.Asked(
        cls(_parse(cls, node_args, config_file, ctx)), argv=tuple(sys.argv), tags=tag
    )
    if slurm:
        request = launch.slurm_request(session.config, preset=preset, flags=flags, sbatch=sbatch)
        if dry_run:
            planned, script = launch.slurm_script(session.config, asked, request)
            click.echo(f"# {planned.id}: {launch.describe(asked)}\n{script}", nl=False)
            return 0
        return _submit(session, asked, request, wait=wait)
    if dry_run:
        click.echo(launch.describe(asked))
        return 0
    return _run_here(session, asked, pdb=pdb)


def _run_here(session: Session, asked: Asked, *, pdb: bool) -> int:
    from savethat import launch
    from savethat.worker.journal import Terminal

    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    key, outcome = launch.run_here(session.config, asked, terminal=Terminal(colour=colour), pdb=pdb)
    _tell(session, key, outcome)
    click.echo(key)
    if outcome.ending.mark == "cancelled":
        return INTERRUPTED
    return 0 if outcome.ending.mark == "completed" else 1


def _tell(session: Session, key: str, outcome: Outcome) -> None:
    ending = outcome.ending
    talk(f"{ending.mark}: {ending.reason}" if ending.reason else ending.mark)
    talk(f"files: {session.config.local_path / key}")
    if not outcome.synced:
        warn([f"{outcome.trouble}: the run is kept here; `savethat sync` sends it on"])


def _submit(session: Session, asked: Asked, request: Any, *, wait: bool) -> int:
    from savethat import launch
    from savethat.catalog.run import open_run

    planned, warning = launch.submit_slurm(session.config, asked, request)
    if warning:
        warn([warning])
    key = planned.runs[0].key
    if wait:
        talk(f"submitted {key}; waiting")
        run = open_run(session.config, key)
        run.wait()
        click.echo(key)
        if run.status != "completed":
            reason = f" ({run.reason})" if run.reason else ""
            raise RunFailedError(f"{key} is {run.status}{reason}")
        return 0
    talk("submitted; `savethat ls` shows its state")
    click.echo(key)
    return 0


def _shows_help(cls: Any, node_args: Sequence[str], ctx: click.Context) -> bool:
    from savethat import args
    from savethat.node import args_type, first_line

    if not args.wants_help(node_args):
        return False
    program = f"{ctx.command_path} {cls.__name__}"
    click.echo(args.format_help(args_type(cls), program, first_line(cls)), nl=False)
    return True


def _parse(cls: Any, node_args: Sequence[str], config_file: Path | None, ctx: click.Context) -> Any:
    from savethat import args
    from savethat.node import args_type

    base = _read_config(config_file) if config_file is not None else None
    kind = args_type(cls)
    own = {option for param in ctx.command.params for option in param.opts}
    fields = {f"--{name}" for name in args.flag_names(kind)}
    fields |= {name.replace("_", "-") for name in fields}
    for word in node_args:
        option = word.partition("=")[0]
        if option in own - fields and option.startswith("-"):
            raise UsageError(
                f"{option} is an option of savethat's, not of {cls.__name__}",
                f"put it before the node: {ctx.command_path} {option} … {cls.__name__} …",
            )
    try:
        return args.parse(kind, node_args, base=base)
    except ArgumentError as error:
        raise ArgumentError(error.message, error.hint.replace("NODE", cls.__name__)) from None


def _read_config(path: Path) -> dict[str, Any]:
    from savethat.config import read_toml

    if path.suffix == ".json":
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(f"{path}: not JSON: {error}") from error
        if not isinstance(data, dict):
            raise UsageError(f"{path}: not a JSON object", 'write the arguments as {"name": …}')
        return data
    return dict(read_toml(path))
