"""How alike methods assign credit: rank correlation within tasks, and how often the signs are equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Matrix = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def task_labels(table: pa.Table) -> Labels:
    """int64[N]: one number for the steps of one group of one iteration."""
    iteration, group = (table[name].to_numpy().astype(np.int64) for name in ("iteration", "group"))
    labels: Labels = iteration * (int(group.max(initial=0)) + 1) + group
    return labels


def rank_correlations(values: Matrix, tasks: Labels) -> Matrix:
    """Spearman's coefficient of each pair of columns within each task: [tasks, M, M].

    Args:
        values: [N, M], a row per step, a column per method. tasks: [N], equal for the steps of one task.
    NaN where a column is constant within the task: it ranks nothing there.
    """
    return np.array([_spearman(rows) for rows in within(values, tasks)])


def mean_rank_correlation(values: Matrix, tasks: Labels) -> Matrix:
    """The mean over the tasks in which both columns vary, [M, M]; NaN: there is none."""
    found = rank_correlations(values, tasks)
    there = ~np.isnan(found)
    with np.errstate(invalid="ignore"):
        means: Matrix = np.where(there, found, 0).sum(0) / there.sum(0)
    return means


def sign_agreement(values: Matrix) -> Matrix:
    """The share of rows with equal signs among those in which one of the two is not 0, [M, M]; NaN: there is none."""
    signs = np.sign(values)
    differ_from_0 = (signs[:, :, None] != 0) | (signs[:, None, :] != 0)
    equal = (signs[:, :, None] == signs[:, None, :]) & differ_from_0
    with np.errstate(invalid="ignore"):
        shares: Matrix = equal.sum(0) / differ_from_0.sum(0)
    return shares


def within(values: Matrix, tasks: Labels) -> Iterator[Matrix]:
    """The rows of each task, in the order of the labels."""
    order = np.argsort(tasks, kind="stable")
    starts = np.flatnonzero(np.diff(tasks[order])) + 1
    yield from np.split(values[order], starts)


def _spearman(rows: Matrix) -> Matrix:
    from scipy.stats import rankdata

    ranks = rankdata(rows, axis=0)
    ranks -= ranks.mean(0)
    length = np.sqrt((ranks**2).sum(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Matrix = (ranks.T @ ranks) / np.outer(length, length)
    return found.clip(-1, 1)
