"""``python -m flows.evaluate``: a run and a folder are played as they were trained, and reported by task type."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from flows.configure.checkpoints import Checkpoint
from flows.configure.compose import compose
from flows.evaluate import configure, main, parse
from flows.evaluation_report import rows_of
from pipelines.config import RunConfig
from pipelines.experiment import run_experiment
from pipelines.reporting.samples import interval
from pipelines.run_folder import run_folder
from tests.flows.test_command_line import HEAVY
from tests.once import made_once
from tests.pipelines.runs import Quiet
from tests.reporting.test_page import Page

SMALL = [
    "benchmark=webshop", "scale=smoke", "training.iterations=1", "evaluation.every=9", "evaluation.games=6", "seed=5",
    "benchmark.max_steps=3", "rollout.max_action_tokens=8", "warm_start.tokens=600", "data.products=20", "data.test=6",
    "data.dev=6",
]  # fmt: skip
QUIET = ["execution.progress=false"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; its store is beside it."""

    def config(root: Path) -> RunConfig:
        folders = [f"execution.runs={root / 'runs'}", f"execution.artifacts={root / 'artifacts'}"]
        return compose([*SMALL, *QUIET, *folders])

    made = made_once(tmp_path_factory, "evaluate", lambda root: run_experiment(config(root), Quiet()))
    root = tmp_path_factory.mktemp("evaluate") / "own"  # the tests write beside it
    shutil.copytree(made, root, symlinks=True)
    return run_folder(config(root))


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the command runs in."""
    root = trained.parents[2]
    monkeypatch.chdir(root)
    return root


def test_the_sealed_configuration_counts_and_not_the_copy_for_people(trained: Path, here: Path, tmp_path: Path) -> None:
    copy = here / "runs" / "copy" / "seed5"
    shutil.copytree(trained, copy)
    (copy / "params.yaml").write_text("max_steps: [")
    assert main([f"checkpoint={copy}", "benchmark=webshop", *QUIET, f"out={tmp_path / 'out'}"]) == 0
    assert main([f"checkpoint={trained}", *QUIET, f"out={tmp_path / 'same'}"]) == 0
    assert played(tmp_path / "out") == played(tmp_path / "same")


def played(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "evaluations.parquet").to_pylist()
    return rows


def test_a_run_is_played_as_it_was_at_its_end(
    trained: Path, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same tasks, dice, prompts and weights: every row is that of the run's last evaluation. And the same bytes again."""
    last = [row for row in played(trained / "results") if row.pop("iteration") == 1]
    for name in ("one", "two"):
        assert main([f"checkpoint={trained.relative_to(here)}", f"out={tmp_path / name}", *QUIET]) == 0
    assert played(tmp_path / "one") == last
    files = {name: {f.name: f.read_bytes() for f in (tmp_path / name).iterdir()} for name in ("one", "two")}
    assert files["one"] == files["two"]
    assert sorted(files["one"]) == [
        "answers.parquet", "evaluation.json", "evaluations.parquet", "report.csv", "report.html", "report.md",
    ]  # fmt: skip
    shown = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    types = {row["task_type"] for row in last}
    for kind in (*types, "all"):
        tasks = sum(kind in ("all", row["task_type"]) for row in last)
        assert [kind, str(tasks)] in shown
        assert f"\n| {kind} | {tasks} | " in (tmp_path / "one" / "report.md").read_text()


def test_what_is_evaluated_is_the_last_policy_in_the_runs_own_way(trained: Path, here: Path, tmp_path: Path) -> None:
    """Two evaluations of the store agree in every value and in the panel; theirs are the weights of the run's one update."""
    assert main([f"checkpoint={trained}", f"out={tmp_path}", *QUIET]) == 0
    records = [json.loads(path.read_text()) for path in here.glob("artifacts/*/*/record.json")]
    (update,) = (record for record in records if record["stage"] == "update")
    (model,) = (record for record in records if record["stage"] == "model" and "model.safetensors" in record["inputs"])
    weights = "model/model.safetensors"
    assert model["files"][weights] == update["files"][weights]
    after, again = (
        next(r for r in records if r["stage"] == "evaluate" and r["inputs"]["policy"] == policy["fingerprint"])
        for policy in (update, model)
    )
    assert after["values"] == again["values"]
    assert after["inputs"]["panel"] == again["inputs"]["panel"]


