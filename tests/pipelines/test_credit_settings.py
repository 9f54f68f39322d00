"""Settings of estimators and modulators in a configuration: from their own dataclasses, so that a new one needs no line."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest
from pydantic import TypeAdapter, ValidationError

from empg.credit import AEM, EMPG, GRPO, RLOO, Column, Settings, declared_columns
from empg.credit.settings import number, positive
from flows.configure.compose import CONF, compose, compose_all
from pipelines.config import AlgorithmConfig, ExperimentConfig
from pipelines.config.credit import EstimatorSettings, choice_of, section_of
from pipelines.config.views import AdvantageView
from pipelines.errors import ConfigError
from pipelines.run_info import RunInfo
from pipelines.stages.advantage import score_trajectories
from tests.pipelines.played import step, trajectory, won


@dataclass(frozen=True)
class Fancy(Settings):
    """An estimator that nobody has written yet."""

    columns: ClassVar[tuple[Column, ...]] = (Column("A_S", "step advantage"),)
    gamma: float = number(0.95, gt=0, le=1)
    window: int = number(2, ge=1)
    scale: Literal["std", "none"] = "std"
    pooled: bool = False


@dataclass(frozen=True)
class Plain(Settings):
    columns: ClassVar[tuple[Column, ...]] = ()
    eps: float = positive(1e-6)


SECTIONS = [
    section_of(method, EstimatorSettings, name=(Literal[name], name)) for name, method in (("fancy", Fancy), ("plain", Plain))
]  # fmt: skip


def chosen(**values: Any) -> EstimatorSettings:
    return TypeAdapter(choice_of(SECTIONS, "name")).validate_python(values)


def test_a_section_is_its_dataclass() -> None:
    assert chosen(name="fancy").values() == {
        "name": "fancy", "gamma": 0.95, "window": 2, "scale": "std", "pooled": False,
    }  # fmt: skip
    assert chosen(name="fancy", gamma=1, window=3, scale="none", pooled=True).make() == Fancy(1.0, 3, "none", True)
    assert chosen(name="plain").make() == Plain()


@pytest.mark.parametrize(
    ("values", "place", "message"),
    [
        ({"name": "fancy", "gamma": 0}, ("fancy", "gamma"), "greater than 0"),
        ({"name": "fancy", "gamma": float("nan")}, ("fancy", "gamma"), "finite|greater"),
        ({"name": "fancy", "gamma": True}, ("fancy", "gamma"), "not true or false"),
        ({"name": "fancy", "window": 0}, ("fancy", "window"), "greater than or equal to 1"),
        ({"name": "fancy", "window": 1.5}, ("fancy", "window"), "integer"),
        ({"name": "fancy", "scale": "half"}, ("fancy", "scale"), "'std' or 'none'"),
        ({"name": "plain", "gamma": 1}, ("plain", "gamma"), "not permitted"),
        ({"name": "other"}, (), "'fancy', 'plain'"),
    ],
)
def test_a_wrong_setting_is_reported_of_the_chosen_one_alone(
    values: dict[str, Any], place: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValidationError, match=message) as caught:
        chosen(**values)
    (problem,) = caught.value.errors()
    assert problem["loc"] == place


def test_one_section_alone_is_chosen_without_its_name() -> None:
    adapter = TypeAdapter(choice_of(SECTIONS[1:], "name"))
    assert adapter.validate_python({"eps": 0.5}).make() == Plain(0.5)


def test_a_configuration_makes_its_methods_and_travels_to_other_processes() -> None:
    experiment = compose(["algorithm=rloo", "empg=gradient_scaling", "empg.k=0.5"]).experiment
    assert experiment.algorithm.estimator.make() == RLOO()
    assert experiment.empg.make() == EMPG(arm="gradient_scaling", k=0.5)
    assert pickle.loads(pickle.dumps(experiment)) == experiment
    assert ExperimentConfig.model_validate(experiment.values()) == experiment
    assert [column.name for column in AdvantageView.of(experiment).columns] == ["A", "H", "H_norm", "g", "f", "A_mod"]
    assert AlgorithmConfig(name="mine").estimator.make() == GRPO()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("algorithm.estimator.eps=0", r"algorithm.estimator.eps = 0"),
        ("+algorithm.estimator.gamma=1", r"algorithm.estimator.gamma .*algorithm=gigpo"),
        ("empg.arm=aem", r"empg.arm=aem: .*empg=aem"),
        ("empg.arm=half", r"empg.arm = 'half'.*'aem'"),
        ("+algorithm.loss_length=9", r"algorithm.*loss_length=9 .*algorithm.aggregation=constant-length"),
        ("algorithm.estimator.name=fancy", r"algorithm.estimator.name = 'fancy'.*'grpo', 'dr_grpo', 'rloo'"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose([override])


@pytest.mark.parametrize(
    ("overrides", "length"),
    [
        (["scale=laptop"], 20 * 32),  # a growing sequence has all steps of an episode
        (["scale=paper"], 512),  # a sequence for each step
        (["scale=paper", "algorithm.loss_length=4096"], 4096),
    ],
)
def test_dr_grpo_divides_by_what_a_sequence_may_have(overrides: list[str], length: int) -> None:
    settings = compose(["benchmark=alfworld", "algorithm=dr_grpo", *overrides]).experiment.update_settings()
    assert (settings.aggregation, settings.loss_length) == ("constant-length", length)


def test_a_length_that_is_not_chosen_is_no_part_of_what_a_run_is() -> None:
    """Runs of before the setting are the same runs."""
    experiment = compose(["algorithm=grpo"]).experiment
    assert "loss_length" not in experiment.values()["algorithm"] | experiment.update_settings().model_dump()


def test_every_algorithm_goes_with_every_modulator() -> None:
    """The YAML's values are the method's defaults, and what it gives is what the tables of a run hold."""
    steps = [
        step(action="look", state_before="s", state_after="s", squared_score=0.5),
        step(action="take", state_before="s", state_after="t", squared_score=0.25),
    ]
    algorithms = sorted(path.stem for path in (CONF / "algorithm").glob("*.yaml"))
    cells = [[f"algorithm={algorithm}", f"empg={arm}"] for algorithm in algorithms for arm in ("full", "aem")]
    for config in compose_all(cells):
        experiment = config.experiment
        estimator, modulator = experiment.algorithm.estimator.make(), experiment.empg.make()
        assert estimator == type(estimator)()
        (scored, _) = score_trajectories([won(0, 0, steps), trajectory(0, 1, steps[:1])], estimator, modulator)
        assert [*scored.columns] == [column.name for column in declared_columns(estimator, modulator)]
        assert len(scored.final) == 2


def test_a_method_that_needs_what_the_policy_does_not_record_is_refused() -> None:
    compose(["algorithm=otb"]).experiment.check_possible()
    with pytest.raises(ConfigError, match=r"algorithm.estimator.name=otb needs squared_score_N .*policy=scripted"):
        compose(["algorithm=otb", "policy=scripted"]).experiment.check_runnable()


def test_deep_search_has_the_papers_zeta_and_aem_has_none() -> None:
    assert compose(["benchmark=deepsearch"]).experiment.empg.values()["zeta"] == 0.1
    assert compose(["benchmark=deepsearch", "scale=paper", "empg=off"]).experiment.empg.values()["zeta"] == 0.1
    assert compose(["benchmark=deepsearch", "empg=aem"]).experiment.empg.make() == AEM()


def info(algorithm: dict[str, Any]) -> RunInfo:
    config = compose([]).experiment.values() | {"algorithm": algorithm}
    return RunInfo(
        cell="c", seed=0, fingerprint="f", panel_sha256="p", panel_size=1, stand_in=True, config=config, commit="c", versions={},
        measures={"success": "success"}, averages={}, remarks=[], absent={},
    )  # fmt: skip


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_a_run_that_an_earlier_commit_recorded_has_todays_keys(name: str) -> None:
    """So that its deviations and its cell are those of a run of today."""
    algorithm = compose([f"algorithm={name}"]).experiment.values()["algorithm"]
    former = {key: value for key, value in algorithm.items() if key != "estimator"}
    former |= {"baseline": name, "advantage_eps": 1e-6}
    assert info(former).config["algorithm"] == algorithm
    assert info(algorithm).config["algorithm"] == algorithm
