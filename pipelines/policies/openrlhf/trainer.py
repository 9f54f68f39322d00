"""A rank of the trainer: OpenRLHF's policy actor, with exact entropies, the frozen reference, and updates from our rows."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from pipelines.policies.openrlhf import patches

patches.apply()  # before the first import of OpenRLHF

from openrlhf.models import Actor  # noqa: E402
from openrlhf.utils.deepspeed import DeepspeedStrategy  # noqa: E402
from openrlhf.utils.utils import zero_pad_sequences  # noqa: E402

from pipelines.config import LoraSettings, UpdateSettings  # noqa: E402
from pipelines.errors import MissingCheckpoint  # noqa: E402
from pipelines.policies.lora_files import FOLDER as ADAPTER  # noqa: E402
from pipelines.policies.model_folder import copy_all_but_weights  # noqa: E402
from pipelines.policies.openrlhf.adapter import Adapter  # noqa: E402
from pipelines.policies.openrlhf.arguments import arguments, set_objective  # noqa: E402
from pipelines.policies.openrlhf.config import OpenrlhfPolicyConfig  # noqa: E402
from pipelines.policies.openrlhf.layout import Micro, Row, Totals  # noqa: E402
from pipelines.policies.openrlhf.objective import Measured, Objective  # noqa: E402
from pipelines.policies.openrlhf.sampled import Sampled  # noqa: E402
from pipelines.records import Score, TrainingSequence  # noqa: E402

STATE = "deepspeed"


class Strategy(DeepspeedStrategy):
    """OpenRLHF's, with what it has no argument for."""

    def __init__(self, args: Any, policy: OpenrlhfPolicyConfig) -> None:
        super().__init__(seed=0, train_batch_size=policy.cluster.ranks, zero_stage=policy.cluster.zero_stage, args=args)
        self._policy = policy

    def get_ds_train_config(self, optim_dict: Any = None, *, max_norm: float | None = None) -> Any:
        config = super().get_ds_train_config(optim_dict, max_norm=max_norm)
        if optim_dict is not None and self._policy.cluster.device == "cpu":
            config["optimizer"]["params"]["torch_adam"] = True  # DeepSpeed's own would be compiled first
        if self._policy.cluster.offload == "parameters":
            config["zero_optimization"]["offload_param"]["device"] = "cpu"
        return self._spread_all(config)

    def _get_model_parameters(self, model: Any, **_: Any) -> Any:
        """In one group: OpenRLHF's second one, of what shall not decay, decays here too, and while the first is stepped on it keeps all
        gradients, its own and the first's, which lie in one block."""
        return model.model, [parameter for parameter in model.model.parameters() if parameter.requires_grad]

    def get_ds_eval_config(self, offload: bool = False) -> Any:
        return self._spread_all(super().get_ds_eval_config(offload=offload))

    def _spread_all(self, config: Any) -> Any:
        """ZeRO-3 keeps small weights whole on every rank: on the twin, all of them."""
        if self._policy.cluster.device == "cpu":
            config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
        return config


_Actor: Any = patches.actor_class()


