"""``plan=true``: a readable table for every cell, an exit code, nothing started and nothing heavy imported."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from flows.__main__ import main
from tests.flows.test_command_line import run

MODELS = ("qwen2.5_1.5b", "qwen2.5_7b", "qwen2.5_32b")
ALGORITHMS = ("grpo", "dapo", "rloo", "dr_grpo")
ARMS = ("off", "full")  # no arm needs more memory or time than another


@pytest.mark.parametrize("benchmark", ["alfworld", "webshop", "deepsearch"])
@pytest.mark.parametrize("model", MODELS)
def test_all_cells_of_the_paper_are_planned(benchmark: str, model: str, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = [f"algorithm={','.join(ALGORITHMS)}", f"empg={','.join(ARMS)}"]
    assert main(["-m", "scale=paper", f"benchmark={benchmark}", f"model={model}", *sweep, "plan=true"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    name = model.replace("_", "-")
    cells = {f"paper-{benchmark}-{name}-{algorithm}-{arm}  seed 0" for algorithm in ALGORITHMS for arm in ARMS}
    assert cells <= set(told.out.splitlines())
    assert told.out.count("  fits ") == len(cells)


TABLE = """\
paper-alfworld-qwen2.5-7b-dapo-full  seeds 0, 1
  stages        setup · 150 × (rollout · advantage · update) · 31 evaluations
  iteration     16 tasks × 8 = 128 episodes, 248 played; at most 6,400 sequences of 2,560 tokens
                planned: 7.83M tokens, 1.28M of them sampled (at most 16.4M); micro-batches of 16,384
  cluster       1 node × 8 A100-80GB, colocated: 4 vLLM engines of tensor parallel 2, 60% of a GPU
                trainer on 8 ranks in bfloat16: ZeRO-3, activations checkpointed, packed, logits in chunks of 1,024
  GiB per GPU                     generation    training    exchange        step
                weights                  1.8         1.8         1.8         1.8
                gradients                  ·         3.5         3.5         3.5
                optimizer                  ·        10.6        10.6        10.6
                reference                1.8         1.8         1.8         1.8
                vLLM asleep                ·         2.0         2.0         2.0
                processes                1.0         1.0         1.0         1.0
                flat gradients             ·           ·           ·         3.5
                gathered layers            ·         1.4         1.4           ·
                activations                ·         6.5         6.1           ·
                gradient bucket            ·         0.9         0.9           ·
                exchanged                  ·           ·         1.2           ·
                logits                     ·         2.5           ·           ·
                vLLM weights             7.1           ·           ·           ·
                vLLM workspace           2.0           ·           ·           ·
                KV cache                38.4           ·           ·           ·
                sum                     52.1        32.1        30.4        24.3   of 73.7: 7% of 79.2 is headroom
  GiB per node  113 of 512: asleep 113
"""


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """The figures are those of tests/planning, rounded."""
    assert main(["-m", "scale=paper", "model=qwen2.5_7b", "algorithm=dapo", "seed=0,1", "plan=true"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(TABLE)
    assert "assumed: matrix products reach 40% of a GPU's tflops" in said
    assert "7% of a GPU's memory kept free for fragmentation" in said
    assert "20 GB/s between a GPU and its host" in said
    assert "Nothing was measured." in said


def test_hours_of_a_run_and_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    """150 iterations of 245.86 + 2 · 112.88 + 451.50 s (tests/planning/test_speed.py) and 31 evaluations of 245.86: 40.58 h
    of 8 GPUs."""
    assert main(["-m", "scale=paper", "model=qwen2.5_7b", "seed=0,1,2", "empg=off,full", "plan=true"]) == 0
    said = capsys.readouterr().out
    assert said.count("evaluations of 246 s: 40.6 h a run, 121.7 h for 3 seeds\n") == 2
    assert "\nin total: 6 runs, 243.5 h one after the other, 1,948 GPU-hours\n" in said
    assert main(["scale=paper", "model=qwen2.5_7b", "plan=true"]) == 0
    said = capsys.readouterr().out
    assert "evaluations of 246 s: 40.6 h\n" in said
    assert "in total" not in said


def test_what_offloading_costs_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["policy.cluster.offload=optimizer", "training.minibatch_size=250"]
    assert main(["scale=paper", "model=qwen2.5_7b", *arguments, "plan=true"]) == 0
    said = capsys.readouterr().out
    assert "min an iteration (73 s of it for what is offloaded)" in said  # see tests/planning/test_speed.py
    assert "  GiB per node  199 of 512: gradients 57 · optimizer 85 · asleep 57\n" in said
    assert "  remark        a mini-batch of 246 or 247 sequences does not divide evenly among 8 ranks: " in said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["policy=vllm"], "policy=vllm only generates, and training.iterations=24 trains: set training.iterations=0"),
        (
            ["scale=paper", "policy=scripted"],
            "model.weights=pretrained (Qwen/Qwen2.5-1.5B-Instruct) needs a policy that",
        ),
    ],
)
def test_what_cannot_run_is_reported_as_the_launch_reports_it(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "plan=true"]) == 1
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert "-grpo-full cannot run: " + reason in line
    assert f"  cannot run    {reason}" in told.out
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {reason}")


def test_an_evaluation_with_vllm_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy=vllm", "training.iterations=0", "plan=true"]) == 0
    assert capsys.readouterr().err == ""


def test_one_that_cannot_fit_is_reported_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "scale=paper", "policy.cluster.gpu.memory_gib=79.2,10", "plan=true"]) == 1
    told = capsys.readouterr()
    assert "  fits " in told.out
    assert "  does not fit  " in told.out
    (line,) = told.err.splitlines()
    assert line.startswith("error: paper-alfworld-qwen2.5-1.5b-grpo-full does not fit: ")


def test_a_policy_without_a_cluster_needs_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan=true"]) == 0
    assert "cluster       none: policy=local is one process on this machine" in capsys.readouterr().out


def test_it_starts_nothing_and_imports_nothing_heavy(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run("scale=paper", "model=qwen2.5_32b", "benchmark=deepsearch", "plan=true", cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "heavy: []\n"
    assert "4 nodes × 8 A100-80GB" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 3.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["scale=paper"],
            "error: paper-qwen2.5-1.5b needs 4 GPUs",
        ),
        (
            ["scale=paper", "policy.cluster.gpu.memory_gib=8"],
            "error: paper-alfworld-qwen2.5-1.5b-grpo-full does not fit: ",
        ),
        (
            ["scale=paper", "model.pretrained=nowhere", "plan=true"],
            "error: model.pretrained=nowhere ",
        ),
        (["plan=perhaps"], "error: plan = 'perhaps': "),
    ],
)
def test_a_launch_that_cannot_be_is_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("pipelines.policies.openrlhf.planning.machine.visible_gpus", list)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)
