"""Every key of `savethat.toml`, and the type its value has."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from savethat.errors import ConfigError
from savethat.untrusted import shortened

# A checker takes a value and where it stands; it returns the value, normalised, or raises.
Checker = Callable[[Any, str], Any]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
# Times that are so far away can still be computed with.
_LONGEST = 1_000 * 365 * 86_400
_LARGEST = 2**31 - 1
_DURATION = r"(?:\d+(?:\.\d+)?[smhdw])+"
_PART = r"([\d.]+)([smhdw])"
_KINDS = {
    bool: "true/false",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
}
_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True} | {
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_SYNCS = ("worker", "login", "auto")


def parse_duration(text: str | float, *, unit: str = "s") -> float:
    """Seconds in `"60s"`, `"5m"`, `"3h"`, `"2d"`, `"1w"`, `"1h30m"`, or a bare number.

    Args:
        text: the duration.
        unit: what a bare number counts: one of s, m, h, d, w.

    Raises:
        ValueError: it is none of these, negative, or more than a thousand years.
    """
    if isinstance(text, str):
        text = text.strip().lower()
        if re.fullmatch(_DURATION, text):
            seconds = sum(float(n) * _SECONDS[u] for n, u in re.findall(_PART, text))
            return _bounded(seconds, text)
    try:
        number = float(text)
    except (ValueError, OverflowError):
        number = math.nan
    return _bounded(number * _SECONDS[unit], text)


def _bounded(seconds: float, text: str | float) -> float:
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(
            f'{shortened(text)} is not a duration: a number, or like "90s", "5m", "3h", "2d"'
        )
    if seconds > _LONGEST:
        raise ValueError(f"{shortened(text)} is longer than a thousand years")
    return seconds


def check(document: Mapping[str, Any], source: str) -> dict[str, Any]:
    """`document` with every value checked and normalised.

    Args:
        document: the content of one configuration file, or of another source shaped like it.
        source: its name, for the error.

    Raises:
        ConfigError: names the source, the key, and what was expected.
    """
    checked: dict[str, Any] = _table(_TOP)(document, f"{source}: ")
    return checked


def from_environment(environ: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
    """What `SAVETHAT_<KEY>` variables say: by key, the variable's name and the checked value.

    Each key of the file that is neither a table nor a list has one. A variable that is empty
    counts as not set; other variables of that start are none of ours.

    Raises:
        ConfigError: a value is of the wrong type; names the variable.
    """
    found: dict[str, tuple[str, Any]] = {}
    for key, checker in _TOP.items():
        variable = f"SAVETHAT_{key.upper()}"
        text = environ.get(variable, "").strip()
        if not text or key in TABLES:
            continue
        value: Any = _BOOLEANS.get(text.lower(), text) if key == "keep_local" else text
        found[key] = (variable, checker(value, variable))
    return found


def _wrong(where: str, expected: str, value: Any) -> ConfigError:
    # The type, never the value: it may be a key that slipped into the wrong line.
    kind = next((name for kind, name in _KINDS.items() if isinstance(value, kind)), None)
    return ConfigError(f"{where} must be {expected}, not {kind or type(value).__name__}")


def _string(value: Any, where: str) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise _wrong(where, "a string", value)
    if not value.strip():
        raise ConfigError(f"{where} is empty", "give it a value, or leave it out")
    if "\0" in value:
        raise ConfigError(f"{where} has a NUL character", "no path, option or name has one")
    return value


def _boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(where, "true or false", value)
    return value


def _index(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(where, "an integer", value)
    if value < 0:
        raise ConfigError(f"{where} must not be negative, as {shortened(value)} is")
    if value > _LARGEST:
        raise ConfigError(f"{where} is too large: {shortened(value)}")
    return value


def _count(value: Any, where: str) -> int:
    if _index(value, where) == 0:
        raise ConfigError(f"{where} must be at least 1")
    return int(value)


def _interval(value: Any, where: str) -> float:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise _wrong(where, 'a duration like "60s", or seconds', value)
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    if seconds == 0:
        raise ConfigError(f"{where} must be more than 0 seconds")
    return seconds


def _sync(value: Any, where: str) -> str:
    if _string(value, where) not in _SYNCS:
        raise ConfigError(
            f"{where} must be {', '.join(_SYNCS[:-1])} or {_SYNCS[-1]}, not {shortened(value)}"
        )
    return str(value)


def _list(item: Checker, of: str) -> Checker:
    def checker(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise _wrong(where, f"a list of {of}", value)
        return tuple(item(v, f"{where}[{index}]") for index, v in enumerate(value))

    return checker


def _table(keys: Mapping[str, Checker]) -> Checker:
    def checker(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _wrong(where, "a table", value)
        prefix = where if where.endswith(": ") else f"{where}."
        for key in value:
            if key not in keys:
                raise _unknown(key, prefix, keys)
        return {key: keys[key](v, f"{prefix}{key}") for key, v in value.items()}

    return checker


def _unknown(key: str, prefix: str, keys: Iterable[str]) -> ConfigError:
    import difflib  # only a mistake needs it

    near = difflib.get_close_matches(key, list(keys), n=1)
    if near:
        hint = f"did you mean {near[0]}?"
    elif key in _TOP:
        hint = f"{key} belongs above the first [table] of the file"
    else:
        hint = f"known here: {', '.join(keys)}"
    return ConfigError(f"{prefix}{key} is not a known key", hint)


def _slurm_option(value: Any, where: str) -> str | int | float | bool:
    if not isinstance(value, (str, int, float)):
        raise _wrong(where, "a string, a number or true/false", value)
    return value


def _slurm_options(value: Any, where: str) -> dict[str, Any]:
    """A preset's or a cluster's table: any sbatch option, and `setup`.

    Whether sbatch has such an option is for the launcher to know.
    """
    if not isinstance(value, Mapping):
        raise _wrong(where, "a table", value)
    options: dict[str, Any] = {}
    for key, option in value.items():
        if key in _TOP:
            raise _unknown(key, f"{where}.", ())
        checker = _SETUP if key == "setup" else _slurm_option
        options[key.replace("_", "-")] = checker(option, f"{where}.{key}")
    return options


def _named_options(value: Any, where: str) -> dict[str, dict[str, Any]]:
    if not isinstance(value, Mapping):
        raise _wrong(where, "a table of tables", value)
    return {name: _slurm_options(table, f"{where}.{name}") for name, table in value.items()}


def _slurm(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(where, "a table", value)
    named = {key: value[key] for key in ("presets", "clusters") if key in value}
    options = _slurm_options({k: v for k, v in value.items() if k not in named}, where)
    return options | {key: _named_options(v, f"{where}.{key}") for key, v in named.items()}


_STRINGS = _list(_string, "strings")
_SETUP = _list(_string, "strings, each a shell line")

TABLES: Mapping[str, Checker] = {
    "slurm": _slurm,
    "queue": _table({"gpus": _list(_index, "integers"), "max_parallel": _count}),
    "code": _table({"capsule": _boolean, "include": _STRINGS, "exclude": _STRINGS}),
}
_TOP: Mapping[str, Checker] = {
    "package": _string,
    "local_path": _string,
    "b2_bucket": _string,
    "b2_prefix": _string,
    "b2_key_id": _string,
    "b2_key": _string,
    "b2_realm": _string,
    "scratch": _string,
    "sync_every": _interval,
    "keep_local": _boolean,
    "sync": _sync,
    **TABLES,
}
