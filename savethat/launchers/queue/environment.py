"""The environment that queued runs get: that of the terminal they were queued from.

It may hold secrets, so it is never written down: a runner is started in it and hands it on. What
is kept is a fingerprint, by which several terminals with equal environments share a runner. The
cores that a terminal may use are handed on in the same way, and count.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence

from savethat.launchers.processes import INSIDE_A_RUN
from savethat.launchers.queue.devices import cores

# What differs between two terminals of one user, and is nothing to a run.
_TERMINALS_OWN = re.compile(
    r"_|SHLVL|PWD|OLDPWD|COLUMNS|LINES|WINDOWID|WINDOW|STY|GPG_TTY|DISPLAY|COLORTERM|VTE_VERSION"
    r"|(TERM|TMUX|SSH|XDG_SESSION|ITERM|KONSOLE|KITTY|WEZTERM|ALACRITTY|VSCODE|GNOME_TERMINAL)\w*"
    r"|\w*COMPLETE"
)


def own_fingerprint() -> str:
    """That of this process."""
    return fingerprint(os.environ, cores())


def fingerprint(environ: Mapping[str, str], of_cores: Sequence[int] = ()) -> str:
    """Equal for environments that are equal to a run; tells nothing of what is in them.

    Args:
        environ: the variables.
        of_cores: the cores that processes started in it may run on.
    """
    kept = sorted(
        (name, value)
        for name, value in environ.items()
        if name != INSIDE_A_RUN and not _TERMINALS_OWN.fullmatch(name)
    )
    text = repr((kept, list(of_cores)))
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]
