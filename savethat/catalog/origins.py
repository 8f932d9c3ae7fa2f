"""What two runs were made from, compared: their `reproducible.json`."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from savethat.catalog.facts import Difference, RunFacts, differing
from savethat.catalog.values import ABSENT, Pairs, dotted, leaves, named
from savethat.run.layout import PROVENANCE_FILE

_Facts: TypeAlias = Mapping[str, Any]


def provenance_differences(a: RunFacts, b: RunFacts) -> Iterator[Difference]:
    """In what two runs' records of their provenance differ, by kind."""
    if a.provenance is None or b.provenance is None:
        # One line instead of one for each package that nobody knows of.
        told = [ABSENT if run.provenance is None else "there" for run in (a, b)]
        yield from differing("provenance", iter([(PROVENANCE_FILE, told[0], told[1])]))
        return
    one, two = a.provenance, b.provenance
    yield from differing("code", _code(one, two))
    yield from differing("packages", named(_packages(one), _packages(two)))
    yield from differing(
        "python", _fields(one, two, "python", "version", "implementation", "compiler")
    )
    if "os" in one and "os" in two:
        yield from differing("platform", _fields(one, two, "os", "name", "version", "kernel"))
    else:
        yield from differing("platform", _field(one, two, "platform"))
    yield from differing("driver", _field(one, two, "driver"))
    yield from differing("cuda", _field(one, two, "cuda"))
    yield from differing("gpu", named(*(Counter(_list(facts, "gpus")) for facts in (one, two))))
    yield from differing("cpu", _cpu(one, two))
    yield from differing("host", _field(one, two, "hostname"))
    if "modules" in one and "modules" in two:
        yield from differing("modules", named(_modules(one), _modules(two)))
    yield from differing("seeds", _seeds(a, b))


def _code(a: _Facts, b: _Facts) -> Pairs:
    """A capsule is named by its content: where both have the same, git's facts say nothing more."""
    one, two = (_section(facts, "capsule").get("name") for facts in (a, b))
    if one is not None and one == two:
        return
    yield "capsule", one, two
    git = [_section(facts, "git") for facts in (a, b)]
    for name in ("commit", "dirty"):
        yield name, git[0].get(name), git[1].get(name)
    yield "diff", _digest(git[0].get("diff")), _digest(git[1].get("diff"))
    yield _only_in_one("untracked", *git)


def _digest(diff: Any) -> Any:
    """A diff in a few words: it may have a million characters."""
    if not isinstance(diff, str) or not diff:
        return diff
    sha1 = hashlib.sha1(diff.encode(errors="replace"), usedforsecurity=False).hexdigest()
    return f"{len(diff.splitlines())} lines, SHA-1 {sha1[:10]}"


def _packages(facts: _Facts) -> dict[str, Any]:
    """Version by name; of those installed from a checkout, with the commit."""
    versions = {_canonical(name): version for name, version in _section(facts, "packages").items()}
    for name, origin in _section(facts, "direct_urls").items():
        if isinstance(origin, Mapping) and origin.get("commit"):
            versions[_canonical(name)] = f"{versions.get(_canonical(name))} at {origin['commit']}"
    return versions


def _canonical(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _cpu(a: _Facts, b: _Facts) -> Pairs:
    yield from _fields(a, b, "cpu", "model", "machine", "usable")
    yield _only_in_one("flags", _section(a, "cpu"), _section(b, "cpu"))


def _modules(facts: _Facts) -> dict[str, str]:
    """Version by name, of `cuda/12.4`; several of one name are told together."""
    found: dict[str, list[str]] = {}
    for module in _list(facts, "modules"):
        name, slash, version = module.rpartition("/")
        found.setdefault(name if slash else module, []).append(version if slash else "loaded")
    return {name: " ".join(versions) for name, versions in found.items()}


def _seeds(a: RunFacts, b: RunFacts) -> Pairs:
    """Those that are not arguments, which are compared already."""
    args = {dotted(path) for run in (a, b) for path, _ in leaves(run.args, lists=False)}
    seeds = [_section(run.provenance or {}, "seeds") for run in (a, b)]
    if all("seeds" in (run.provenance or {}) for run in (a, b)):
        yield from (pair for pair in named(*seeds) if pair[0] not in args)


def _section(facts: _Facts, name: str) -> Mapping[str, Any]:
    """An object of a record; empty where it is null, or the record is another version's."""
    value = facts.get(name)
    return value if isinstance(value, Mapping) else {}


def _list(facts: _Facts, name: str) -> list[str]:
    value = facts.get(name)
    return [str(item) for item in value] if isinstance(value, list) else []


def _fields(a: _Facts, b: _Facts, section: str, *names: str) -> Pairs:
    for name in names:
        yield from _field(_section(a, section), _section(b, section), name)


def _field(a: _Facts, b: _Facts, name: str) -> Pairs:
    """A value that both tell of: a record of an earlier version says nothing of later fields."""
    if name in a and name in b:
        yield name, a[name], b[name]


def _only_in_one(name: str, a: _Facts, b: _Facts) -> tuple[str, list[str], list[str]]:
    """Of two long lists that are much the same, what the other has not."""
    one, two = set(_list(a, name)), set(_list(b, name))
    return name, sorted(one - two), sorted(two - one)
