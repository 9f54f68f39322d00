"""The families of decoders that the fast forward pass computes: a row each. Light to import.

They are one pass with small differences: which projections have biases, whether queries and keys are normed, how positions turn.
What a folder's configuration asks for beyond that is refused, never left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import ConfigError, MissingCheckpoint
from pipelines.files import read_object


@dataclass(frozen=True)
class Architecture:
    """``qkv_bias``: queries, keys and values always have biases; otherwise ``attention_bias`` of the configuration says so of all four
    projections. ``qk_norm``: queries and keys are normed, head by head. ``head_dim``: where the configuration does not say it;
    None: the hidden size by heads."""

    qkv_bias: bool = False
    qk_norm: bool = False
    head_dim: int | None = None


ARCHITECTURES: Mapping[str, Architecture] = {
    "llama": Architecture(),  # Llama 2 and 3.x, SmolLM2
    "qwen2": Architecture(qkv_bias=True),  # Qwen2, Qwen2.5 and the stand-ins
    "qwen3": Architecture(qk_norm=True, head_dim=128),
}
# Ways in which positions are stretched, with the values that each needs.
ROPE_TYPES: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "yarn": ("factor",),
}


@dataclass(frozen=True)
class DecoderShape:
    """What of ``config.json`` the forward pass needs. ``biased``: the projections that have a bias. ``rope``: how positions turn,
    with ``rope_type`` and ``rope_theta`` always; see ``rope.py``."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    context_length: int
    tied: bool
    qk_norm: bool
    biased: frozenset[str]
    rope: Mapping[str, Any]

    def tensor_names(self) -> Iterator[str]:
        """Every tensor that the forward pass uses."""
        yield from ("model.embed_tokens.weight", "model.norm.weight")
        if not self.tied:
            yield "lm_head.weight"
        norms = ("self_attn.q_norm", "self_attn.k_norm") if self.qk_norm else ()
        for layer in range(self.layers):
            for name in ("input_layernorm", "post_attention_layernorm", *norms, *PROJECTIONS):
                yield f"model.layers.{layer}.{name}.weight"
                if name in self.biased:
                    yield f"model.layers.{layer}.{name}.bias"


_ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
_MLP = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
PROJECTIONS = _ATTENTION + _MLP


def read_shape(folder: Path) -> DecoderShape:
    """The shape of the folder's model.

    Raises:
        MissingCheckpoint: ``config.json`` is absent, damaged, or lacks a value.
        ConfigError: the model is of no family in the table, or has what the forward pass would leave out.
    """
    try:
        config = read_object(folder / "config.json")
        row = ARCHITECTURES.get(str(config.get("model_type")))
        reason = _reason_to_refuse(config)
        if row is None or reason is not None:
            raise ConfigError(
                f"{folder} is a model of the kind {config.get('model_type')}{f' with {reason}' if reason else ''}, and "
                f"policy.engine=native computes plain ones of {', '.join(ARCHITECTURES)} alone: set policy.engine=transformers"
            )
        return _shape(row, config)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError) as error:
        lacks = f"it has no {error}" if isinstance(error, KeyError) else error
        raise MissingCheckpoint(
            f"{folder}/config.json cannot be read ({lacks}): restore it, or set model.pretrained=<another folder>"
        ) from None


def computes_natively(folder: Path, engine: str) -> bool:
    """Whether the fast pass computes the folder's model. ``engine``: native, transformers, or auto, which asks the table.

    Raises:
        MissingCheckpoint: ``config.json`` is absent, damaged, or lacks a value.
    """
    if engine != "auto":
        return engine == "native"
    try:
        read_shape(folder)
    except ConfigError:
        return False
    return True


def _reason_to_refuse(config: Mapping[str, Any]) -> str | None:
    """What of the configuration the forward pass does not compute, if anything."""
    rope = _rope(config)
    if config.get("quantization_config"):
        return "quantization_config"
    if config.get("use_sliding_window") or "sliding_attention" in (config.get("layer_types") or ()):
        return "sliding windows (use_sliding_window)"
    if config.get("hidden_act", "silu") != "silu":
        return f"hidden_act={config['hidden_act']}"
    if rope["rope_type"] not in ROPE_TYPES or rope.get("partial_rotary_factor", 1.0) != 1.0:
        return f"rope_parameters={rope}"
    return None


def _shape(row: Architecture, config: Mapping[str, Any]) -> DecoderShape:
    heads, rope = int(config["num_attention_heads"]), _rope(config)
    _ = [rope[key] for key in ROPE_TYPES[rope["rope_type"]]]
    attention = _ATTENTION[:3] if row.qkv_bias else _ATTENTION if config.get("attention_bias") else ()
    return DecoderShape(
        layers=int(config["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or row.head_dim or config["hidden_size"] // heads),
        eps=float(config["rms_norm_eps"]),
        context_length=int(config["max_position_embeddings"]),
        tied=bool(config.get("tie_word_embeddings")),
        qk_norm=row.qk_norm,
        biased=frozenset((*attention, *(_MLP if config.get("mlp_bias") else ()))),
        rope=rope,
    )


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """``rope_parameters``, or what stood for them before transformers 5: ``rope_scaling`` and ``rope_theta``."""
    found = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    found["rope_type"] = found.get("rope_type") or found.pop("type", None) or "default"
    found["rope_theta"] = found.get("rope_theta") or config.get("rope_theta", 10_000.0)
    found.setdefault("original_max_position_embeddings", config.get("max_position_embeddings"))
    return found
