"""The base class that makes a class of annotated fields a frozen dataclass."""

from __future__ import annotations

import dataclasses
from typing import Any

from typing_extensions import Self, dataclass_transform, override


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
@dataclasses.dataclass(frozen=True)
class Args:
    """Arguments of a node: a subclass is a frozen dataclass, with or without the decorator.

    class FitOLSArgs(savethat.Args):
        dataset: str  # path to csv dataset
        l2: float = 0.0
    """

    # A decorator sees the class only after `__init_subclass__`, and cannot be applied twice. So a
    # class is completed when it is first used: by then its own decorator has run, if it has one.

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for parent in reversed(cls.__mro__[1:]):
            complete(parent)

    @override
    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        complete(cls)
        return super().__new__(cls)


def complete(cls: type) -> None:
    """Makes a subclass of `Args` the frozen dataclass it stands for, if nothing has yet."""
    if issubclass(cls, Args) and "__dataclass_fields__" not in vars(cls):
        dataclasses.dataclass(frozen=True)(cls)
