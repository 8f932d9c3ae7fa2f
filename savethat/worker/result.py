"""What a node returned, as the files of the run and as the scalars `ls` shows."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from savethat.errors import SavethatError
from savethat.run.layout import RESULT_JSON, RESULT_PICKLE
from savethat.worker.aside import write_aside

# A longer text is an output, not a figure for a table.
TEXT_LIMIT = 200
SCALARS_LIMIT = 100


def save_result(value: object, folder: Path) -> dict[str, Any]:
    """Writes `results.pickle`, and `results.json` where the value allows; gives back its scalars.

    Raises:
        SavethatError: the value cannot be pickled.
    """
    try:
        content = pickle.dumps(value)
    except Exception as error:  # whatever the user's __reduce__ raises
        raise SavethatError(
            f"the result cannot be pickled: {type(error).__name__}: {error}",
            "return plain values, and write the rest into self.output_dir",
        ) from error
    write_aside(folder / RESULT_PICKLE, content)
    plain = _plain(value)
    try:
        text = json.dumps(plain, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return scalars(plain)
    write_aside(folder / RESULT_JSON, text.encode("utf-8", "surrogatepass"))
    return scalars(plain)


def scalars(value: object) -> dict[str, Any]:
    """The numbers, booleans, None and short texts of a value, by dotted name.

    A value that is itself a scalar is named `value`. Non-finite numbers are texts.
    """
    found: dict[str, Any] = {}
    _collect(value, "", found)
    return found


def _collect(value: object, name: str, found: dict[str, Any]) -> None:
    if len(found) >= SCALARS_LIMIT:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str):
                _collect(inner, f"{name}.{key}" if name else key, found)
    elif (
        value is None
        or isinstance(value, (bool, int, float))
        or (isinstance(value, str) and len(value) <= TEXT_LIMIT)
    ):
        found[name or "value"] = value


def _is_short(value: object) -> bool:
    return isinstance(value, str) and len(value) <= TEXT_LIMIT


def _plain(value: object, depth: int = 0) -> Any:
    """A value as JSON has it; what has no JSON stays as it is, and is found out later."""
    if depth > 50:
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, (int, float)):
        # A subclass (an IntEnum, NumPy's float64) is written as the number it is.
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, depth + 1) for inner in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name), depth + 1)
            for field in dataclasses.fields(value)
        }
    # A scalar of NumPy, PyTorch or JAX: .item() is Python's own number, where there is just one.
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        return _plain(item(), depth + 1)
    return value
