"""``python -m flows.evaluate``: play a panel with a model that is there already, and report by task type. Trains nothing.

  python -m flows.evaluate checkpoint=<folder> [benchmark=<name>] [panel=<split>] [samples=<k>] [key=value …]

checkpoint  a finished run (runs/<cell>/seed0): evaluated as it was trained, with the run's own settings;
            or any Hugging Face folder, which needs a benchmark (a checkpoint of the artifact store holds one).
benchmark   what it shall play: an option of conf/benchmark.
panel       a split of it: what benchmark.evaluation_split may be. Default: the scale's, or the run's.
samples     how often each task is played, with different dice: pass@k and avg@k, with intervals over tasks. Default: once. What
            was played before is found, in blocks of 1, 1, 2, 4 … samples: samples=8 after samples=4 plays four more.
key=value   whatever python -m flows takes, e.g. evaluation.games=32 evaluation.temperature=0 seed=1 data=real. For a run:
            its values one by one, and policy=…
out         folder of the report; default: evaluations/<checkpoint>-<panel>-<settings>
plan=true   says what it would need and whether that fits, and plays nothing (of policy=vllm nothing is reckoned)

Our stand-ins are played with policy=local scale=laptop, other models with scale=paper (prompts with instructions, real data) and
policy=vllm where vLLM is installed, unless the command chooses otherwise. policy=local reads every causal language model of
transformers.

  python -m flows.evaluate checkpoint=runs/laptop-alfworld-qwen2.5-1.5b-grpo-full-5aed7f/seed0 panel=valid_seen
  python -m flows.evaluate checkpoint=Qwen2.5-1.5B-Instruct benchmark=webshop data=generated samples=8
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from flows.configure.checkpoints import Checkpoint, find_checkpoint
from flows.configure.compose import compose, validated
from flows.configure.explain import explain, known, options
from flows.exits import exit_code, leave, shows_help
from flows.launch.folders import check_folder
from flows.launch.planning import show_plans
from pipelines.config import RunConfig
from pipelines.errors import ConfigError
from pipelines.machine import check_limits
from pipelines.registry import benchmark_spec, policy_specs

EVALUATIONS_FOLDER = Path("evaluations")
_OWN = ("checkpoint", "panel", "samples", "out")
_SHORT = {"panel": "benchmark.evaluation_split", "samples": "evaluation.samples"}
# Defaults, as conf/config.yaml has them for what is trained.
_OF_STAND_INS = {"scale": "laptop", "policy": "local"}
_OF_OTHERS = {"scale": "paper", "policy": "vllm" if find_spec("vllm") else "local"}
_OF_THE_RUN = ("benchmark", "data", "model", "scale", "algorithm", "empg")


@dataclass(frozen=True)
class Asked:
    """The command line: its own options, and the overrides that go on to the configuration."""

    checkpoint: Path
    out: Path | None
    overrides: tuple[str, ...]

    def sets(self, key: str) -> bool:
        return any(override.lstrip("+").partition("=")[0] == key for override in self.overrides)

    def value(self, key: str, default: str) -> str:
        values = [o.partition("=")[2] for o in self.overrides if o.partition("=")[0] == key]
        return values[-1] if values else default


@exit_code
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if shows_help(arguments, __doc__):
        return 0
    asked = parse(arguments)
    checkpoint = find_checkpoint(asked.checkpoint, Path(asked.value("execution.artifacts", "artifacts")))
    try:
        config = configure(asked, checkpoint)
        if config.plan:
            return show_plans([config])
        _check(config, asked.out)
    except ConfigError as error:
        message = str(error)
        for name, key in _SHORT.items():
            message = message.replace(key, name)
        raise ConfigError(message) from None
    check_limits()
    _evaluate(config, checkpoint, asked.out)
    return 0


def parse(arguments: Sequence[str]) -> Asked:
    """Raises ConfigError: no checkpoint, or an argument that is no key=value."""
    for argument in arguments:
        if "=" not in argument or argument.startswith("-"):
            raise ConfigError(f"cannot read {argument}: write key=value; see python -m flows.evaluate --help")
    own = dict(argument.split("=", 1) for argument in arguments if argument.partition("=")[0] in _OWN)
    if not own.get("checkpoint"):
        meant = next((a for a in arguments if get_close_matches(a.partition("=")[0], ["checkpoint"])), "")
        hint = f" ({meant}?)" if meant else ""
        raise ConfigError(f"checkpoint=<folder> is missing{hint}; see python -m flows.evaluate --help")
    rest = [argument for argument in arguments if argument.partition("=")[0] not in _OWN]
    rest += [f"{key}={own[name]}" for name, key in _SHORT.items() if name in own]
    return Asked(Path(own["checkpoint"]), Path(own["out"]) if "out" in own else None, tuple(rest))


def configure(asked: Asked, checkpoint: Checkpoint) -> RunConfig:
    """The run that evaluates the checkpoint and trains nothing.

    Raises:
        ConfigError: a value is wrong or missing.
    """
    base = _of_folder(asked, checkpoint) if checkpoint.params is None else _of_run(asked, checkpoint.params)
    experiment = base.experiment
    model = experiment.model.model_copy(
        update={"name": checkpoint.name, "pretrained": str(checkpoint.model), "weights": "pretrained"}
    )
    training = experiment.training.model_copy(update={"iterations": 0})
    evaluating = experiment.model_copy(update={"model": model, "training": training, "warm_start": None})
    return base.model_copy(update={"experiment": evaluating})


def _of_folder(asked: Asked, checkpoint: Checkpoint) -> RunConfig:
    if not asked.sets("benchmark"):
        names = ", ".join(f"benchmark={name}" for name in options("benchmark"))
        raise ConfigError(f"{checkpoint.model} does not say what it shall play: add one of {names}")
    usual = _OF_STAND_INS if checkpoint.is_stand_in else _OF_OTHERS
    return compose([*(f"{key}={value}" for key, value in usual.items() if not asked.sets(key)), *asked.overrides])


def _of_run(asked: Asked, params: Mapping[str, Any]) -> RunConfig:
    """The run's own values, with the command's overrides laid over them."""
    import yaml
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    from flows.configure.cells import CONF

    overrides = asked.overrides
    if params["policy"]["name"] not in _evaluators() and not asked.sets("policy"):
        overrides = (f"policy={_OF_OTHERS['policy']}", *overrides)
    own = {  # what the model that is played has in it
        "training": {**params["training"], "adapter": None},
        "model": {**params["model"], "template": None},
    }
    plain = OmegaConf.create({**params, **own, "execution": {}})
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except Exception as error:
        raise ConfigError(explain(error)) from None
    for override in parsed:
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line}: one evaluation has one value; give one")
        key, value = override.key_or_group, override.value()
        if key == "benchmark" and value == params["benchmark"]["name"]:
            continue
        if key in _OF_THE_RUN:
            raise ConfigError(
                f"{override.input_line}: a run has its own {key}; set its values one by one ({key}.…=…), or evaluate its model "
                "folder instead"
            )
        if key == "policy":
            if value not in _evaluators():
                raise ConfigError(f"policy={value} evaluates no run{known(_evaluators())}")
            plain.policy = yaml.safe_load((CONF / "policy" / f"{value}.yaml").read_text("utf-8"))
        else:
            OmegaConf.update(plain, key, value)
    values = OmegaConf.to_container(plain, resolve=True)
    assert isinstance(values, dict)
    return validated({str(key): value for key, value in values.items()}, asked.overrides)


def _check(config: RunConfig, out: Path | None) -> None:
    """Before anything heavy is imported. Raises ConfigError, DataError."""
    experiment = config.experiment
    policy = experiment.policy
    if policy.name not in _evaluators():
        raise ConfigError(f"policy={policy.name} evaluates no model{known(_evaluators())}")
    experiment.check_runnable()
    experiment.check_fits()
    experiment.check_machine()
    benchmark_spec(experiment.benchmark.name).build(experiment.benchmark, experiment.data).check()
    check_folder("execution.artifacts", config.execution.artifacts)
    check_folder("out", out or EVALUATIONS_FOLDER)


def _evaluators() -> list[str]:
    return [spec.name for spec in policy_specs() if spec.config.evaluates]


def _evaluate(config: RunConfig, checkpoint: Checkpoint, out: Path | None) -> None:
    """Play and report, with the stages of a run: what was played before is found in the store."""
    from flows.launch.libraries import calm_libraries
    from flows.windows.terminal import Bar

    calm_libraries()
    import pyarrow as pa
    import pyarrow.parquet as pq

    from flows.evaluation_report import report
    from pipelines.artifacts import full_disk_is_readable, held_if_stored
    from pipelines.experiment import evaluate_model
    from pipelines.schemas import ANSWERS, EVALUATIONS
    from pipelines.stages.merged import merged

    start, split = time.monotonic(), config.experiment.benchmark.evaluation_split
    bar = Bar(f"{checkpoint.name} on {split}", shown=config.execution.progress)

    def progress(what: str, done: float) -> None:
        """The bar counts what is played; what comes before is its text."""
        bar.share(done if what == "playing" else 0.0, what if what == "playing" else f"{what} {done:.0%}")

    try:
        with held_if_stored(checkpoint.adapted or checkpoint.model.parent):
            if checkpoint.adapted is not None:
                model = config.experiment.model.model_copy(update={"pretrained": str(merged(checkpoint.adapted))})
                experiment = config.experiment.model_copy(update={"model": model})
                config = config.model_copy(update={"experiment": experiment})
            played, info = evaluate_model(config, progress)
        bar.finish()
        folder = out or EVALUATIONS_FOLDER / f"{checkpoint.name}-{split}-{played.whole.fingerprint[:6]}"
        with full_disk_is_readable(folder):
            answers = pa.concat_tables([pq.read_table(part.path(ANSWERS.file)) for part in played.parts])
            report(folder, pq.read_table(played.whole.path(EVALUATIONS.file)), answers, info)
    finally:
        bar.close()
    print(
        f"written: {folder}/report.md, .html, .csv, evaluations.parquet, answers.parquet  ({time.monotonic() - start:.0f} s)"
    )


if __name__ == "__main__":
    leave(main())
