"""How long a command takes that has nothing to do: help, an empty list, completion of a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import peers
from benchmarks.bench import Bench, Timed, in_turns, timed
from benchmarks.rows import Case, Goal, Measure, Section, absent, at_most
from benchmarks.seeding import seed_folder

CLICK = "python + click"
_LIMIT = 1.5
_RUNS = 1_000
# The runs of the first hour.
_TYPED = "FitOLS_2026-01-01T00"
# The least that a program with click does.
_PROGRAM = """
import click

@click.group()
def cli():
    "A program."

@cli.command()
@click.argument("key", required=False)
def show(key):
    "Show nothing."

cli(prog_name="program")
"""
_METHOD = (
    "Whole processes, from start to exit, in a folder with a savethat.toml and no run. *python + "
    "click* is a program of one group and one command that does nothing, run by the same "
    "interpreter, and asked for the same: its help, its command, or a completion as bash asks for "
    f"it. The key is completed in another folder, with {_RUNS:,} runs that were listed before: 60 "
    "of them begin with what is typed, and are offered; click has none to offer. The peers are "
    "asked for their help, and for their list of runs where they have one: `guild runs` with an "
    "empty home, `dvc exp list` in an empty repository."
)


def measure(bench: Bench) -> Section:
    """Measures start-up."""
    project = bench.folder("project")
    (project / "guild").mkdir()
    (project / "savethat.toml").write_text('package = "nothing"\n')
    program = project / "program.py"
    program.write_text(_PROGRAM)
    savethat: list[str | Path] = [bench.savethat / "savethat"]
    click: list[str | Path] = [bench.savethat / "python", program]
    found, missing = _peers(bench)
    runs = bench.folder("runs")
    (runs / "savethat.toml").write_text('package = "nothing"\n')
    keys = seed_folder(runs / "data_storage", _RUNS)
    timed([*savethat, "ls"], cwd=runs)

    def run(command: list[str | Path], **env: str) -> Callable[[], float]:
        return lambda: timed(command, cwd=project, env=env).seconds

    def complete(program: list[str | Path], name: str) -> Timed:
        variable, words = f"_{name.upper()}_COMPLETE", f"{name} show {_TYPED}"
        asked = {variable: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "2"}
        return timed(program, cwd=runs, env=asked)

    offered = complete(savethat, "savethat").stdout.split()
    if offered != [f"plain,{key}" for key in reversed(keys) if key.startswith(_TYPED)]:
        raise RuntimeError(f"not the keys that begin with {_TYPED} are offered: {offered}")

    def case(
        title: str, tools: Mapping[str, Callable[[], float]], left: tuple[Measure, ...] = ()
    ) -> Case:
        values = in_turns(tools, bench.repeat)
        measures = [Measure(tool, values[tool]) for tool in tools]
        return _case(title, measures, left)

    listing: dict[str, list[str]] = {"guild": ["runs"], "dvc": ["exp", "list"]}
    return Section(
        "startup",
        "Start-up",
        _METHOD,
        (
            case(
                "--help",
                {
                    "savethat": run([*savethat, "--help"]),
                    CLICK: run([*click, "--help"]),
                    **{name: run([command, "--help"]) for name, command in found.items()},
                },
                missing,
            ),
            case(
                "ls with nothing to list",
                {
                    "savethat": run([*savethat, "ls"]),
                    CLICK: run([*click, "show"]),
                    **{
                        name: run([found[name], *words], GUILD_HOME=str(project / "guild"))
                        for name, words in listing.items()
                        if name in found
                    },
                },
            ),
            case(
                "completion of a run key",
                {
                    "savethat": lambda: complete(savethat, "savethat").seconds,
                    CLICK: lambda: complete(click, "program").seconds,
                },
            ),
        ),
    )


def _peers(bench: Bench) -> tuple[dict[str, Path], tuple[Measure, ...]]:
    """The peers' commands, and those that cannot be had."""
    found: dict[str, Path] = {}
    missing = []
    for name, command in (("guild", peers.guild), ("dvc", peers.dvc), ("b2", peers.b2)):
        try:
            found[name] = command(bench.peers)
        except RuntimeError as error:
            missing.append(absent(name, error))
    if "dvc" in found:
        project = bench.work / "project"
        timed(["git", "init", "--quiet"], cwd=project)
        timed([found["dvc"], "init", "--quiet"], cwd=project)
        author = ("-c", "user.name=bench", "-c", "user.email=bench@localhost")
        timed(["git", *author, "commit", "--quiet", "--message", "Begin"], cwd=project)
    return found, tuple(missing)


def _case(title: str, measures: list[Measure], missing: tuple[Measure, ...]) -> Case:
    ours, *others = measures
    click = next(one for one in others if one.tool == CLICK)
    fastest = min((one for one in others if one is not click), key=_median, default=None)
    ahead: tuple[Goal, ...] = ()
    if fastest is not None:
        found = f"{fastest.tool}: {fastest.median / ours.median:.2f} x"
        ahead = (Goal("ahead of every peer", found, ours.median < fastest.median),)
    limit = at_most(f"at most {_LIMIT} x {CLICK}", ours.median / click.median, _LIMIT, "x")
    return Case(title, "s", ours, (*others, *missing), (limit, *ahead))


def _median(measure: Measure) -> float:
    return measure.median
