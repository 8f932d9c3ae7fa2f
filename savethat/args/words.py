"""What the words behind a node are, as far as that can be told without knowing the node."""

from __future__ import annotations

from collections.abc import Sequence


def wants_help(argv: Sequence[str]) -> bool:
    """Whether `-h` or `--help` is among the words, before any `--`."""
    words = list(argv)
    before = words[: words.index("--")] if "--" in words else words
    return "-h" in before or "--help" in before
