"""A launch as job arrays: SLURM bounds their indices, and a launch may be larger."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from savethat.run.layout import job_name


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What one sbatch submits.

    Args:
        name: the job's.
        offset: the position of the array's index 0 in the launch.
        indices: in the array, ascending; None for a job that is no array (its position is 0).
    """

    name: str
    offset: int
    indices: tuple[int, ...] | None

    @property
    def positions(self) -> list[int]:
        """The runs it submits."""
        return [self.offset] if self.indices is None else [self.offset + i for i in self.indices]

    def halves(self) -> list[Chunk]:
        """The chunk in two parts; itself where there is one run in it."""
        if self.indices is None or len(self.indices) < 2:
            return [self]
        middle = len(self.indices) // 2
        parts = self.indices[:middle], self.indices[middle:]
        return [dataclasses.replace(self, indices=part) for part in parts]


def chunks(launch_id: str, positions: Sequence[int], array_size: int) -> list[Chunk]:
    """The jobs for these runs of a launch: one a job array, or a single job without arrays.

    Args:
        launch_id: the launch's.
        positions: of the runs, in any order.
        array_size: the most runs in an array; 0 for a launch that is no array.
    """
    if not array_size:
        return [Chunk(launch_id, position, None) for position in positions]
    arrays: dict[str, tuple[int, list[int]]] = {}
    for position in sorted(positions):
        name, index = job_name(launch_id, position, array_size)
        arrays.setdefault(name, (position - index, []))[1].append(index)
    return [Chunk(name, offset, tuple(indices)) for name, (offset, indices) in arrays.items()]


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as SLURM writes them: `0-3,7`."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
