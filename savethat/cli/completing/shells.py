"""A shell's question answered, and the script that makes it ask.

Both are click's own, but for words with a `=` or `:` in them.
"""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    shell_complete,
)

from savethat.cli.completing import VARIABLE
from savethat.cli.session import Session

PROGRAM = "savethat"
SHELLS = ("bash", "zsh", "fish")


def answer(cli: click.Command, session: Session) -> None:
    """Prints the completions that the environment asks for, as the shell's script takes them.

    Whatever goes wrong, a broken savethat.toml say, is a lack of completions: nothing may be
    printed into the line that the user is typing.
    """
    with (
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(Exception, KeyboardInterrupt),
    ):
        shell_complete(cli, {"obj": session}, PROGRAM, VARIABLE, os.environ[VARIABLE])


def script(cli: click.Command, shell: str) -> str:
    """The script for one of `SHELLS`."""
    found = get_completion_class(shell)
    assert found is not None
    return found(cli, {}, PROGRAM, VARIABLE).source()


class _WholeWords(ShellComplete):
    """For shells that take `--status=fa` for one word, and would put `failed` in its place."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        option, equals, value = incomplete.partition("=")
        if not equals or not option.startswith("--"):
            return super().get_completions(args, incomplete)
        items = super().get_completions([*args, option], value)
        return [CompletionItem(f"{option}={item.value}", item.type, item.help) for item in items]


@add_completion_class
class _Bash(_WholeWords, BashComplete):
    """For the shell that makes three words of `--status=fa` and of `--gpus a100:1`."""

    _before = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, last = super().get_completion_args()
        words: list[str] = []
        joins = False
        for word in [*args, last]:
            breaks = bool(word) and not word.strip("=:")
            if words and (breaks or joins):
                words[-1] += word
            else:
                words.append(word)
            joins = breaks
        # What is there already: bash takes what is offered for the part behind it.
        self._before = words[-1] if joins else words[-1].removesuffix(last)
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        rest = item.value.removeprefix(self._before)
        return super().format_completion(CompletionItem(rest, item.type, item.help))


@add_completion_class
class _Zsh(_WholeWords, ZshComplete):
    pass


@add_completion_class
class _Fish(_WholeWords, FishComplete):
    pass
