"""One tiny stand-in for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.config import StandIn
from tests.policies.play import OBSERVATIONS

SHAPE = StandIn(hidden_size=64, layers=2, heads=4, kv_heads=2, mlp=96, context_length=512)
ANSWERS = ("<think>find a mug : go to desk 1</think><action>go to desk 1</action>",)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in with grouped-query attention whose weights are large enough for peaked distributions."""
    return peaked(SHAPE, tmp_path_factory.mktemp("stand-in"))


def peaked(shape: StandIn, folder: Path) -> Path:
    import torch
    from safetensors.torch import load_file, save_file

    from pipelines.policies import make_stand_in

    make_stand_in(shape, [*OBSERVATIONS, *ANSWERS], folder)
    file = folder / "model.safetensors"
    weights = load_file(file)
    generator = torch.Generator().manual_seed(1)
    for name, w in sorted(weights.items()):
        noise = torch.randn(w.shape, generator=generator)
        weights[name] = w + 0.15 * noise if w.ndim == 2 else w + 0.1 * noise  # biases and norms count in the tests
    save_file(weights, file, metadata={"format": "pt"})
    return folder
