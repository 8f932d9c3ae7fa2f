"""The environment that queued runs get: that of the terminal they were queued from.

It may hold secrets, so it is never written down: a runner is started in it and hands it on. What
is kept is a fingerprint, by which several terminals with equal environments share a runner.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

# What differs between two terminals of one user, and is nothing to a run.
_TERMINALS_OWN = re.compile(
    r"_|SHLVL|PWD|OLDPWD|COLUMNS|LINES|WINDOWID|WINDOW|STY|GPG_TTY|DISPLAY|COLORTERM|VTE_VERSION"
    r"|(TERM|TMUX|SSH|XDG_SESSION|ITERM|KONSOLE|KITTY|WEZTERM|ALACRITTY|VSCODE|GNOME_TERMINAL)\w*"
    r"|\w*COMPLETE"
)


def fingerprint(environ: Mapping[str, str]) -> str:
    """Equal for environments that are equal to a run; tells nothing of what is in them."""
    kept = sorted(item for item in environ.items() if not _TERMINALS_OWN.fullmatch(item[0]))
    return hashlib.sha256(repr(kept).encode(errors="surrogateescape")).hexdigest()[:32]
