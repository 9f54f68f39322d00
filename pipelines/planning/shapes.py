"""The shape of a decoder: its parameters and what one token costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.config import LoraSettings, ModelConfig, StandIn
from pipelines.errors import ConfigError
from pipelines.files import read_object
from pipelines.weight_files import weight_files

_STAND_IN_VOCABULARY = 2048  # made from the environments' texts: 400 to 1,600


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a ``Qwen2ForCausalLM``; of a ``LlamaForCausalLM``, the same without biases; or of a ``Qwen3ForCausalLM``, which
    has norms of each head's query and key instead. ``tied``: the output matrix is the embedding. ``stored``: the parameters that its
    files hold; None: as many as the sizes say."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    context_length: int
    tied: bool
    biased: bool = True
    head_norms: bool = False
    stored: int | None = None

    @property
    def attention_width(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Of the keys, and of the values."""
        return self.kv_heads * self.head_dim

    @property
    def layer_matrices(self) -> int:
        """Weights of one layer's matrices."""
        return sum(before * after for before, after in self.projections.values())

    @property
    def layer_parameters(self) -> int:
        """Matrices, the biases of query, key and value, and the norms."""
        biases = self.attention_width + 2 * self.kv_width if self.biased else 0
        return self.layer_matrices + biases + 2 * self.hidden + (2 * self.head_dim if self.head_norms else 0)

    @property
    def projections(self) -> dict[str, tuple[int, int]]:
        """Width in and out of each matrix of a layer, by Hugging Face's name."""
        attention, keys = self.attention_width, self.kv_width
        return {
            "q_proj": (self.hidden, attention), "k_proj": (self.hidden, keys), "v_proj": (self.hidden, keys),
            "o_proj": (attention, self.hidden), "gate_proj": (self.hidden, self.mlp), "up_proj": (self.hidden, self.mlp),
            "down_proj": (self.mlp, self.hidden),
        }  # fmt: skip

    @property
    def output_matrix(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        if self.stored is not None:
            return self.stored
        embeddings = self.output_matrix if self.tied else 2 * self.output_matrix
        return embeddings + self.layers * self.layer_parameters + self.hidden

    def forward_flops(self, length: int) -> float:
        """Of one token, as the mean over a causal sequence of ``length``: two per weight of every matrix, and per layer two
        products (scores, values) of attention's width with half the sequence."""
        matrices = self.layers * self.layer_matrices + self.output_matrix
        return 2.0 * matrices + self.layers * 2 * 2 * self.attention_width * length / 2

    def cache_bytes(self, bytes_per_value: int, tensor_parallel: int) -> int:
        """Keys and values of one token on each GPU of an engine; a GPU holds at least one head."""
        heads = max(1, self.kv_heads // tensor_parallel)
        return 2 * self.layers * heads * self.head_dim * bytes_per_value


def adapter_parameters(shape: ModelShape, adapter: LoraSettings) -> int:
    """Of rank r beside a projection D → O: r (D + O)."""
    widths = (sum(shape.projections[name]) for name in adapter.targets if name in shape.projections)
    return shape.layers * adapter.rank * sum(widths)


def shape_of(model: ModelConfig) -> ModelShape:
    """The shape of the model that a run trains.

    Raises:
        ConfigError: neither a known model nor a folder with the ``config.json`` of a decoder.
    """
    if model.weights == "stand_in":
        return _of_stand_in(model.stand_in)
    if model.pretrained in KNOWN:
        return KNOWN[model.pretrained]
    return _of_folder(Path(model.pretrained))


def _of_stand_in(stand_in: StandIn) -> ModelShape:
    return ModelShape(
        _STAND_IN_VOCABULARY, stand_in.hidden_size, stand_in.layers, stand_in.heads, stand_in.kv_heads,
        stand_in.head_dim, stand_in.mlp, stand_in.context_length, tied=True,
    )  # fmt: skip


def _of_folder(folder: Path) -> ModelShape:
    """Of a family that is not known by name, the sizes are reckoned as Llama's, and the parameters counted in its files."""
    file = folder / "config.json"
    try:
        said = read_object(file)
        family = said["model_type"]
        if not said.keys() >= _NEEDED:
            said |= _by_usual_names(folder)
        heads = said["num_attention_heads"]
        return ModelShape(
            vocabulary=said["vocab_size"],
            hidden=said["hidden_size"],
            layers=said["num_hidden_layers"],
            heads=heads,
            kv_heads=said.get("num_key_value_heads") or heads,
            head_dim=said.get("head_dim") or said["hidden_size"] // heads,
            mlp=said["intermediate_size"],
            context_length=int(said["max_position_embeddings"]),
            tied=said.get("tie_word_embeddings", False),
            biased=family == "qwen2",
            head_norms=family == "qwen3",
            stored=stored_parameters(folder, tied=bool(said.get("tie_word_embeddings", False))),
        )
    except OSError:
        raise ConfigError(
            f"model.pretrained={folder} is neither a folder with a config.json nor one of {', '.join(KNOWN)}"
        ) from None
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise ConfigError(
            f"{file} does not describe a decoder with attention ({error!r}): download the model again, or set model.pretrained to "
            "another"
        ) from None


def _by_usual_names(folder: Path) -> dict[str, Any]:
    """Of a family that has names of its own, as GPT-2's ``n_embd``, or of a model that sees too, what transformers calls the same;
    nothing where it does not read the configuration. Slow to import."""
    from transformers import AutoConfig

    try:
        read = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        config = read.get_text_config()
    except Exception:  # a value of another type makes transformers raise errors of every kind
        return {}
    found = {name: value for name in _USUAL if (value := getattr(config, name, None)) is not None}
    widths = (getattr(config, name, None) for name in _MLP_WIDTHS)
    return found | {"intermediate_size": next(filter(None, widths), None) or 4 * found.get("hidden_size", 0)}


_NEEDED = {
    "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings", "intermediate_size",
}  # fmt: skip
_USUAL = (*sorted(_NEEDED - {"intermediate_size"}), "num_key_value_heads", "head_dim", "tie_word_embeddings")
_MLP_WIDTHS = ("intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner")


def stored_parameters(folder: Path, *, tied: bool) -> int | None:
    """Values of all tensors in the folder's weights, by their headers: what a mixture of experts has beside what its sizes say.
    ``tied``: an output matrix there is the embedding again. None: there are no weights, or none that can be read, and whoever reads
    them says so."""
    from safetensors import SafetensorError

    try:
        tensors = {name: size for file in weight_files(folder) for name, size in _sizes(file)}
    except (OSError, ValueError, KeyError, SafetensorError):
        return None
    return sum(math.prod(size) for name, size in tensors.items() if not (tied and name == "lm_head.weight")) or None


def _sizes(file: Path) -> Iterator[tuple[str, list[int]]]:
    """Name and size of each tensor of a safetensors file, of which the header alone is read."""
    from safetensors import safe_open

    with safe_open(file, framework="np") as opened:
        yield from ((name, opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118  it is no mapping


KNOWN = {
    "Qwen/Qwen2.5-0.5B-Instruct": ModelShape(151936, 896, 24, 14, 2, 64, 4864, 32768, tied=True),
    "Qwen/Qwen2.5-1.5B-Instruct": ModelShape(151936, 1536, 28, 12, 2, 128, 8960, 32768, tied=True),
    "Qwen/Qwen2.5-3B-Instruct": ModelShape(151936, 2048, 36, 16, 2, 128, 11008, 32768, tied=True),
    "Qwen/Qwen2.5-7B-Instruct": ModelShape(152064, 3584, 28, 28, 4, 128, 18944, 32768, tied=False),
    "Qwen/Qwen2.5-32B-Instruct": ModelShape(152064, 5120, 64, 40, 8, 128, 27648, 32768, tied=False),
    "Qwen/Qwen3-0.6B": ModelShape(151936, 1024, 28, 16, 8, 128, 3072, 40960, tied=True, biased=False, head_norms=True),
    "Qwen/Qwen3-1.7B": ModelShape(151936, 2048, 28, 16, 8, 128, 6144, 40960, tied=True, biased=False, head_norms=True),
    "Qwen/Qwen3-4B": ModelShape(151936, 2560, 36, 32, 8, 128, 9728, 40960, tied=True, biased=False, head_norms=True),
    "meta-llama/Llama-3.1-8B-Instruct": ModelShape(
        128256, 4096, 32, 32, 8, 128, 14336, 131072, tied=False, biased=False
    ),
    "meta-llama/Llama-3.2-1B-Instruct": ModelShape(128256, 2048, 16, 32, 8, 64, 8192, 131072, tied=True, biased=False),
    "HuggingFaceTB/SmolLM2-135M-Instruct": ModelShape(49152, 576, 30, 9, 3, 64, 1536, 8192, tied=True, biased=False),
}


def called(repository: str) -> str:
    """What ``model.name`` calls a known model: qwen2.5-1.5b for Qwen/Qwen2.5-1.5B-Instruct."""
    return repository.rpartition("/")[2].lower().removesuffix("-instruct")


def known_as(name: str) -> ModelShape | None:
    """The shape of the model that ``model.name`` calls so; None: it is none of those known."""
    return next((shape for repository, shape in KNOWN.items() if called(repository) == name), None)
