"""Numbers of a table: as they were measured for programs, rounded with their interval for people."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gigmate.evaluation.tables import Row


@dataclass(frozen=True)
class Figure:
    """A number.

    Args:
        value: as measured.
        spec: how it is shown (`format`).
        least: of all rounds; None: it was taken once.
        most: likewise.
    """

    value: float
    spec: str = "g"
    least: float | None = None
    most: float | None = None

    @classmethod
    def over(cls, values: Sequence[float], spec: str = "g", scale: float = 1.0) -> "Figure":
        """The median of what each round found, with its range; all of it times `scale`."""
        scaled = [scale * value for value in values]
        return cls(statistics.median(scaled), spec, min(scaled), max(scaled))

    @property
    def plain(self) -> float | dict[str, float]:
        """For JSON."""
        if self.least is None or self.most is None:
            return self.value
        return {"median": self.value, "least": self.least, "most": self.most}

    def __str__(self) -> str:
        middle = format(self.value, self.spec)
        if self.least is None or self.most is None:
            return middle
        return f"{middle} ({format(self.least, self.spec)} to {format(self.most, self.spec)})"


Cells = Mapping[str, "str | int | Figure"]
"""A row of a table; text stands where there is no number."""


def shown(rows: Sequence[Cells]) -> list[Row]:
    """The rows as text."""
    return [{name: str(cell) for name, cell in row.items()} for row in rows]


def plain(rows: Sequence[Cells]) -> list[dict[str, object]]:
    """The rows for JSON."""
    return [{name: cell.plain if isinstance(cell, Figure) else cell for name, cell in row.items()} for row in rows]
