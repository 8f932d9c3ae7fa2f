"""What the parameters of commands complete, and the commands that take a NODE."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from savethat.cli.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from savethat.cli.completing.known import Flag, KnownNode
    from savethat.config import Config


class NodeCommand(click.Command):
    """A command with arguments `node` and `node_args`: the words behind NODE are the node's."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters: for the completion of a word behind NODE none, so that it comes here."""
        behind = ctx.resilient_parsing and ctx.params.get("node")
        return [] if behind else super().get_params(ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Before NODE options of this command; behind it options of the node, and their values."""
        if not ctx.params.get("node"):
            return super().shell_complete(ctx, incomplete)
        from click.shell_completion import CompletionItem

        from savethat.cli.completing.known import Flag

        flags, words = _node_flags(ctx), ctx.params["node_args"]
        typed = _in_full(words[-1]) if words and "=" not in words[-1] else ""
        last = next((flag for flag in flags if flag.name == typed), Flag(typed, is_bare=True))
        if last.is_bare or incomplete.startswith("--"):
            return _options(flags, words, incomplete)
        if last.is_path:
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(value) for value in last.values if value.startswith(incomplete)]


def complete_nodes(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """Nodes: by their class, where two share its name by their dotted name; or by any tail."""
    nodes = _known_nodes(ctx)
    owners = Counter(tail for dotted in nodes for tail in _tails(dotted))
    short = {
        cls if owners[cls] == 1 else dotted: node.doc
        for dotted, node in nodes.items()
        if (cls := dotted.rpartition(".")[2]).startswith(incomplete)
    }
    return _items(
        short
        or {
            tail: node.doc
            for dotted, node in nodes.items()
            for tail in _tails(dotted)
            if owners[tail] == 1 and tail.startswith(incomplete)
        }
    )


def complete_keys(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """Whole run keys by their start, or one by its end or the start of its suffix."""
    from savethat.cli.completing.keys import known_keys

    config = _config(ctx)
    given = ctx.params.get(param.name or "")
    keys = known_keys(config.root, config.local_path)
    if isinstance(given, tuple):
        keys = {key: status for key, status in keys.items() if key not in given}
    found = [key for key in keys if key.startswith(incomplete)]
    if not found:
        found = [
            key
            for key in keys
            if key.endswith(incomplete) or key.rpartition("_")[2].startswith(incomplete)
        ]
        # For several, a shell would put their common start in the place of what was typed.
        found = found if len(found) == 1 else []
    return _items({key: keys[key] for key in found})


def complete_statuses(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """The states of runs."""
    from savethat.run.status import Status

    return _items({status.value: "" for status in Status if status.value.startswith(incomplete)})


def complete_folders(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem[Any]]:
    """Folders, which the shell itself knows."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


def _config(ctx: click.Context) -> Config:
    root = ctx.find_root()
    session = root.ensure_object(Session)
    # The group's own function, which says so to the session, is not called during completion.
    if project := root.params.get("project"):
        from pathlib import Path

        # The shell has not expanded it yet, either.
        session.project = Path(os.path.expandvars(project)).expanduser()
    return session.config


def _known_nodes(ctx: click.Context) -> Mapping[str, KnownNode]:
    from savethat.cli.completing.project import known_nodes

    config = _config(ctx)
    return known_nodes(config.root, config.package) if config.package is not None else {}


def _node_flags(ctx: click.Context) -> Sequence[Flag]:
    """The options of the node on the command line; none where it is unknown or ambiguous."""
    typed = ctx.params["node"]
    meant = [node for dotted, node in _known_nodes(ctx).items() if typed in _tails(dotted)]
    return meant[0].flags if len(meant) == 1 else ()


def _options(
    flags: Sequence[Flag], words: Sequence[str], incomplete: str
) -> list[CompletionItem[Any]]:
    """A node's options that are not given yet, spelled with dashes where the user does."""
    given = set(map(_in_full, words))
    dashes = "-" in incomplete[2:]
    found = {
        f"--{flag.name[2:].replace('_', '-')}" if dashes else flag.name: flag.help
        for flag in flags
        if flag.name.startswith(_in_full(incomplete))
        and flag.name not in given
        # As git does: there are as many of these as of the others.
        and (not flag.is_bare or incomplete.startswith("--no"))
    }
    if "--help".startswith(incomplete):
        found["--help"] = "Show the node's arguments."
    return _items(found)


def _in_full(word: str) -> str:
    """A word's option in its field's spelling."""
    if not word.startswith("--"):
        return word
    return f"--{word[2:].partition('=')[0].replace('-', '_')}"


def _tails(dotted: str) -> Iterator[str]:
    """The names of a node: `Add`, `nodes.Add`, `experiments.nodes.Add`."""
    parts = dotted.split(".")
    return (".".join(parts[start:]) for start in reversed(range(len(parts))))


def _items(found: Mapping[str, str]) -> list[CompletionItem[Any]]:
    """Words to offer, each with its line of help."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(word, help=text or None) for word, text in found.items()]
