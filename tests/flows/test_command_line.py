"""The command line: every YAML composes, and a mistake is one readable line before anything heavy is imported."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from flows.__main__ import main
from flows.configure.compose import CONF, compose, compose_all, expand
from flows.configure.explain import explain
from flows.launch.command import read_command
from pipelines.config import ExperimentConfig
from pipelines.errors import ConfigError
from pipelines.policies.local.config import LocalPolicyConfig
from pipelines.registry import benchmark_names

GROUP_OPTIONS = sorted(f"{p.parent.name}={p.stem}" for p in CONF.glob("*/*.yaml"))
OF_ONE = {"scale=real": ["deepsearch"]}  # what one benchmark alone is played at
PARTS = {"cluster": "cluster@policy.cluster"}  # groups that another group's option has
HEAVY = ("torch", "transformers", "prefect", "mlflow", "pandas", "textworld", "tantivy", "httpx", "fastapi")


@pytest.mark.parametrize("override", GROUP_OPTIONS)
def test_every_yaml_composes(override: str) -> None:
    small = ["evaluation.games=6"] if override == "data=dozen" else []
    group, _, option = override.partition("=")
    whole = ["policy=openrlhf", f"{PARTS[group]}={option}"] if group in PARTS else [override]
    chosen = (
        [[]] if group == "benchmark" else [[f"benchmark={name}"] for name in OF_ONE.get(override, benchmark_names())]
    )
    configs = compose_all([[*benchmark, *small, *whole] for benchmark in chosen])
    assert all(isinstance(config.experiment, ExperimentConfig) for config in configs)


@pytest.mark.parametrize("path", sorted((CONF / "scale" / "adapted").glob("*.yaml")), ids=lambda path: path.stem)
def test_what_a_scale_sets_for_a_benchmark_is_set(path: Path) -> None:
    scale, benchmark = path.stem.split("_")
    adapted = yaml.safe_load(path.read_text())
    experiment = compose([f"scale={scale}", f"benchmark={benchmark}"]).experiment.values()
    shared = adapted.pop("shared", {})
    assert all(experiment["empg"][name] == value for name, value in shared.items())
    for section in adapted.keys() - {"defaults"}:
        assert adapted[section].items() <= experiment[section].items() or section == "benchmark"


@pytest.mark.parametrize("scale", ["paper", "laptop", "smoke"])
@pytest.mark.parametrize("algorithm", ["grpo", "dapo", "rloo", "dr_grpo"])
def test_every_scale_with_every_algorithm(scale: str, algorithm: str) -> None:
    experiment = compose([f"scale={scale}", f"algorithm={algorithm}", "empg=off"]).experiment
    assert experiment.cell == f"{scale}-alfworld-qwen2.5-1.5b-{algorithm}-off"
    assert experiment.algorithm.dynamic_sampling == (algorithm == "dapo")


# The paper's settings, and where it is silent the GiGPO code base's on which it ran ALFWorld and WebShop, written by hand:
# nothing here is read from conf/.
SHARED = {
    "training.learning_rate": 1e-6, "training.kl_estimator": "k3", "rollout.temperature": 1.0, "empg.k": 1.0,
    "empg.k_future": 1.0, "model.weights": "pretrained",
    "warm_start": None,
}  # fmt: skip
AGENTS = {
    "training.kl_coefficient": 0.01, "training.entropy_coefficient": 0.001, "training.tasks": 16, "training.group_size": 8,
    "training.iterations": 150, "empg.zeta": 0.05, "benchmark.prompt.history": 2, "benchmark.success_reward": 10.0,
    "benchmark.invalid_penalty": 0.1, "evaluation.every": 5, "evaluation.games": 128, "evaluation.temperature": 0.4,
    "rollout.max_action_tokens": 512,
}  # fmt: skip
PAPER = {
    "alfworld": AGENTS | {
        "benchmark.max_steps": 50, "rollout.max_context_tokens": 2048, "training.minibatch_size": 256,
        "benchmark.evaluation_split": "valid_seen",
    },
    "webshop": AGENTS | {
        "benchmark.max_steps": 15, "rollout.max_context_tokens": 4096, "training.minibatch_size": 64,
    },
    "deepsearch": {
        "training.kl_coefficient": 0.001, "training.entropy_coefficient": 0.0, "training.tasks": 64,
        "training.group_size": 16, "training.iterations": 220, "empg.zeta": 0.1, "benchmark.max_steps": 15,
        "benchmark.prompt.history": "full",
    },
}  # fmt: skip
ALGORITHMS = {
    "grpo": {"estimator": {"name": "grpo", "eps": 1e-6}, "clip_low": 0.2, "clip_high": 0.2, "dynamic_sampling": False},
    "dapo": {
        "estimator": {"name": "grpo", "eps": 1e-6}, "clip_low": 0.2, "clip_high": 0.28,
        "dynamic_sampling": True, "max_generation_batches": 10,
        "aggregation": "token-mean",
    },
    "rloo": {"estimator": {"name": "rloo"}, "clip_low": 0.2, "clip_high": 0.2, "dynamic_sampling": False},
}  # fmt: skip


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("benchmark", PAPER)
def test_the_papers_settings(benchmark: str, algorithm: str) -> None:
    arm = "off" if algorithm == "rloo" else "full"
    overrides = ["scale=paper", f"benchmark={benchmark}", f"algorithm={algorithm}", f"empg={arm}"]
    values = compose(overrides).experiment.values()

    def of(name: str) -> object:
        found: object = values
        for key in name.split("."):
            found = found[key]  # type: ignore[index]
        return found

    expected = SHARED | PAPER[benchmark] | {f"algorithm.{key}": value for key, value in ALGORITHMS[algorithm].items()}
    if arm == "off":
        expected = {name: value for name, value in expected.items() if not name.startswith("empg.")}
    assert {name: of(name) for name in expected} == expected
    assert "generated" not in str(of("data.source"))


def test_the_papers_deep_search() -> None:
    experiment = compose(["scale=paper", "benchmark=deepsearch", "algorithm=dapo"]).experiment
    training, benchmark = experiment.training, experiment.benchmark
    assert (training.iterations, training.tasks, training.group_size) == (220, 64, 16)
    assert (training.kl_coefficient, training.entropy_coefficient, experiment.empg.zeta) == (0.001, 0.0, 0.1)
    assert (benchmark.max_steps, benchmark.prompt.history) == (15, "full")
    assert experiment.data.averages == {
        "in_domain": ["webwalkerqa", "hotpotqa", "2wikimultihopqa"],
        "out_of_domain": ["musique", "bamboogle"],
        "overall": ["webwalkerqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle"],
    }
    assert getattr(experiment.data, "train", None) == 17_000


def test_the_papers_webshop_trains_on_all_goals_but_the_first_500() -> None:
    data = compose(["scale=paper", "benchmark=webshop"]).experiment.values()["data"]
    assert (data["source"], data["catalogue"], data["dev"], data["train"]) == ("webshop_real", "small", 0, 0)
    assert compose(["benchmark=webshop", "data=real"]).experiment.values()["data"]["dev"] == 1000
    with pytest.raises(ConfigError, match=r"evaluation.games=128 but data.dev=0"):
        compose(["scale=paper", "benchmark=webshop", "benchmark.evaluation_split=dev"])


def test_a_benchmark_brings_its_own_data() -> None:
    assert compose(["benchmark=deepsearch"]).experiment.data.source == "deepsearch_generated"
    assert compose(["benchmark=deepsearch", "scale=smoke"]).experiment.training.iterations == 2
    assert compose([]).experiment.data.source == "generated"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=alfworld/real"], "no such option; did you mean real"),
        (["data.test=5"], "evaluation.games=128 but data.test=5"),
        (["data.cities=3"], "cities=3 but countries=12"),
        (["data.in_domain=[five_hop]"], r"data.in_domain.0 = 'five_hop'"),
        (["benchmark.retrieval.topk=0"], "benchmark.retrieval.topk = 0: .*greater than or equal to 1"),
        (["benchmark.retrieval.backend=remote"], "needs url .* and collection"),
        (["benchmark.retrieval.timeout_s=100"], "wait up to 404 s"),
        (["benchmark.reward=judge"], "^benchmark: reward=judge needs judge.url and judge.model$"),
        (
            ["benchmark.retrieval.url=localhost:80/retrieve"],
            "benchmark.retrieval.url = 'localhost:80/retrieve': .* is http://host",
        ),
        (["benchmark.judge.url='http:///v1'"], "benchmark.judge.url = 'http:///v1': a server's address is http://host"),
        (
            ["benchmark.retrieval={backend:remote,url:'http://x/retrieve',collection:x}"],
            "one corpus: set data.train_worlds=0|is a section",
        ),
        (["benchmark.evaluation_split=valid_seen"], "benchmark.evaluation_split = 'valid_seen'"),
    ],
)
def test_a_deep_search_mistake_is_reported(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        compose(["benchmark=deepsearch", *overrides])
    assert "\n" not in str(caught.value)


def test_servers_are_no_part_of_what_a_run_is() -> None:
    def values(*overrides: str) -> dict[str, object]:
        return compose(["benchmark=deepsearch", "data.train_worlds=0", *overrides]).experiment.values()

    remote = ["benchmark.retrieval.backend=remote", "benchmark.retrieval.collection=wiki"]
    here, there = (values(*remote, f"benchmark.retrieval.url=http://{host}:1/retrieve") for host in ("a", "b"))
    assert here == there
    assert here == values(*remote, "benchmark.retrieval.url=http://a/retrieve", "benchmark.retrieval.backoff_s=0.1")
    # An answer that comes too late is a failed episode: how often it is asked for bears on what was played.
    assert here != values(*remote, "benchmark.retrieval.url=http://a/retrieve", "benchmark.retrieval.retries=1")
    assert here != values(*remote, "benchmark.retrieval.url=http://a/retrieve", "benchmark.retrieval.topk=5")
    assert here != values()


def test_a_sweep_is_every_combination() -> None:
    jobs = expand(["algorithm=grpo,dapo", "empg=off,full", "seed=0,1,2"])
    assert len(jobs) == 12
    assert len({compose(job).experiment.model_dump_json() for job in jobs}) == 12


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.lr=3"], r"unknown key training.lr; known: .*training.learning_rate"),
        (
            ["learning_rate=3"],
            r"unknown key learning_rate; did you mean training.learning_rate, warm_start.learning_rate",
        ),
        (
            ["nothing=3"],
            r"nothing; known: \+experiment, algorithm, benchmark, .*hydra/launcher, .*scale, .*training\.adapter",
        ),
        (["data.source=real"], r"choose the whole group instead, data=real; known: .*dozen, generated, real"),
        (["training={a:1}"], r"training is a section: set its values one by one, e.g. training\."),
        (["seed=0,1"], r"seed=0,1: several values need -m"),
        (["+data=real"], r"data is set twice: write data="),
        (["+empg=off"], r"empg is set twice: write empg="),
        (["~data"], r"data is missing"),
        (["hydra/launcher=nope"], r"hydra/launcher=nope: no such option; .*basic, joblib"),
        (["algorithm.estimator=rloo"], r"algorithm.estimator=rloo: choose the whole group instead, algorithm=rloo;"),
        (["algorithm.estimator.name=rloo"], r"algorithm.estimator.name=rloo: .* instead, algorithm=rloo;"),
        (["algorithm.estimator=nope"], r"algorithm.estimator = 'nope': .*grpo, .*rloo"),
        (["algorithm.estimator.name=dr_grpo"], r" instead, algorithm=dr_grpo;"),
        (["execution.tracking_uri=x"], r"execution.tracking_uri; known: .*execution.trackers.mlflow.uri"),
        (["algorithm.baseline=rloo"], r"algorithm.baseline; known: .*algorithm.estimator.name"),
        (["training.iteratons=3"], r"unknown key training.iteratons; did you mean training.iterations"),
        (["algoritm=dapo"], r"unknown key algoritm; did you mean algorithm"),
        (["scale=nope"], r"scale=nope: no such option; known: laptop, paper, "),
        (["tracker=[mlflow,nope]"], r"tracker=nope: no such option; known: mlflow, tensorboard, wandb"),
        (["execution.trackers.wandb.mode=online"], r"execution\.trackers\.wandb\.mode.*tracker=wandb"),
        (["empg=of"], r"empg=of: no such option; did you mean off\?"),
        (["training.iterations=-3"], r"training.iterations = -3: .*greater than or equal to 0"),
        (["benchmark=3"], r"benchmark=3: no such option; known: .*alfworld"),
        (["algorithm.clip_low=2"], r"algorithm.clip_low = 2: .*less than or equal to 1"),
        (["training.beta1=1"], r"training.beta1 = 1: .*less than 1"),
        (["data=dozen"], r"evaluation.games=128 but data.valid_unseen=12: lower one or raise the other$"),
        (
            ["data=dozen", "scale=paper"],
            r"data.valid_seen=0: .* benchmark.evaluation_split=valid_unseen, which has 12$",
        ),
        (["execution.trackers.mlflow.uri=foo://u:secret@h"], r"mlflow.uri = 'foo://u:\*\*\*@h': .*sqlite://.*https://"),
        (["execution.trackers.mlflow.uri=mlruns"], r"mlflow.uri = 'mlruns': .*sqlite://"),
        (["training.group_size=1"], r"training.group_size = 1"),
        (["seed=x"], r"seed = 'x': .*valid integer"),
        (["seed=true"], r"seed = True: write a number, not true or false"),
        (["training.clip_norm=true"], r"training.clip_norm = True: write a number"),
        (
            ["policy.cluster.nodes=2"],
            r"policy.cluster.nodes is no key of what is chosen: it belongs to policy=openrlhf$",
        ),
        (["+policy.cluster.nodes=2"], r"policy.cluster is no key of what is chosen: it belongs to policy=openrlhf$"),
        (["policy=scripted", "policy.dtype=float32"], r"it belongs to policy=local or policy=openrlhf or policy=vllm$"),
        (["training.adapter.rank=4"], r"it belongs to training.adapter=lora$"),
        (["data.catalogue=full"], r"it belongs to data=real benchmark=webshop$"),
        (["scale=paper", "warm_start.tokens=9"], r"it belongs to .*scale=laptop benchmark=deepsearch or "),
        (["hydra.launcher.partition=a"], r"hydra.launcher.partition .* it belongs to hydra/launcher=slurm$"),
        (["policy=vllm", "evaluation.temperature=0.001"], r"policy=vllm .* 0 \(greedy\) or 0.01 to 2$"),
        (["empg.zeta=nan"], r"empg.zeta = nan"),
        (["algorithm.dual_clip=1e999"], r"algorithm.dual_clip = inf"),
        (["empg.arm=half"], r"empg.arm = 'half': .*'off'"),
        (["algorithm=dapo", "algorithm.max_generation_batches=1"], r"dynamic_sampling needs"),
        (["+new.key=1"], r"unknown key new"),
        (["training.iterations"], r"training.iterations"),
    ],
)
def test_a_mistake_is_reported(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        compose(overrides)
    assert "\n" not in str(caught.value)


def test_a_password_that_hydra_does_not_read_is_not_shown() -> None:
    with pytest.raises(ConfigError, match=r"uri=postgresql://u:\*\*\*@h/db: .*quote the value: ") as caught:
        compose(["execution.trackers.mlflow.uri=postgresql://u:geh=eim@h/db"])
    assert "eim" not in str(caught.value)


def test_a_long_value_shows_no_password_where_it_is_cut() -> None:
    with pytest.raises(ConfigError, match=r"://u:\*\*\*@h") as caught:
        compose([f"empg.zeta=postgresql://u:{'geheim' * 99}@h/db"])
    assert "geheim" not in str(caught.value)


@given(st.text(st.sampled_from("ab/.=()[]{}'\"\\,:#$é ;&|*"), min_size=1))
def test_an_override_is_read_or_refused_with_the_quoting_that_works(value: str) -> None:
    """A folder's name may hold any character: what the message says to write is read as that very name."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    override, parser = f"execution.runs={value}", OverridesParser.create()
    try:
        parser.parse_overrides([override])
    except OverrideParseException as error:
        said = explain(error)
        assert f"{override}:" in said
        (remedy,) = shlex.split(said.partition("quote the value: ")[2])
        assert parser.parse_overrides([remedy])[0].value() == value


