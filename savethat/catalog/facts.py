"""What is known of a run that is compared, and one thing in which two differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from savethat.catalog.values import Pairs, equal
from savethat.inputs import InputsRecord


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What is compared of a run.

    Args:
        key: the run's.
        args: as JSON.
        result: the content of `results.json`; the scalars where the run has no such file.
        provenance: the content of `reproducible.json`; None where there is none.
        inputs: the content of `inputs.json`; empty where there is none.
        files: size and SHA-1 by name.
        read: gives the content of one of the files; only asked where numbers may differ within a
            tolerance. What it raises goes through.
    """

    key: str
    args: Mapping[str, Any]
    result: Any = dataclasses.field(default_factory=dict)
    provenance: Mapping[str, Any] | None = None
    inputs: Any = dataclasses.field(default_factory=dict)
    files: Mapping[str, tuple[int, str]] = dataclasses.field(default_factory=dict)
    read: Callable[[str], bytes] | None = None

    def inputs_record(self) -> InputsRecord | None:
        """The inputs; None where there is no record, or the node wrote a file of that name."""
        try:
            return InputsRecord.from_json(self.inputs)
        except ValueError:
            return None


@dataclasses.dataclass(frozen=True)
class Difference:
    """One thing in which the runs differ.

    Args:
        what: the kind: `code`, `args`, `packages`, `python`, `platform`, `driver`, `cuda`, `gpu`,
            `cpu`, `host`, `modules`, `seeds`, `inputs`, `provenance`, `result` or `files`.
        name: the thing.
        a, b: its values, as JSON; ABSENT where only the other run has it.
    """

    what: str
    name: str
    a: Any
    b: Any


def differing(what: str, pairs: Pairs) -> Iterator[Difference]:
    """As differences, those pairs that are not equal."""
    yield from (Difference(what, name, a, b) for name, a, b in pairs if not equal(a, b))
