"""A batch → an estimator → a modulator → the advantages that a learner is given, and every declared column."""

from __future__ import annotations

import torch

from empg.checks import require_finite
from empg.credit.batch import Credit, StepBatch, require_tensor
from empg.credit.columns import ADVANTAGE, Estimator, Modulator, declared_columns


def assign_credit(batch: StepBatch, estimator: Estimator, modulator: Modulator) -> Credit:
    """``advantages_N``: after modulation; ``columns``: those of ``declared_columns``, in its order.

    Raises:
        ValueError: a method gave other columns than it declares, a tensor that is not float64[N], or a value that is not finite.
    """
    names = [column.name for column in declared_columns(estimator, modulator)]
    estimated = _checked(estimator, estimator.estimate(batch), batch)
    modulated = _checked(modulator, modulator.modulate(batch, estimated.advantages_N), batch)
    columns = {ADVANTAGE.name: estimated.advantages_N, **estimated.columns, **modulated.columns}
    return Credit(modulated.advantages_N, {name: columns[name] for name in names})


def _checked(method: Estimator | Modulator, credit: Credit, batch: StepBatch) -> Credit:
    """The credit as it is, if it is what the method promised."""
    title, declared = type(method).__name__, {column.name for column in method.columns}
    if credit.columns.keys() != declared:
        given = ", ".join(sorted(credit.columns)) or "none"
        raise ValueError(f"{title} declares the columns {', '.join(sorted(declared)) or 'none'} and gave {given}")
    for name, values in {"the advantages": credit.advantages_N, **credit.columns}.items():
        require_tensor(f"{title}: {name}", values, len(batch.trajectory_N), torch.float64)
        require_finite(**{f"{title}: {name}": values})
    return credit
