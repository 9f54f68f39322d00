"""A vLLM worker process is killed between two turns: ``python -m tests.policies.vllm_death MODEL_FOLDER``."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipelines.errors import EngineDied
from pipelines.policies.local.policy import local_policy
from pipelines.policies.vllm.config import VllmPolicyConfig
from pipelines.policies.vllm.sampler import VllmSampler
from pipelines.protocols import SamplingSettings
from tests.policies.play import converse

GREEDY = SamplingSettings(temperature=0.0, max_tokens=9)


def main(folder: Path) -> None:
    sampler = VllmSampler(folder, VllmPolicyConfig(dtype="float32", tensor_parallel=2))
    played = [
        [turn.generation for conversation in converse(each, sampling=GREEDY) for turn in conversation]
        for each in (sampler, local_policy(folder, temperature=1.0).sampler)
    ]
    assert [a.action_ids.tolist() for a in played[0]] == [b.action_ids.tolist() for b in played[1]]
    assert all(np.isnan(a.entropies).all() for a in played[0])  # absent, and said so
    workers = [p for p in psutil.Process().children(recursive=True) if "Worker" in " ".join([p.name(), *p.cmdline()])]
    assert len(workers) == 2, workers
    workers[0].kill()
    for _ in range(2):  # dead stays dead
        with pytest.raises(EngineDied, match="launch again to continue"):
            converse(sampler)
    sampler.close()
    gc.collect()
    print("ended", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
