"""policy=local against transformers over genuine vocabularies: SmolLM2-135M-Instruct as it is, and Qwen2's tokenizer with random
weights. ``make test-real`` runs them, and shows the differences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipelines.policies import codec
from pipelines.policies.local.policy import local_policy
from pipelines.protocols import Message, SamplingSettings
from tests.policies.conformance import SETTINGS
from tests.policies.genuine import GENUINE, genuine_folder
from tests.policies.play import converse, sequences

pytestmark = [pytest.mark.real, pytest.mark.timeout(1200)]
PLAIN = SETTINGS.model_copy(update={"minibatch_size": 256, "kl_coefficient": 0.0, "entropy_coefficient": 0.0})
ASKED = (
    "In 1234, who wrote “Zulet”?\n\n  Answer: ",
    "<information>Doc 1(Title: Zulet) author : Gomun</information>",
    "世界 ½ x_2",
)
ANSWERED = ("<think> author of Zulet ; search</think><search> Zulet</search>", "I don't know 56.")


@pytest.fixture(scope="module", params=GENUINE)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return genuine_folder(request.param, tmp_path_factory.mktemp("genuine"))


def test_genuine_vocabularies(folder: Path) -> None:
    """Ids that the published tokenizers give: digits stand alone, and Qwen2 takes a blank with its word."""
    ids = codec(folder).encode("Hello, world! 12")
    assert ids in ([19556, 28, 905, 17, 216, 33, 34], [9707, 11, 1879, 0, 220, 16, 17])


def test_prompts_are_those_of_the_whole_conversation(folder: Path) -> None:
    """A growing transcript, answer after answer, is byte for byte what transformers renders at once."""
    own, tokenizer = codec(folder), AutoTokenizer.from_pretrained(folder)
    ids, said = list[int](), list[dict[str, str]]()
    for turn, asked in enumerate(ASKED):
        ids += own.chat_prompt([Message("user", asked)], continues=turn > 0)
        said.append({"role": "user", "content": asked})
        whole = tokenizer.apply_chat_template(said, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert ids == whole
        for answer in ANSWERED[turn : turn + 1]:
            ids += [*own.encode(answer), own.end_of_message]
            said.append({"role": "assistant", "content": answer})


def test_numbers_and_update_are_transformers_own(folder: Path, tmp_path: Path) -> None:
    """What the sampler said of each token that it drew, over the turns of episodes through the cache, and the direction of an
    on-policy update, against transformers' forward pass and the plain −A·log π. Of half a billion parameters no more is in memory at
    once than both models, one of them with its optimiser."""
    policy = local_policy(folder, temperature=1.0)
    rows = sequences(converse(policy.sampler, episodes=3, turns=2, sampling=SamplingSettings(1.0, 9)))
    scores = policy.learner.score(rows)
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokens = sum(int(row.action_mask.sum()) for row in rows)
    worst = {"sampled log-prob": 0.0, "scored log-prob": 0.0, "entropy": 0.0}
    for row, score in zip(rows, scores, strict=True):
        logp = model(torch.from_numpy(row.token_ids[None]).long()).logits[0, :-1].log_softmax(-1)
        chosen = logp.gather(1, torch.from_numpy(row.token_ids[1:, None]).long())[:, 0]
        mask, entropy = row.action_mask[1:], -(logp.exp() * logp).sum(-1)
        pairs = {
            "sampled log-prob": (row.behaviour_logprobs, chosen),
            "scored log-prob": (score.logprobs, chosen),
            "entropy": (score.entropies, entropy),
        }
        for name, (ours, expected) in pairs.items():
            worst[name] = max(worst[name], float(np.abs(ours[1:] - expected.detach().numpy())[mask].max()))
        loss = -(chosen * torch.from_numpy(row.advantages[1:] * mask)).sum() / tokens
        loss.backward()
    entropies = np.concatenate([s.entropies[row.action_mask] for row, s in zip(rows, scores, strict=True)])
    print(
        f"\n{tokens} tokens, entropies of {entropies.min():.2g} to {entropies.max():.2g} nats; differences at most {worst}"
    )
    assert max(worst.values()) < 2e-4

    torch.nn.utils.clip_grad_norm_(model.parameters(), PLAIN.clip_norm)
    torch.optim.AdamW(model.parameters(), lr=PLAIN.learning_rate, weight_decay=0.0).step()
    theirs = {name: p.detach() for name, p in model.named_parameters()}
    del model, loss, logp
    policy.learner.update(rows, PLAIN, seed=0)
    policy.learner.save(tmp_path)
    moved = cosine(tmp_path / "model" / "model.safetensors", theirs, folder / "model.safetensors")
    print(f"cosine of the two updates: 1 - {1 - moved:.1g}")
    assert moved > 0.99  # Adam's first step is the gradient's sign, be it ever so small


def cosine(ours: Path, theirs: Mapping[str, torch.Tensor], before: Path) -> float:
    """Of the two ways from ``before``, tensor by tensor."""
    dots = torch.zeros(3, dtype=torch.float64)
    with safe_open(ours, "pt") as after, safe_open(before, "pt") as first:
        assert set(after.keys()) == set(first.keys()) == theirs.keys()
        for name in theirs:
            start = first.get_tensor(name).float().flatten()
            a, b = after.get_tensor(name).flatten() - start, theirs[name].flatten() - start
            dots += torch.stack([a @ b, a @ a, b @ b]).double()
    return float(dots[0] / (dots[1] * dots[2]).sqrt())
