"""What a job asks for, as data: merged from the configuration and the command line, and checked."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence

from savethat.config import SlurmConfig
from savethat.errors import ConfigError, SavethatError, UsageError
from savethat.launchers.slurm.known import (
    ALTERNATIVES,
    OPTIONAL_VALUE,
    OPTIONS,
    OWNED,
    REQUEUE,
    SWITCHES,
    TIMES,
)
from savethat.launchers.slurm.limits import format_limit, parse_limit, signal_lead

Value = str | int | float | bool
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclasses.dataclass(frozen=True)
class Request:
    """The resources of a job.

    Args:
        options: by sbatch's long names; True for an option without a value. Limits of time are
            written as `HH:MM:SS` or `D-HH:MM:SS`.
        setup: shell lines to run before the worker starts.
    """

    options: Mapping[str, str | int | bool] = dataclasses.field(default_factory=dict)
    setup: tuple[str, ...] = ()

    @property
    def time_limit(self) -> float:
        """Seconds the job asks for; `inf` where the partition's default is to apply."""
        time = self.options.get("time")
        return math.inf if time is None else parse_limit(str(time))

    @property
    def signal(self) -> str:
        """`--signal`: USR2 to the worker alone, ahead of the time limit (see `signal_lead`)."""
        return f"B:USR2@{signal_lead(self.time_limit)}"


def merge(
    config: SlurmConfig,
    *,
    cluster: str = "",
    preset: str | None = None,
    flags: Mapping[str, Value | None] | None = None,
    sbatch: Sequence[str] = (),
) -> Request:
    """What a job asks for; each of these goes over what is before it.

    An option that is `false` is left out, whatever was said before. An option goes over its
    alternatives, too: `--mem-per-cpu` over a configured `mem`, `--gpus` over a configured `gres`.

    Args:
        config: defaults; then its options for the cluster; then its preset.
        cluster: SLURM's ClusterName.
        preset: the preset's name.
        flags: options by sbatch's long names; None: not given.
        sbatch: `KEY=VALUE`, or `KEY` for an option without a value.

    Raises:
        UsageError: sbatch has no such option, savethat sets it itself, or the value is wrong;
            or there is no such preset.
        ConfigError: the same of an option in savethat.toml.
    """
    if preset is not None and preset not in config.presets:
        near = difflib.get_close_matches(preset, list(config.presets), n=3)
        raise UsageError(
            f"there is no preset {preset!r} in savethat.toml",
            _did_you_mean(near) or f"[slurm.presets] has: {', '.join(config.presets) or 'none'}",
        )
    merged: dict[str, str | int | bool] = {}
    setup = list(config.setup)
    tables = [("[slurm]", config.defaults)]
    if cluster in config.clusters:
        tables.append((f"[slurm.clusters.{cluster}]", config.clusters[cluster]))
    if preset is not None:
        tables.append((f"[slurm.presets.{preset}]", config.presets[preset]))
    for table, options in tables:
        layer = {}
        for name, value in options.items():
            # Only `setup` is more than one word.
            if isinstance(value, tuple):
                setup.extend(value)
            else:
                layer[name] = value
        _lay_over(merged, layer, f"{table} of savethat.toml: ", ConfigError)
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    _lay_over(merged, given, "", UsageError)
    _lay_over(merged, _key_values(sbatch), "--sbatch: ", UsageError)
    return Request({name: merged[name] for name in sorted(merged)}, tuple(setup))


def with_requeue(
    options: Mapping[str, str | int | bool], requeue: bool
) -> dict[str, str | int | bool]:
    """The options of a job that SLURM is to start again by itself, or is not to.

    One that does so unasked, as the site's default may be, would be an attempt nobody wanted.
    """
    others = {name: value for name, value in options.items() if name not in REQUEUE}
    return {**others, "requeue" if requeue else "no-requeue": True}


def over(
    before: Mapping[str, Value], flags: Mapping[str, Value], sbatch: Sequence[str] = ()
) -> Request:
    """What an earlier job asked for, with these options over it.

    Whether SLURM may start it again was its launch's to say, and is not taken over.

    Raises:
        UsageError: sbatch has no such option, savethat sets it itself, or the value is wrong.
    """
    merged: dict[str, str | int | bool] = {}
    asked = {name: value for name, value in before.items() if name not in REQUEUE}
    for layer in (asked, flags, _key_values(sbatch)):
        _lay_over(merged, layer, "", UsageError)
    return Request({name: merged[name] for name in sorted(merged)})


def _key_values(words: Sequence[str]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for word in words:
        name, equals, value = word.lstrip("-").partition("=")
        if equals and not value.strip():
            raise UsageError(f"--sbatch: {word!r} has no value", "write --sbatch KEY=VALUE")
        found[name.strip()] = value.strip() if equals else True
    return found


def _lay_over(
    merged: dict[str, str | int | bool],
    layer: Mapping[str, Value],
    where: str,
    error: type[SavethatError],
) -> None:
    """Puts one layer's options, checked, over what was said before."""
    checked = dict(_checked(name, value, where, error) for name, value in layer.items())
    for name in checked:
        for group in ALTERNATIVES:
            if name in group:
                for other in group - checked.keys():
                    merged.pop(other, None)
    for name, value in checked.items():
        if value is False:
            merged.pop(name, None)
        else:
            merged[name] = value


def _checked(
    name: str, value: Value, where: str, error: type[SavethatError]
) -> tuple[str, str | int | bool]:
    option = name.replace("_", "-")
    if option in OWNED:
        raise error(f"{where}--{option} is not yours to set: {OWNED[option]}", "leave it out")
    if option not in OPTIONS:
        near = difflib.get_close_matches(option, sorted(OPTIONS), n=3)
        raise error(
            f"{where}sbatch has no option --{option}",
            _did_you_mean(near) or "see man sbatch; options go by their long names",
        )
    if option in SWITCHES or option in OPTIONAL_VALUE:
        word = _WORDS.get(str(value).strip().lower())
        if word is not None:
            return option, word
        if option in SWITCHES:
            raise error(
                f"{where}--{option} takes no value, so {value!r} is wrong", "use true or false"
            )
    if value is True:
        raise error(f"{where}--{option} needs a value", f"write {option}=VALUE")
    if value is False:
        return option, False
    text = str(value).strip()
    if not text or not text.isprintable():
        raise error(f"{where}--{option} cannot be {str(value)!r}", "give it a value on one line")
    if option in TIMES:
        try:
            return option, format_limit(parse_limit(text))
        except ValueError:
            raise error(
                f"{where}--{option}: {text!r} is not a time limit",
                "minutes, or like 90m, 4h, 2d, 1:30:00, 1-12:30",
            ) from None
    return option, value if isinstance(value, int) else text


def _did_you_mean(near: Sequence[str]) -> str:
    return f"did you mean {' or '.join(near)}?" if near else ""
