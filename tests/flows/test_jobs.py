"""The runs of a launch: each once, told apart by short names, started in an order that leaves no core waiting."""

from __future__ import annotations

import pytest

from flows.configure.compose import compose_all, expand
from flows.launch.jobs import Job, in_order, make_jobs, names
from pipelines.run_folder import run_folder


def jobs_of(*overrides: str) -> list[Job]:
    combinations = expand(overrides)
    return make_jobs(combinations, compose_all(combinations))


def test_one_run_asked_for_by_two_names_is_launched_once() -> None:
    same = "table1/alfworld_1.5b_grpo_full", "table5/alfworld_1.5b_grpo_zeta0.05_k1.0"
    jobs = jobs_of(f"+experiment={','.join(same)},table5/alfworld_1.5b_grpo_zeta0.1_k1.0", "seed=0,1")
    assert len(jobs) == 4
    assert [job.cells for job in jobs if job.config.experiment.empg.zeta == 0.05] == [same, same]
    assert [run_folder(job.config) for job in jobs] == [job.folder for job in jobs]


def test_a_job_has_what_it_is_and_not_how_it_is_launched() -> None:
    (job,) = jobs_of("seed=3", "hydra/launcher=basic", "empg=off", "++hydra.verbose=true")
    assert job.overrides == ("seed=3", "empg=off")


def test_names_say_what_differs() -> None:
    assert names(jobs_of("algorithm=grpo,dapo", "seed=0,1")) == ["grpo seed0", "grpo seed1", "dapo seed0", "dapo seed1"]


def test_cells_are_called_by_their_names() -> None:
    assert names(jobs_of("+experiment=table1/webshop_7b_rloo,table2/deepsearch_32b_dapo_off", "seed=0,1"))[:3] == [
        "table1/webshop_7b_rloo seed0",
        "table1/webshop_7b_rloo seed1",
        "table2/deepsearch_32b_dapo_off seed0",
    ]


def test_names_stay_unique() -> None:
    for choice in ([], ["+experiment=table1/webshop_7b_rloo"]):
        jobs = jobs_of("training.learning_rate=1e-3,2e-3", *choice)
        assert names(jobs) == [f"{job.folder.parent.name} seed0" for job in jobs]


def test_each_warm_start_is_begun_before_one_is_waited_for() -> None:
    """Of a run each: 32B on Deep Search, 7B on ALFWorld, 7B on WebShop, then what shares data with one of them."""
    cells = [f"table1/{benchmark}_{model}_{arm}" for benchmark in ("alfworld", "webshop") for model in ("1.5b", "7b")
             for arm in ("grpo_off", "prompting")]  # fmt: skip
    ordered = in_order(jobs_of(f"+experiment={','.join(cells)},table2/deepsearch_32b_dapo_full", "seed=0,1"))
    told = [(job.config.experiment.benchmark.name, job.config.experiment.model.name) for job in ordered]
    assert set(told[:3]) == {("deepsearch", "qwen2.5-32b"), ("alfworld", "qwen2.5-7b"), ("webshop", "qwen2.5-7b")}
    assert told[3:5] == [("alfworld", "qwen2.5-1.5b"), ("webshop", "qwen2.5-1.5b")]
    assert len({job.shared.key for job in ordered[:5]}) == 5 == len({job.shared.key for job in ordered})
    rest = [job.seconds + job.shared.seconds for job in ordered[5:]]
    assert rest == sorted(rest, reverse=True)


def test_a_pretrained_models_warm_start_is_counted_once() -> None:
    """As the plan has it, and apart from what each run does by itself."""
    (job,) = jobs_of("scale=single", "model=smollm2_135m", "policy.device=cpu")
    planned = job.config.experiment.policy.plan(job.config.experiment)
    assert planned is not None
    assert job.shared.seconds == planned.warm_start_seconds > 0
    assert job.seconds + job.shared.seconds == pytest.approx(3.0 + planned.seconds)


def test_what_is_trained_the_same_shares_a_warm_start() -> None:
    one, other, arm, model, noise = (
        job.shared.key
        for overrides in (
            ["seed=0"], ["seed=1", "benchmark.evaluation_split=valid_seen"], ["empg=off", "algorithm=dapo"],
            ["model=qwen2.5_7b"], ["warm_start.noise=0.1"],
        )
        for job in jobs_of(*overrides)
    )  # fmt: skip
    assert one == other == arm
    assert len({one, model, noise}) == 3
    assert [job.shared.key for job in jobs_of("warm_start=null")] == [""]
