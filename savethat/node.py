"""What a user subclasses: a node, its arguments and what it finds around itself while it runs."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import sys
import time
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from savethat.errors import ArgumentError, UsageError

if typing.TYPE_CHECKING:
    from loguru import Logger

    from savethat.storage import Storage

ArgsT = TypeVar("ArgsT")
ResultT = TypeVar("ResultT")


@dataclasses.dataclass
class Surroundings:
    """What a node finds around itself while it runs; set by the worker.

    Args:
        key: the run's key.
        output_dir: the run's folder.
        open_storage: opens the project's storage.
        attempt: from 1.
        deadline: when the scheduler ends the attempt, seconds since the epoch; None if never.
        should_stop: whether the scheduler has said that it is about to end the attempt.
    """

    key: str
    output_dir: Path
    open_storage: Callable[[], Storage]
    attempt: int = 1
    deadline: float | None = None
    should_stop: bool = False

    @functools.cached_property
    def storage(self) -> Storage:
        """The project's storage, opened at its first use."""
        return self.open_storage()


class Node(Generic[ArgsT, ResultT]):
    """One kind of experiment: subclass it, name the arguments' class and define `_run`.

        @dataclasses.dataclass(frozen=True)
        class FitOLSArgs:
            dataset: str  # path to csv dataset

        class FitOLS(savethat.Node[FitOLSArgs, dict[str, float]]):
            def _run(self) -> dict[str, float]:
                ...

    Making one touches no disk and no network. `run()` runs it in this process.

    Args:
        args: the arguments, an instance of the node's argument class.

    Raises:
        UsageError: `args` is of another class.
    """

    # Whether attempts after the first find the files of the one before; a node that defines
    # `checkpoint` does.
    resumable: ClassVar[bool] = False

    def __init__(self, args: ArgsT) -> None:
        expected = args_type(type(self))
        if not isinstance(args, expected):
            raise UsageError(
                f"{type(self).__name__} takes {expected.__name__}, not {type(args).__name__}",
                f"{type(self).__name__}({expected.__name__}(...))",
            )
        self.args = args
        self._surroundings: Surroundings | None = None

    def _run(self) -> ResultT:
        """The experiment itself; what it returns is saved as `results.pickle`."""
        raise NotImplementedError(f"{type(self).__name__} defines no _run()")

    def setup(self) -> None:
        """Called before `_run`, in every attempt."""

    def checkpoint(self) -> None:
        """Called in the main thread when the scheduler is about to end the attempt.

        It comes between two bytecodes of `_run`; a loop in C looks at `should_stop` instead.
        """

    def run(self) -> ResultT:
        """Runs the node in this process, as `savethat run` does, and returns its result.

        Raises:
            Exception: whatever the node raises, after its files are saved.
        """
        # The one step up of this module: the method everyone expects on a node is a launch.
        from savethat.launch.here import run_inline

        return typing.cast(ResultT, run_inline(self))

    @property
    def key(self) -> str:
        """The run's key."""
        return self._around().key

    @property
    def output_dir(self) -> Path:
        """The run's folder: whatever is written here is saved with the run."""
        return self._around().output_dir

    @property
    def storage(self) -> Storage:
        """The project's storage."""
        return self._around().storage

    @property
    def attempt(self) -> int:
        """Which attempt of the run this is, from 1."""
        return self._around().attempt

    @property
    def logger(self) -> Logger:
        """Loguru's logger."""
        from savethat.logs import logger

        return logger

    @property
    def should_stop(self) -> bool:
        """Whether the scheduler is about to end this attempt."""
        return self._around().should_stop

    def time_left(self) -> float:
        """Seconds until the scheduler ends this attempt; `inf` without a limit."""
        deadline = self._around().deadline
        return math.inf if deadline is None else max(0.0, deadline - time.time())

    def _around(self) -> Surroundings:
        if self._surroundings is None:
            raise UsageError(
                f"{type(self).__name__} is not running",
                "node.run() runs it; only then it has a key, an output_dir and a storage",
            )
        return self._surroundings


def enter(node: Node[Any, Any], surroundings: Surroundings) -> None:
    """Puts a node into its surroundings, before it runs."""
    node._surroundings = surroundings


def notify_ending(node: Node[Any, Any]) -> None:
    """Tells a running node that its attempt is about to be ended."""
    node._around().should_stop = True
    node.checkpoint()


def told_to_stop(node: Node[Any, Any]) -> bool:
    """Whether a running node has been told that its attempt is about to be ended."""
    return node._around().should_stop


def resumes(cls: type[Node[Any, Any]]) -> bool:
    """Whether later attempts of this node start with the files of the one before."""
    return cls.resumable or cls.checkpoint is not Node.checkpoint


def is_node(value: object) -> bool:
    """Whether a value is a class of node that can be run."""
    return (
        inspect.isclass(value)
        and issubclass(value, Node)
        and value is not Node
        and value._run is not Node._run
    )


def dotted_name(cls: type[Node[Any, Any]]) -> str:
    """A node's full name: `my_project.fit_ols.FitOLS`."""
    return f"{cls.__module__}.{cls.__qualname__}"


def first_line(cls: type[Node[Any, Any]]) -> str:
    """The first line of a node's own docstring; empty where it has none."""
    doc = cls.__doc__ if cls.__doc__ != Node.__doc__ else None
    return inspect.cleandoc(doc).splitlines()[0] if doc and doc.strip() else ""


def args_type(cls: type[Node[Any, Any]]) -> type[Any]:
    """The class of a node's arguments: from `Node[ARGS, RESULT]`, else `<NodeName>Args` beside it.

    Raises:
        ArgumentError: there is neither, or it is no dataclass.
    """
    found = _from_bases(cls)
    if found is None:
        module = sys.modules.get(cls.__module__)
        found = getattr(module, f"{cls.__name__}Args", None)
    if found is None:
        raise ArgumentError(
            f"{dotted_name(cls)} names no class for its arguments",
            f"write class {cls.__name__}(savethat.Node[{cls.__name__}Args, ...])",
        )
    if not (inspect.isclass(found) and dataclasses.is_dataclass(found)):
        raise ArgumentError(
            f"the arguments of {dotted_name(cls)}, {found!r}, are not a dataclass",
            "decorate the class with @dataclasses.dataclass(frozen=True)",
        )
    return found


def _from_bases(cls: type[Any]) -> Any:
    """The first argument of `Node[...]` among a class's bases, type variables filled in."""
    for base in getattr(cls, "__orig_bases__", ()):
        origin = typing.get_origin(base)
        if origin is None or not (inspect.isclass(origin) and issubclass(origin, Node)):
            continue
        given = typing.get_args(base)
        if origin is Node:
            first = given[0]
        else:
            parameter = _from_bases(origin)
            names = getattr(origin, "__parameters__", ())
            first = given[names.index(parameter)] if parameter in names else parameter
        if isinstance(first, typing.ForwardRef):
            first = getattr(sys.modules.get(cls.__module__), first.__forward_arg__, None)
        return first
    for base in cls.__bases__:
        if issubclass(base, Node) and base is not Node:
            found = _from_bases(base)
            if found is not None and not isinstance(found, TypeVar):
                return found
    return None
