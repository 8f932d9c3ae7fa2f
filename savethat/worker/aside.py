"""A file that nobody sees half of."""

from __future__ import annotations

from pathlib import Path


def write_aside(path: Path, content: bytes) -> None:
    """Writes a file under another name and renames it: nobody sees half of it."""
    aside = path.with_name(f".savethat-part-{path.name}")
    aside.write_bytes(content)
    aside.replace(path)
