"""Credit assignment: which step is to thank for a trajectory's reward, and by how much.

``empg.credit.assign.assign_credit`` takes a ``StepBatch`` through an estimator and a modulator. To add one: write its file
beside these, and its line in the registry below. Nothing here imports torch before a batch is made.
"""

from __future__ import annotations

from typing import Final

from empg.credit.columns import ADVANTAGE, Column, Estimator, Modulator, declared_columns
from empg.credit.dr_grpo import DrGRPO
from empg.credit.entropy_modulation import EMPG
from empg.credit.grpo import GRPO
from empg.credit.rloo import RLOO
from empg.credit.settings import Settings

ESTIMATORS: Final[dict[str, type[Settings]]] = {"grpo": GRPO, "dr_grpo": DrGRPO, "rloo": RLOO}
MODULATORS: Final[dict[str, type[Settings]]] = {"empg": EMPG}

__all__ = [
    "ADVANTAGE", "DrGRPO", "EMPG", "ESTIMATORS", "Column", "Estimator", "GRPO", "MODULATORS", "Modulator", "RLOO", "Settings",
    "declared_columns",
]  # fmt: skip
