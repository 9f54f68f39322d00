"""The page: groups and their options, what a scale sets, then every setting section by section."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from flows.configure.compose import composer
from flows.reference.leaves import Leaf, about, leaves, markdown
from flows.reference.parts import Part, parts
from flows.reference.values import commented, options, shown, values
from pipelines.registry import benchmark_names

COLUMNS = ("setting", "type", "default", "meaning")
SCALES = ("laptop", "single", "paper", "smoke")
GROUPS = {
    "benchmark": "the world that the agent acts in",
    "data": "that benchmark's tasks: made here, its own files, or a dozen for a quick look",
    "model": "the model, and the stand-in that takes its place at laptop scale",
    "policy": "what generates and what trains",
    "algorithm": "how rewards become advantages and advantages an update",
    "empg": "what modulates the advantages: EMPG, its parts, AEM, or nothing",
    "training/adapter": "what is trained in place of the model's own weights: `training.adapter=lora`",
    "scale": "sizes; it may set anything ([what each sets](#what-a-scale-sets))",
    "tracker": "where a run is logged: `tracker=[mlflow,tensorboard]`, or `[]`",
    "cluster": "machines of `policy=openrlhf`: `cluster@policy.cluster=one_gpu_24gb`",
    "cluster/gpu": "the GPU that a plan reckons with: `+cluster/gpu@policy.gpu=h200`",
    "hydra/launcher": "what starts the runs of `-m`",
}
RUN = (
    (
        "`seed`",
        "whole number ≥ 0",
        "`0`",
        "of all that is drawn: tasks, actions, mini-batches. Panels are the same for every seed",
    ),
    ("`plan`", "true or false", "`false`", "start nothing: say what the run would need, and whether that fits"),
    (
        "`shared.zeta`",
        "number ≥ 0",
        "`0.05`",
        "what `empg.zeta` is unless it is said, so that a scale can set it for every arm",
    ),
)
HEAD = """# All settings

<!-- Made by `python -m flows.reference > docs/reference/settings.md`; do not edit. -->

Every setting is written `key=value` on the command line, as `training.iterations=5`; `python -m flows --cfg job` prints the
values that a command line comes to. *Default* is what `python -m flows` sets with what the heading chooses and nothing else, so
laptop's value where scales differ. *Free* settings are part of no run's identity: a run may go on with another value.
[How the configuration works](../configuration.md).

## Groups

A group replaces a whole section: `algorithm=dapo`.
"""
SCALE_HEAD = """## What a scale sets

`scale=…`, for ALFWorld; where another benchmark has another value, it stands below. Scales choose `data` and `policy` too: laptop
`generated` and `local`, single `generated` and `local_pretrained`, paper `real` and `openrlhf`, smoke `dozen` and `local`. What is
not in the table is the same at all of them. `make real` has a scale of its own, `conf/scale/real.yaml`. Why laptop's values differ
from the paper's is said beside each in `conf/scale/laptop.yaml`.
"""


def page() -> str:
    """Markdown. Raises ConfigError: ``conf/`` is wrong."""
    with composer():
        blocks = [HEAD + "\n" + _table(("group", "options", "chooses"), _groups())]
        blocks.append(SCALE_HEAD + "\n" + _table(("setting", *SCALES), _scales()))
        blocks.append("## Run\n\n" + _table(COLUMNS, RUN))
        blocks += [_part(part) for part in parts()]
        blocks += ["## Launchers\n\nOf `-m`, by `hydra/launcher=…`.", *_launchers()]
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def _groups() -> Iterator[Sequence[str]]:
    for group, chooses in GROUPS.items():
        yield f"`{group}`", " · ".join(f"`{option}`" for option in options(group)), chooses


def _scales() -> Iterator[Sequence[str]]:
    """Rows of the settings that differ between scales: of every benchmark where it departs from the first."""
    first, *others = benchmark_names()
    set_ = {
        scale: {name: values(f"scale={scale}", f"benchmark={name}") for name in (first, *others)} for scale in SCALES
    }
    for key in _by_section(key for scale in SCALES for key in set_[scale][first]):
        if key.startswith(("execution.", "hydra.", "data.", "policy.")) or key in ("scale", "plan"):
            continue  # those of groups that a scale chooses have tables of their own
        cells = [_of_benchmarks(key, set_[scale], first) for scale in SCALES]
        if len(set(cells)) > 1:
            yield f"`{key}`", *cells


def _by_section(keys: Iterable[str]) -> list[str]:
    """Each once: sections in their order, and in each the section itself before its values."""
    once = list(dict.fromkeys(keys))
    order = list(dict.fromkeys(key.partition(".")[0] for key in once))
    return sorted(once, key=lambda key: (order.index(key.partition(".")[0]), "." in key))


def _of_benchmarks(key: str, set_: Mapping[str, Mapping[str, Any]], first: str) -> str:
    """ALFWorld's value, and those of the benchmarks that have another."""
    usual = shown(set_[first].get(key))
    others = {name: shown(found[key]) for name, found in set_.items() if key in found and shown(found[key]) != usual}
    return "<br>".join(
        [f"`{usual}`" if key in set_[first] else "–", *(f"{name} `{value}`" for name, value in others.items())]
    )


def _part(part: Part) -> str:
    rows = [_row(leaf, part) for leaf in leaves(part.section, part.prefix)]
    lead = ". ".join(filter(None, (_formula(part), about(part.section))))
    blocks = [f"## {part.title}", f"{lead}." if lead else "", _table(COLUMNS, rows) if rows else ""]
    return "\n\n".join(filter(None, blocks))


def _formula(part: Part) -> str:
    """Of an estimator or a modulator: what its file begins with."""
    method = getattr(part.section, "method", None)
    text = (sys.modules[method.__module__].__doc__ or "").partition("\n\n")[0] if method else ""
    return markdown(" ".join(text.split()))


def _row(leaf: Leaf, part: Part) -> Sequence[str]:
    """Raises LookupError: nothing says what a setting means."""
    default = values(*part.overrides).get(leaf.key, leaf.default)
    if not leaf.meaning:
        raise LookupError(
            f"{leaf.key}: the docstring of {part.section.__name__}, or of a section inside of it, does not say what it means"
        )
    free = f" *Free* ({leaf.free})" if leaf.free else ""
    return f"`{leaf.key}`", leaf.type, "" if default is ... else f"`{shown(default)}`", leaf.meaning + free


def _launchers() -> Iterator[str]:
    for name in options("hydra/launcher"):
        file = f"hydra/launcher/{name}.yaml"
        rows = ((f"`hydra.launcher.{key}`", f"`{value}`", said) for key, value, said in commented(file))
        yield f"### hydra/launcher={name}\n\n" + _table(("setting", "default", "meaning"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
