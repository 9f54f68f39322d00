"""What scores are taken against: the oracle's A of each step, with its error and what the step belongs to."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.credit.agreement import task_labels
from pipelines.schemas import KEY

Vector = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Truth:
    """Of N steps. float64[N]: ``mean`` of A, its standard error ``se``, its 95 % interval, and two independent halves. int64[N]:
    ``groups``, equal for the steps of one task in one iteration, which are ranked among each other; ``tasks``, equal for those of one
    task in any iteration, which a bootstrap draws together. ``steps``: a step's place in its episode, ``lengths``: that episode's
    steps. ``products`` float64[N, N]: inner products of the gradients of the steps' log-probabilities, 0 for two steps that different
    policies played; None: not measured."""

    mean: Vector
    se: Vector
    low: Vector
    high: Vector
    first: Vector
    second: Vector
    groups: Labels
    tasks: Labels
    steps: Vector
    lengths: Vector
    products: npt.NDArray[np.float64] | None = None

    @classmethod
    def of(cls, oracle: pa.Table, products: npt.NDArray[np.float64] | None = None) -> Truth:
        """Of an ORACLE table, in shaped rewards."""
        A, se, low, high, first, second = (
            oracle[f"A{suffix}"].to_numpy() for suffix in ("", "_se", "_low", "_high", "_first", "_second")
        )
        _, tasks = np.unique(np.array(oracle["task_id"].to_pylist(), dtype=str), return_inverse=True)
        steps, lengths = (oracle[name].to_numpy().astype(np.float64) for name in ("step", "steps"))
        groups = task_labels(oracle)
        return cls(A, se, low, high, first, second, groups, tasks.astype(np.int64), steps, lengths, products)

    def at(self, there: npt.NDArray[np.bool_]) -> Truth:
        """Some of the steps."""
        kept = {field.name: getattr(self, field.name)[there] for field in fields(self) if field.name != "products"}
        return replace(self, **kept, products=None if self.products is None else self.products[there][:, there])


Place = tuple[int, int, int, int]  # iteration, group, member, step


@dataclass(frozen=True, eq=False)
class Measured:
    """The truth of the steps at ``places``, all different."""

    places: tuple[Place, ...]
    truth: Truth

    @classmethod
    def of(cls, oracle: pa.Table, products: npt.NDArray[np.float64] | None = None) -> Measured:
        """``products``: of the table's rows."""
        columns = (oracle[name].to_pylist() for name in ("iteration", *KEY))
        return cls(tuple(zip(*columns, strict=True)), Truth.of(oracle, products))

    @property
    def iterations(self) -> list[int]:
        return sorted({iteration for iteration, *_ in self.places})

    def at(self, there: npt.NDArray[np.bool_]) -> Measured:
        return Measured(
            tuple(place for place, is_in in zip(self.places, there, strict=True) if is_in), self.truth.at(there)
        )
