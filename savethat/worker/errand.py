"""What the supervisor hands to whoever runs the node, and what it hears back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from savethat.config import Config, Credentials

if TYPE_CHECKING:
    from savethat.worker.journal import Journal
    from savethat.worker.signals import Signals


@dataclasses.dataclass(frozen=True)
class Errand:
    """One attempt of a run, as the process that runs the node needs it.

    Args:
        node: dotted name.
        args: as JSON.
        key: the run's.
        attempt: from 1.
        output_dir: the run's folder.
        deadline: when the scheduler ends the attempt, seconds since the epoch; None if never.
        python_path: what goes before `sys.path`.
        config: the project's.
        credentials: for the node's storage; None for a local-only project.
        python: the interpreter that runs the node; empty for this process's own.
        frozen: whether the project's own folder is not to be imported from.
    """

    node: str
    args: Mapping[str, Any]
    key: str
    attempt: int
    output_dir: Path
    deadline: float | None
    python_path: tuple[str, ...]
    config: Config
    credentials: Credentials | None
    python: str = ""
    frozen: bool = False

    def dump(self) -> str:
        """One line of JSON with the credentials in it: for a pipe, never for a file."""
        secret = self.credentials
        return json.dumps(
            {
                **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
                "output_dir": str(self.output_dir),
                "config": self.config.to_json(),
                "credentials": [secret.key_id, secret.key] if secret else None,
            }
        )

    @classmethod
    def load(cls, text: str) -> Errand:
        """The errand `dump` wrote."""
        data = json.loads(text)
        secret = data["credentials"]
        return cls(
            **{
                **data,
                "output_dir": Path(data["output_dir"]),
                "python_path": tuple(data["python_path"]),
                "config": Config.from_json(data["config"]),
                "credentials": Credentials(*secret) if secret else None,
            }
        )


@dataclasses.dataclass(frozen=True)
class Ending:
    """How an attempt ended.

    Args:
        mark: `completed`, `failed` or `cancelled`.
        reason: one line; empty for completed.
        result: the result's scalars.
    """

    mark: str
    reason: str = ""
    result: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Runner(Protocol):
    """Runs a node: in a child process, or in this one."""

    def run(self, errand: Errand, journal: Journal, signals: Signals) -> Ending:
        """Runs it to its end, whatever end that is; raises nothing of the node's."""
        ...


def one_line(error: BaseException) -> str:
    """`ValueError: what it says`, on one line, as a reason is shown."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