class Trainer(_Actor):
    """Its parent is what OpenRLHF wraps as a Ray actor; here ``TrainerProcess`` is the actor, whose class is light."""

    def initialize(
        self,
        folder: str,
        policy: OpenrlhfPolicyConfig,
        temperature: float,
        engines: Any,
        adapter: LoraSettings | None = None,
    ) -> None:
        """``adapter``: what is trained in place of the model's own weights."""
        cluster = policy.cluster
        self._folder, self._policy = folder, policy
        self.args = arguments(policy, temperature)
        strategy = Strategy(self.args, policy)
        self._setup_distributed(strategy)
        actor = self._model(strategy.get_ds_train_config())
        self._adapter = None if adapter is None else Adapter(actor.model, adapter)
        if cluster.checkpoint_activations:
            actor.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.actor, self.actor_optim, self.actor_scheduler = strategy.prepare((actor, _OPTIMIZER))
        self._reference: Any = None
        self._busy = Sampled(torch.cuda.utilization) if cluster.device == "cuda" else None
        self.trainer = Objective(
            strategy, self.actor, ema_model=None, actor_optim=self.actor_optim, actor_scheduler=self.actor_scheduler,
            dataloader_pin_memory=cluster.device == "cuda", vllm_engines=engines,
        )  # fmt: skip
        self.trainer.replay_buffer.packing_samples = cluster.packing
        self.trainer.adapter = self._adapter

    def _model(self, deepspeed: Any) -> Any:
        settings: dict[str, Any] = {
            "attn_implementation": self.args.ds.attn_implementation,
            "param_dtype": self.args.ds.param_dtype,
            "ds_config": deepspeed,
            "packing_samples": self.args.ds.packing_samples,
            "temperature": self.args.rollout.temperature,
        }
        chunk = self._policy.cluster.logits_chunk_tokens
        if chunk is None:
            return Actor(self._folder, **settings)
        from pipelines.policies.openrlhf.head import ChunkedActor

        return ChunkedActor(self._folder, chunk_tokens=chunk, **settings)

    # ------------------------------------------------------------ scores

    @torch.no_grad()
    def score(self, rows: Sequence[TrainingSequence], micros: Sequence[Micro], reference: bool) -> list[Score]:
        """Log-probs and exact entropies in one forward pass, in the order of the rows."""
        with self._frozen() if reference else nullcontext(self.actor) as model:
            model.eval()
            scores: dict[int, Score] = {}
            for micro in micros:
                chosen = [rows[i] for i in micro] or [_NOTHING]
                logprobs, entropies = self._forward(model, chosen)
                for place, i in enumerate(micro):
                    scores[i] = Score(_at(logprobs[place], rows[i]), _at(entropies[place], rows[i]))
        return [scores[i] for i in range(len(rows))]

    def _forward(self, model: Any, rows: Sequence[TrainingSequence]) -> tuple[Any, Any]:
        """Both [B, T − 1]."""
        device = torch.cuda.current_device()
        tokens, present, mask = (
            zero_pad_sequences([torch.from_numpy(x) for x in columns], "right", stack=True).to(device)
            for columns in (
                [row.token_ids.astype(np.int64) for row in rows],
                [np.ones(len(row), np.int64) for row in rows],
                [row.action_mask[1:].copy() for row in rows],
            )
        )
        logprobs, output = model(tokens, mask, present, return_output=True, return_entropy=True)
        return logprobs.float().cpu().numpy(), output.entropy.float().cpu().numpy()

    @contextmanager
    def _frozen(self) -> Iterator[Any]:
        """The model that the run began with: the trained one without its adapter, or another, made when it is first asked for."""
        if self._adapter is not None:
            with self._adapter.off():
                yield self.actor
            return
        if self._reference is None:
            offload = self._policy.cluster.offload_reference
            model = self._model(self.strategy.get_ds_eval_config(offload=offload))
            patches.keep_in_host_memory(model, offload)
            self._reference = self.strategy.prepare(model)
        yield self._reference

    # ------------------------------------------------------------ update

    def update(
        self,
        rows: Sequence[Row],
        minibatches: Sequence[Sequence[Micro]],
        totals: Sequence[Totals],
        settings: UpdateSettings,
    ) -> dict[str, float]:
        """OpenRLHF's ``fit`` over the laid-out rows. Returns means over the optimiser steps, the same on every rank.

        Raises:
            FloatingPointError: a loss, gradient or weight is not finite. The weights are then worth nothing.
        """
        self._set(settings)
        self.trainer.replay_buffer.fill(rows, minibatches, totals)
        self.trainer.begin()
        self.fit(kl_ctl=settings.kl_coefficient)
        names = sorted(self.trainer.sums)
        sums = self.strategy.all_reduce(torch.tensor([self.trainer.sums[n] for n in names], dtype=torch.float64), "sum")
        means = dict(zip(names, (sums / len(minibatches)).tolist(), strict=True))
        means["gradient_norm"] = float(np.mean(self.trainer.norms))
        spoiled = torch.tensor([0.0 if self._is_finite() else 1.0], dtype=torch.float64)
        if self.strategy.all_reduce(spoiled, "sum").item() or not np.isfinite(means["policy_loss"]):
            raise FloatingPointError(f"policy_loss = {means['policy_loss']}, and a weight became NaN or infinite")
        return means

    def _is_finite(self) -> bool:
        """Of the weights that this rank holds: in some modes DeepSpeed masks a NaN in the gradient's norm and steps on."""
        held = (getattr(p, "ds_tensor", p) for p in self.actor.model.module.parameters())
        return all(bool(torch.isfinite(p.detach()).all()) for p in held)

    def _set(self, settings: UpdateSettings) -> None:
        set_objective(self.args, settings)
        advantage = self.args.algo.advantage
        self.trainer.actor_loss_fn = Measured(
            clip_eps_low=settings.clip_low, clip_eps_high=settings.clip_high, dual_clip=settings.dual_clip,
            token_level_loss=settings.aggregation != "sequence-mean", is_correction_level=advantage.is_correction_level,
            is_correction_mode=advantage.is_correction_mode, is_correction_gating=advantage.is_correction_gating,
            is_correction_threshold=list(advantage.is_correction_threshold),
        )  # fmt: skip
        engine = self.actor.model
        patches.clip_gradients_at(engine, settings.clip_norm)
        rates = [settings.learning_rate] * len(engine.optimizer.param_groups)
        self.actor_scheduler.base_lrs = rates  # the constant schedule would set its own again after each step
        for group in engine.optimizer.param_groups:  # weight decay on all of them, as the paper's code base has it
            group.update(
                lr=settings.learning_rate, betas=(settings.beta1, settings.beta2), weight_decay=settings.weight_decay
            )

    # ------------------------------------------------------------ weights

    def save(self, folder: str) -> None:
        """``deepspeed/``, to go on from, and the model as a Hugging Face folder ``model/``, or ``adapter/`` where one is trained."""
        adapted = self._adapter is not None
        self.actor.model.save_checkpoint(folder, tag=STATE, save_latest=False, exclude_frozen_parameters=adapted)
        if self._adapter is None:
            self.export(f"{folder}/model")
        elif self._rank == 0:
            self._adapter.save(Path(folder) / ADAPTER)

    def load(self, folder: str) -> None:
        """Raises MissingCheckpoint: DeepSpeed cannot read it, or it is of another adapter."""
        if self._adapter is not None:
            self._adapter.check(Path(folder) / ADAPTER)
        try:
            self.strategy.load_ckpt(self.actor.model, folder, tag=STATE, load_module_strict=self._adapter is None)
        except (torch.OutOfMemoryError, torch.distributed.DistBackendError):
            raise
        except (OSError, RuntimeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
            last = (str(error).strip().splitlines() or [""])[-1]
            raise MissingCheckpoint(
                f"checkpoint {folder} cannot be read ({type(error).__name__}: {last}): restore it or remove the folder"
            ) from None

    def export(self, folder: str) -> None:
        """The weights, an adapter merged into them, and the tokenizer's files as they were."""
        if self._adapter is None:
            self.strategy.save_model(self.actor, _Files(Path(self._folder)), folder)
            return
        if self._rank == 0:
            weights = {name: weight.data for name, weight in self._adapter.merged()}
            self.actor.model.module.save_pretrained(folder, state_dict=weights)
            _Files(Path(self._folder)).save_pretrained(folder)
        torch.distributed.barrier()

    def export_for_engines(self, folder: str) -> None:
        """With tied output weights spelled out: vLLM reloads what a folder names, and would keep the old ones."""
        self.export(folder)
        if self._rank:
            return
        weights = load_file(Path(folder) / "model.safetensors")
        if "lm_head.weight" not in weights:
            tied = {"lm_head.weight": weights["model.embed_tokens.weight"]}
            save_file(tied, Path(folder) / "tied.safetensors", metadata={"format": "pt"})

    def synchronize(self) -> None:
        """vLLM's weights become this trainer's, GPU to GPU."""
        self.broadcast_to_vllm()

    def measurements(self) -> dict[str, float]:
        """Since it was last asked: peak memory of this rank in GiB (without a GPU: of its process, ever), and how busy its GPU
        was, in percent of the time."""
        if self._busy is None:
            return {"peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}
        peak, busy = torch.cuda.max_memory_allocated() / 2**30, self._busy.take()
        torch.cuda.reset_peak_memory_stats()
        return {"peak_memory_gib": peak} | ({} if busy is None else {"gpu_busy_percent": busy})


_OPTIMIZER: dict[str, Any] = {  # each update sets its own rate, betas, decay and norm
    "optim": "adam", "adam": {"lr": 1e-6, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}, "muon": {},
    "lr_scheduler": "constant", "lr_warmup_ratio": 0.0, "min_lr_ratio": 1.0, "max_norm": 1.0, "scheduler_steps": 1,
}  # fmt: skip
_NOTHING = TrainingSequence(
    np.zeros(2, np.int32),
    np.zeros(2, np.bool_),
    np.zeros(2, np.float32),
    np.zeros(2, np.float32),
    np.full(2, -1, np.int32),
)


class _Files:
    """In the place of a tokenizer that is saved beside the weights: the files of the folder it came from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save_pretrained(self, out: str) -> None:
        copy_all_but_weights(self._folder, Path(out))


def _at(predicted: np.ndarray, row: TrainingSequence) -> np.ndarray:
    """[≥ T − 1] of the predicted tokens → float32[T], 0 outside the actions."""
    whole = np.concatenate([np.zeros(1, np.float32), predicted[: len(row) - 1].astype(np.float32)])
    return np.where(row.action_mask, whole, np.float32(0.0))
