"""What decides a run's random numbers, as far as it can be seen from outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_HASH_SEED = "PYTHONHASHSEED"


def seeds(args: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """`PYTHONHASHSEED` where it is set, and by dotted name the arguments that are seeds.

    Those are called `seed`, or end so: `split_seed`.
    """
    found: dict[str, Any] = {}
    if _HASH_SEED in environ:
        found[_HASH_SEED] = environ[_HASH_SEED]
    return {**found, **dict(_seeds(args, ""))}


def _seeds(args: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in args.items():
        if isinstance(value, Mapping):
            yield from _seeds(value, f"{prefix}{name}.")
        elif name.lower().endswith("seed"):
            yield f"{prefix}{name}", value
