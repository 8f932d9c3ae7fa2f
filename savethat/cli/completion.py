"""`savethat completion SHELL`: the script that completes commands in a shell."""

from __future__ import annotations

import click

from savethat.cli.completing.shells import SHELLS, script


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands in a shell: bash, zsh or fish.

    It completes commands, options, nodes, their arguments and run keys. `savethat nodes`, `run` and
    `ls` keep it up to date. Write it into a file once, and let your shell read that:

    \b
      savethat completion bash > ~/.savethat.bash
        in ~/.bashrc:      source ~/.savethat.bash
      savethat completion zsh > ~/.savethat.zsh
        in ~/.zshrc:       autoload -Uz compinit && compinit
                           source ~/.savethat.zsh
      savethat completion fish > ~/.config/savethat.fish
        in config.fish:    source ~/.config/savethat.fish
    """  # noqa: D301 # the mark of a paragraph that click is to leave as it is
    click.echo(script(ctx.find_root().command, shell), nl=False)