def test_another_panel_has_a_report_of_its_own(trained: Path, here: Path) -> None:
    assert main([f"checkpoint={trained}", "panel=dev", "evaluation.temperature=0", *QUIET]) == 0
    (folder,) = (here / "evaluations").iterdir()
    name, panel, _ = folder.name.rsplit("-", 2)
    assert (name, panel) == (f"{trained.parent.name}-seed5", "dev")
    info = json.loads((folder / "evaluation.json").read_text())
    assert info["config"]["evaluation"]["temperature"] == 0
    assert info["config"]["benchmark"]["max_steps"] == 3  # the run's own
    assert len(played(folder)) == 6


def test_more_samples_play_what_is_missing_and_report_all(
    trained: Path, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blocks of 1, 1, 2 and 4 samples: of eight, four were there."""
    said = [f"checkpoint={trained}", "evaluation.temperature=0.7", *QUIET]

    def evaluated(samples: int) -> tuple[list[dict[str, Any]], int]:
        before = set(here.glob("artifacts/evaluate/*"))
        assert main([*said, f"samples={samples}", f"out={tmp_path / str(samples)}"]) == 0
        return played(tmp_path / str(samples)), len(set(here.glob("artifacts/evaluate/*")) - before)

    (one, _), (four, made), (eight, made_then) = (evaluated(samples) for samples in (1, 4, 8))
    assert (made, made_then) == (3, 2), "blocks 1 and 2–3, then 4–7, and the whole of each"
    assert (four, one) == (eight[:24], eight[:6])
    assert sorted({(row["task_id"], row["sample"]) for row in eight}) == [
        (task, i) for task in sorted(row["task_id"] for row in one) for i in range(8)
    ]
    answers = pq.read_table(tmp_path / "8" / "answers.parquet").to_pylist()
    assert len(answers) == sum(row["steps"] for row in eight)
    assert {row["text"] for row in answers if not row["sample"]} != {
        row["text"] for row in answers if row["sample"] == 7
    }
    printed = capsys.readouterr().out
    for words in ("6 tasks × 8 samples", "avg@8", "pass@4"):
        assert words in printed
    rows = list(csv.DictReader((tmp_path / "8" / "report.csv").read_text().splitlines()))
    assert float(rows[-1]["pass@1"]) == pytest.approx(float(rows[-1]["success"]))
    assert float(rows[-1]["pass@8_low"]) <= float(rows[-1]["pass@8"]) <= float(rows[-1]["pass@8_high"])


def test_episodes_can_be_looked_at(trained: Path, here: Path, tmp_path: Path) -> None:
    """Every text of the small evaluation, by task type and end, with the reason why an answer was invalid."""
    assert main([f"checkpoint={trained}", f"out={tmp_path}", *QUIET]) == 0
    page = Page((tmp_path / "report.html").read_text())
    runs, rows = page.data["runs"], played(tmp_path)
    assert sorted({(run["type"], run["end"].replace(" ", "_")) for run in runs}) == sorted(
        {(row["task_type"], row["stop_reason"]) for row in rows}
    )
    answers = pq.read_table(tmp_path / "answers.parquet").to_pylist()
    shown = [step for run in runs for episode in run["trajectories"] for step in episode["steps"]]
    assert sorted(page.data["texts"][step["text"]] for step in shown) == sorted(row["text"] for row in answers)
    assert sum("not in the format" in step["note"] for step in shown) == sum(row["unparsed"] for row in rows)
    assert (
        sum("cut off after 8 tokens" in step["note"] for step in shown) == sum(row["cut_answers"] for row in rows) > 0
    )


def test_a_folder_needs_to_know_what_to_play(trained: Path, here: Path, tmp_path: Path) -> None:
    """The run's model, anywhere: with the run's settings it plays as the run did."""
    run = json.loads((trained / "results" / "run.json").read_text())
    shutil.copytree(here / "artifacts" / run["checkpoint"] / "model", tmp_path / "a model, mine=1")
    said = [*SMALL, *QUIET, f"out={tmp_path / 'out'}"]
    assert main([f"checkpoint={tmp_path / 'a model, mine=1'}", *said]) == 0
    assert played(tmp_path / "out") == [row for row in played(trained / "results") if row.pop("iteration") == 1]
    assert (
        json.loads((tmp_path / "out" / "evaluation.json").read_text())["config"]["model"]["name"] == "a model, mine=1"
    )


def test_a_run_of_an_adapter_is_evaluated_by_any_policy(trained: Path) -> None:
    """Its checkpoint has the merged model; vLLM, which trains no adapter, plays that too."""
    config = json.loads((trained / "results" / "run.json").read_text())["config"]
    config["training"]["adapter"] = {"name": "lora", "rank": 4, "alpha": 8.0, "targets": ["q_proj"]}
    asked = parse(["checkpoint=run", "policy=vllm"])
    assert configure(asked, Checkpoint("run", Path("model"), config)).experiment.training.adapter is None


def test_a_damaged_checkpoint_of_the_store_is_not_played(
    trained: Path, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = json.loads((trained / "results" / "run.json").read_text())
    weights = here / "artifacts" / run["checkpoint"] / "model" / "model.safetensors"
    whole = weights.read_bytes()
    try:
        weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        for named in (trained, weights.parent, weights.parents[1]):
            assert main([f"checkpoint={named}", "benchmark=webshop", *QUIET, f"out={tmp_path / 'out'}"]) == 1
            assert "model.safetensors is damaged: sha256" in capsys.readouterr().err
    finally:
        weights.write_bytes(whole)


def test_a_damaged_weight_is_reported(
    trained: Path, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = json.loads((trained / "results" / "run.json").read_text())
    shutil.copytree(here / "artifacts" / run["checkpoint"] / "model", tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert main([f"checkpoint={tmp_path / 'model'}", *SMALL, *QUIET]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: model folder ")


def test_too_little_memory_is_said_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python and torch alone take .7 GiB."""
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    sizes |= {"vocab_size": 9, "intermediate_size": 96, "max_position_embeddings": 1024, "rms_norm_eps": 1e-6}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2", **sizes}))
    save_file({"norm": np.zeros(1, np.float32)}, tmp_path / "model.safetensors")
    Tokenizer(WordLevel({"a": 0})).save(str(tmp_path / "tokenizer.json"))
    monkeypatch.setattr("pipelines.policies.local.planning.plan.host_memory_gib", lambda: 0.5)
    said = [f"checkpoint={tmp_path}", "benchmark=webshop", "evaluation.games=6", "policy.device=cpu", *QUIET]
    assert main(said) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        "does not fit: check needs 0.7 GiB of this machine's 0.5 less 7% of headroom, 0.2 too many (and 1 more)" in line
    )
    assert main([*said, "plan=true"]) == 1
    assert "  evaluation    6 tasks × 1 = 6 episodes, at most 6 at once" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "checkpoint=<folder> is missing; see python -m flows.evaluate --help"),
        (["chekpoint=x"], 2, "checkpoint=<folder> is missing (chekpoint=x?); see"),
        (["checkpoint=nowhere"], 1, "checkpoint=nowhere is no model folder (no config.json), no checkpoint"),
        (["CELL"], 1, "it holds 1 run, name one: checkpoint="),
        (["RUN", "--fast"], 2, "cannot read --fast: write key=value"),
        (["RUN", "panel=nope"], 2, "panel = 'nope': Input should be 'test' or 'dev'"),
        (["RUN", "evaluation.games=7"], 2, "evaluation.games=7 but data.test=6: lower one or raise the other"),
        (["RUN", "evaluation.gams=3"], 2, "unknown key evaluation.gams; did you mean evaluation.games?"),
        (
            ["RUN", "benchmark=alfworld"],
            2,
            "benchmark=alfworld: a run has its own benchmark; set its values one by one",
        ),
        (["RUN", "samples=0"], 2, "samples = 0: Input should be greater than or equal to 1"),
        (["RUN", "samples=9999"], 2, "samples = 9999: Input should be less than or equal to 1024"),
        (["RUN", "samples=two"], 2, "samples = 'two': Input should be a valid integer"),
        (["RUN", "samples=4", "evaluation.temperature=0"], 2, "greedy answers are the same every time"),
        (["RUN", "seed=0,1"], 2, "seed=0,1: one evaluation has one value; give one"),
        (["RUN", f"out={__file__}"], 2, "is a file: name a folder"),
        (["ODD", "benchmark=alfworld", "policy=local", "policy.engine=native"], 2, "set policy.engine=transformers"),
        (["FROB", *SMALL], 2, "/frob is no model that transformers reads: "),
        (["RUN", "policy.device=cuda"], 2, "policy.device=cuda, and this machine shows no GPU"),
        (["RUN", "policy=scripted"], 2, "policy=scripted evaluates no run; known: local, vllm"),
        (["RUN", "policy=openrlhf"], 2, "policy=openrlhf evaluates no run; known: local, vllm"),
        (["MODEL"], 2, "does not say what it shall play: add one of benchmark=alfworld, "),
        (["MODEL", "benchmark=webshpo"], 2, "benchmark=webshpo: no such option; did you mean webshop?"),
        (
            ["MODEL", "benchmark=webshop", "panel=valid_seen"],
            2,
            "panel = 'valid_seen': Input should be 'test' or 'dev'",
        ),
        (
            ["GEMMA", "benchmark=alfworld", "policy=local", "scale=laptop"],
            1,
            "holds no *.safetensors",
        ),
        (
            ["GEMMA", "benchmark=alfworld", "policy=openrlhf"],
            2,
            "policy=openrlhf evaluates no model; known: local, vllm",
        ),
    ],
)
def test_a_mistake_is_one_line(
    trained: Path, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    arguments: list[str], code: int, message: str,
) -> None:  # fmt: skip
    (gemma := tmp_path / "gemma").mkdir()
    (gemma / "config.json").write_text('{"model_type": "gemma", "vocab_size": 128256}')
    (odd := tmp_path / "odd").mkdir()
    (odd / "config.json").write_text('{"model_type": "gemma", "vocab_size": null}')
    run = json.loads((trained / "results" / "run.json").read_text())
    shutil.copytree(here / "artifacts" / run["checkpoint"] / "model", frob := tmp_path / "frob")
    config = json.loads((frob / "config.json").read_text())
    (frob / "config.json").write_text(json.dumps(config | {"model_type": "frobnicate"}))
    folders = {
        "RUN": trained,
        "CELL": trained.parent,
        "FROB": frob,
        "MODEL": here / "artifacts" / run["checkpoint"],
        "GEMMA": gemma,
        "ODD": odd,
    }
    said = [f"checkpoint={folders[a]}" if a in folders else a for a in arguments]
    assert main(said) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda run: shutil.rmtree(run / "results"), "is not finished"),
        (
            lambda run: (run / "results" / "run.json").write_text("{}"),
            "run.json is not what was written: launch the run again",
        ),
        (lambda run: None, "whose weights are not there: set execution.artifacts to the store that has them"),
    ],
)
def test_a_run_without_its_end_is_reported(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    harm: Any,
    message: str,
) -> None:
    """In a folder that has a copy of the run and no store."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "run")
    harm(tmp_path / "run")
    assert main(["checkpoint=run"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "python -m flows.evaluate checkpoint=<folder>" in capsys.readouterr().out


def test_a_mistake_imports_nothing_heavy(trained: Path, here: Path) -> None:
    import subprocess
    import sys

    from tests.flows.test_command_line import environment

    code = (
        "import sys; from flows.evaluate import main; code = main(sys.argv[1:]);"
        f"sys.exit(code if not [m for m in {HEAVY!r} if m in sys.modules] else 99)"
    )
    command = [sys.executable, "-c", code, f"checkpoint={trained}", "panel=nope"]
    assert subprocess.run(command, cwd=here, env=environment(), capture_output=True, check=False).returncode == 2


# --------------------------------------------------------------------------------------------------------- the report


def episodes(**columns: list[Any]) -> pa.Table:
    return pa.table(
        columns | dict(zip(("unparsed", "inadmissible", "cut_answers"), ([0, 0, 2], [0, 0, 1], [3, 0, 0]), strict=True))
    )


def test_rows_by_hand() -> None:
    """Types, then averages whose types were all played, each type weighing the same, then the panel. a: 1 of 2 in 2 + 4
    steps, 3 invalid, of which 2 unparsed and 1 inadmissible; b: 1 of 1 in 6 steps, 3 of them cut off. Their mean .75; the panel
    2 of 3."""
    table = episodes(
        task_id=["t0", "t1", "t2"], task_type=["b", "a", "a"], success=[True, True, False], score=[1.0, 0.8, 0.2],
        steps=[6, 2, 4], invalid_actions=[0, 0, 3], stop_reason=["success", "done", "context_full"],
    )  # fmt: skip
    measures, averages = {"success": "exact match", "score": "F1"}, {"both": ["a", "b"], "wide": ["a", "c"]}
    a, b, both, whole = rows_of(table, measures, averages)
    assert [row.of for row in (a, b, both, whole)] == ["a", "b", "both", "all"]
    assert [row.tasks for row in (a, b, both, whole)] == [2, 1, 3, 3]
    assert [row.means["success"] for row in (a, b, both)] == [0.5, 1.0, 0.75]
    assert whole.means == pytest.approx({"success": 2 / 3, "score": 2 / 3})
    assert (a.steps, b.steps, whole.steps) == (3.0, 6.0, 4.0)
    assert list(a.shares.values()) == [3 / 6, 2 / 6, 1 / 6, 0]
    assert list(whole.shares.values()) == [3 / 12, 2 / 12, 1 / 12, 3 / 12]
    assert (a.cut, b.cut, both.cut) == (0.5, 0.0, 0.25)
    assert both.interval is None
    assert a.interval == interval([1, 0])
    assert a.passes == {}


def test_rows_of_several_samples_by_hand() -> None:
    """Two tasks, two samples of each: 2 and 0 successes of t0, 1 of t1. avg@2 = 3/4; pass@1 the same; pass@2: both."""
    table = pa.table({
        "task_id": ["t0", "t1"] * 2, "task_type": ["a"] * 4, "success": [True, True, True, False], "steps": [1, 2, 3, 4],
        "stop_reason": ["success"] * 4, **dict.fromkeys(("invalid_actions", "unparsed", "inadmissible", "cut_answers"), [1] * 4),
    })  # fmt: skip
    a, whole = rows_of(table, {"success": "success"}, {})
    assert (a.tasks, a.means["success"], a.interval) == (2, 0.75, interval([1, 0.5], 2))
    assert a.passes == {1: (0.75, interval([1, 0.5], 2)), 2: (1.0, interval([1, 1], 1))}
    assert (a.steps, a.shares["unparsed"]) == (2.5, 0.4)
    assert whole.passes == a.passes


def test_the_csv_is_not_rounded(trained: Path, here: Path, tmp_path: Path) -> None:
    assert main([f"checkpoint={trained}", f"out={tmp_path}", *QUIET]) == 0
    rows = list(csv.DictReader((tmp_path / "report.csv").read_text().splitlines()))
    assert float(rows[-1]["steps"]) == sum(row["steps"] for row in played(tmp_path)) / 6