@pytest.mark.parametrize("name", ["step=1", "(new)", "[x]", "{x}", "it's", "größe"])
def test_a_folders_name_is_quoted_as_the_message_says(name: str) -> None:
    override = f"execution.runs={name}/runs"
    with pytest.raises(ConfigError, match=re.escape(override)) as caught:
        compose(["scale=smoke", override])
    (remedy,) = shlex.split(str(caught.value).partition("quote the value: ")[2])
    assert compose(["scale=smoke", remedy]).execution.runs == Path(name) / "runs"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nope"], "unknown option --nope"),
        (["--cfg", "jb"], "invalid choice: 'jb'"),
        (["-m", "--cfg", "job"], "-m --cfg job: Only one of"),
        (["--config-name=other"], "unknown option --config-name"),
        (["-m", "empg=glob(zz*)"], "matches nothing"),
        (["hydra.run.dir=/tmp/x"], "hydra.run.dir=/tmp/x: a launch does not heed hydra.run.dir"),
        (["-m", "seed=0,1", "++hydra.sweep.dir=x"], "set execution.runs and execution.artifacts"),
        (["algorithm=dapo", "-m", "seed=0,1", "empg=off,of"], "empg=of: no such option; did you mean off?"),
        (
            ["scale=paper", "policy=scripted"],
            "needs a policy that trains it; policy=scripted trains stand-ins: use scale=laptop, or policy=local",
        ),
        (
            ["scale=smoke", "training.adapter=lora", "policy=scripted"],
            "training.adapter=lora is nothing that policy=scripted trains: choose policy=local or policy=openrlhf",
        ),
        (
            ["scale=paper", "model=qwen2.5_7b", "training.adapter=lora"],
            "training.adapter=lora with policy.cluster.zero_stage=3",
        ),
        (["scale=smoke", "training.adapter=lor"], "no such option; did you mean lora?"),
        (["--cfg", "job", "empg.zeta=-1"], "empg.zeta = -1: Input should be greater"),
    ],
)
def test_a_wrong_command_line_is_reported(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert len(said.splitlines()) == 1


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def launch(_: object) -> int:
        with Path("/dev/full").open("w") as file:
            file.write("x")
        return 0

    monkeypatch.setattr("flows.__main__.launch", launch)
    assert main([]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "No space left on device" in said
    assert "free some" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("key", ["execution.runs", "execution.artifacts"])
@pytest.mark.parametrize("kind", ["file", "link", "file/below", "/proc/no"])
def test_a_folder_that_cannot_be_is_one_line_before_anything_starts(
    key: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.windows.opened.windows", None)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert main(["scale=smoke", f"{key}={kind}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {key}={kind} ")
    assert line.endswith(("name a folder", "can be made and written to"))


def test_a_terminal_that_lacks_a_character_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(shown, encoding="ascii", errors="strict", write_through=True))
    assert main(["scale=smoke", "model.name='größe–1'", "plan=true"]) == 0
    assert "gr??e?1" in shown.getvalue().decode("ascii")


@pytest.mark.parametrize("launcher", ["processes", "joblib", "basic", "slurm"])
def test_launchers_compose(launcher: str) -> None:
    assert compose([f"hydra/launcher={launcher}"]) == compose([])


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command as a user gives it; modules it imported are listed on standard error's last line."""
    script = (
        "import sys; from flows.__main__ import main; code = main(sys.argv[1:]);"
        f"print('heavy:', [m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=cwd, capture_output=True, text=True, env=environment()
    )


def run_each(commands: Sequence[Sequence[str]], cwd: Path) -> list[tuple[int, str]]:
    """Commands that are refused, one after the other in one process, which imports nothing heavy: the exit code and the line on
    standard error of each."""
    script = (
        "import json, sys; from flows.__main__ import main\n"
        "for arguments in json.load(sys.stdin): print(main(arguments))\n"
        f"print('heavy:', [m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(commands), cwd=cwd, capture_output=True, text=True,
        env=environment(), check=True,
    )  # fmt: skip
    *lines, heavy = done.stderr.splitlines()
    assert heavy == "heavy: []"
    return list(zip(map(int, done.stdout.split()), lines, strict=True))


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(CONF.parent)}


NOT_BY_VLLM = {
    "": "policy=vllm only generates, and training.iterations=24 trains: set training.iterations=0",
    "training.iterations=0": "policy=vllm needs vLLM, .*make setup-cluster",
    "training.iterations=0 scale=paper": "Qwen/Qwen2.5-1.5B-Instruct is no model folder here",
    "policy.entropies=exact policy.tensor_parallel=2": "entropies=exact reads the logits in this process",
}


def test_what_vllm_cannot_do_is_reported_at_once(tmp_path: Path) -> None:
    start = time.monotonic()
    done = run_each([["policy=vllm", *overrides.split()] for overrides in NOT_BY_VLLM], tmp_path)
    for (code, line), message in zip(done, NOT_BY_VLLM.values(), strict=True):
        assert code == 2
        assert re.search(message, line)
    assert time.monotonic() - start < 30  # under load; 2 s alone
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_imports_nothing_heavy_and_starts_nothing(tmp_path: Path) -> None:
    done = run("-m", "algorithm=grpo,dapo", "training.iteratons=3,4", cwd=tmp_path)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 2, done.stderr
    assert lines[0].startswith("error: unknown key training.iteratons")
    assert lines[1] == "heavy: []"
    assert list(tmp_path.iterdir()) == []


WEBSHOP = ("items_shuffle_1000.json", "items_ins_v2_1000.json")
QUESTIONS = [f"{name}/train.jsonl" for name in ("webwalkerqa", "hotpotqa", "2wikimultihopqa", "nq", "triviaqa")]
QUESTIONS += [f"{name}/dev.parquet" for name in ("webwalkerqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle")]


@pytest.mark.parametrize(
    ("overrides", "there", "message"),
    [
        (["benchmark=webshop", "data=real"], None, "set WEBSHOP_DATA to their folder"),
        (["benchmark=webshop", "data=real"], (), r"items_shuffle_1000.json is missing: download"),
        (["benchmark=webshop", "data=real"], WEBSHOP[:1], r"items_ins_v2_1000.json is missing: download"),
        (["benchmark=webshop", "data=real", "data.goals=human"], WEBSHOP, r"items_human_ins.json is missing"),
        (["benchmark=webshop", "data=real", "data.catalogue=full"], WEBSHOP, r"items_shuffle.json is missing"),
        (["benchmark=deepsearch", "data=real", "warm_start=null"], None, "set DEEPSEARCH_DATA to their folder"),
        (["benchmark=deepsearch", "data=real", "warm_start=null"], QUESTIONS[:-1], "bamboogle has none of test.jsonl"),
        (["benchmark=deepsearch", "data=real", "warm_start=null"], QUESTIONS, "wiki-18.jsonl is missing"),
        (["data=real"], None, "`alfworld-download`.*set ALFWORLD_DATA"),
        (["data=real"], (), "no ALFWorld data at .*json_2.1.1"),
        (["data=real"], ("json_2.1.1/valid_seen/x",), "json_2.1.1 has no train split"),
        (["benchmark=webshop", "benchmark.noun_tagger=spacy"], None, "spacy download en_core_web_sm"),
    ],
)
def test_what_cannot_be_played_here_is_reported_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    overrides: list[str], there: tuple[str, ...] | None, message: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("flows.windows.opened.windows", None)
    monkeypatch.setattr("pipelines.environments.webshop.nouns._installed", lambda: False)
    for name in ("ALFWORLD_DATA", "WEBSHOP_DATA", "DEEPSEARCH_DATA"):
        monkeypatch.delenv(name, raising=False)
        if there is not None:
            monkeypatch.setenv(name, str(tmp_path / "data"))
    for name in there or ():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert main([*overrides, f"execution.runs={tmp_path / 'runs'}"]) in (1, 2)
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert len(said.splitlines()) == 1


def test_missing_data_are_reported_in_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = benchmark_names()
    for name in names:
        monkeypatch.delenv(f"{name.upper()}_DATA", raising=False)
    done = run_each([[f"benchmark={name}", "data=real"] for name in names], tmp_path)
    for (code, line), name in zip(done, names, strict=True):
        assert code == 1
        assert f"{name.upper()}_DATA" in line
    assert list(tmp_path.iterdir()) == []


def test_help_shows_groups_and_examples(tmp_path: Path) -> None:
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in (
        "python -m flows -m",
        "algorithm: dapo, dr_grpo, gigpo, graft, graphgpo, graphhca, grpo, hgpo, otb, rloo, rtmc, salt",
        "scale: laptop, paper, real, single, smoke",
    ):
        assert text in done.stdout


def test_threads_are_not_part_of_a_fingerprint_but_policy_is() -> None:
    from pipelines.run_folder import run_fingerprint

    base = compose([])
    assert run_fingerprint(base.experiment) == run_fingerprint(compose(["execution.environment_workers=4"]).experiment)
    assert run_fingerprint(base.experiment) != run_fingerprint(compose(["policy=scripted"]).experiment)
    assert isinstance(base.experiment.policy, LocalPolicyConfig)


@pytest.mark.parametrize("key", ["training.adapter", "training/adapter"])
def test_an_adapter_that_a_scale_chooses_is_left_out_with_null(key: str, tmp_path: Path) -> None:
    """Also where there is none, and in a sweep; what is spelled of such a run makes it again."""
    real = ["scale=real", f"model.pretrained={tmp_path}"]
    assert compose(real).experiment.training.adapter is not None
    whole = compose([*real, f"{key}=null"])
    assert whole.experiment.training.adapter is None
    assert compose(["scale=smoke", f"{key}=null"]).experiment.training.adapter is None
    jobs = read_command(["-m", *real, f"{key}=lora,null"]).jobs
    assert {job.config.experiment.training.adapter is None for job in jobs} == {True, False}
    for job in jobs:
        again = compose(job.overrides)
        assert again.experiment == job.config.experiment


def test_an_adapter_is_chosen_with_a_dot(capsys: pytest.CaptureFixture[str]) -> None:
    """Hydra itself writes a group below a section with a slash."""
    adapter = compose(["scale=smoke", "training.adapter=lora", "training.adapter.rank=8"]).experiment.training.adapter
    assert adapter is not None
    assert adapter.rank == 8
    assert compose(["scale=smoke"]).experiment.training.adapter is None
    assert (
        main(
            [
                "scale=smoke",
                "training.adapter=lora",
                "training.adapter.rank=8",
                "--cfg",
                "job",
                "-p",
                "training.adapter",
            ]
        )
        == 0
    )
    assert "rank: 8" in capsys.readouterr().out
