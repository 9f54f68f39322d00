"""What the local policy takes from torch that is not public."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from pipelines.patches import warn_unknown

KNOWN = {"torch": ("2.13.0",)}


@cache
def onednn_product() -> Any:
    """x Wᵀ + b by oneDNN, an operator that torch keeps for its compiler; None in a torch without it."""
    warn_unknown("torch", KNOWN, "the product by oneDNN's kernel, which saves time")
    return getattr(torch.ops.mkldnn, "_linear_pointwise", None)
