"""Each stage as an artifact of the store: found by its view and its inputs, or made.

A function here reads its arguments and nothing else. Its identity is all of them: the values of the view, and the
fingerprints of the artifacts and panels. ``session`` gives it the resources that the view describes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines import registry, schemas
from pipelines.artifacts import Artifact, Draft
from pipelines.config.templates import FILE as TEMPLATE
from pipelines.config.templates import FOLDER as NAMED
from pipelines.config.templates import template_text
from pipelines.config.views import (
    AdvantageView,
    AnalysisView,
    ContinuationsView,
    DataView,
    EvaluationView,
    ModelCheckView,
    PolicyView,
    PretrainedView,
    RolloutView,
    StandInView,
    UpdateView,
    View,
    WarmStartView,
)
from pipelines.environments.base import Panel, Tick
from pipelines.errors import MissingCheckpoint
from pipelines.files import sha256_file, write_json, write_parquet
from pipelines.records import Evaluation, Task, Trajectory
from pipelines.sample_blocks import sample_blocks
from pipelines.stages import setup, tables
from pipelines.stages.advantage import advantage_metrics, score_trajectories
from pipelines.stages.analysis import PROPOSITION1, absent_tables, analyse
from pipelines.stages.analysis.batches import first_and_chosen
from pipelines.stages.continuations import continue_prefixes
from pipelines.stages.evaluate import evaluate, evaluation_metrics, outcome
from pipelines.stages.live_policy import Update
from pipelines.stages.merged import model_of
from pipelines.stages.reading import read_rollout
from pipelines.stages.rollout import roll_out, rollout_metrics
from pipelines.stages.session import Session
from pipelines.versions import MEASUREMENTS, STAGES

_MODEL_FILES = (".json", ".jinja", ".safetensors", ".txt", ".model")


@dataclass(frozen=True)
class World:
    """What there is to play. ``data``: the folder of the benchmark's data. ``panels`` by split. ``remarks``: what whoever reads the
    results must know. ``examples``: worked ones, which prompts begin with."""

    data: Path
    panels: Mapping[str, Panel]
    remarks: tuple[str, ...] = ()
    examples: str = ""

    @property
    def train(self) -> Panel:
        return self.panels["train"]

    @property
    def shown(self) -> dict[str, Input]:
        """Its worked examples as an input of the stages that prompt."""
        return {"examples": hashlib.sha256(self.examples.encode()).hexdigest()} if self.examples else {}


@dataclass(frozen=True)
class Weights:
    """The policy that a stage uses: its artifact, and the one that its run started from."""

    current: Artifact
    initial: Artifact


@dataclass(frozen=True)
class Evaluated:
    """``whole``: the artifact with the evaluation's rows. ``parts``: the artifacts that were played, which have the texts."""

    whole: Artifact
    parts: tuple[Artifact, ...]


Input = Artifact | Panel | tuple[Task, ...] | str


def _get_or_make(
    session: Session, stage: str, view: View, inputs: Mapping[str, Input], make: Callable[[Draft], None]
) -> Artifact:
    """``inputs``: all that ``make`` reads besides the view, by name; a text is a hash itself."""
    prints = {name: _fingerprint(given) for name, given in inputs.items()}
    version = (STAGES | MEASUREMENTS)[stage]
    return session.store.get_or_make(stage, version, view.values(), prints, make)


def _fingerprint(given: Input) -> str:
    match given:
        case Artifact():
            return given.fingerprint
        case Panel():
            return given.sha256
        case str():
            return given
    return setup.panel_hash(given)


# ------------------------------------------------------------------------------------------------------------- set-up


def data(session: Session, view: DataView, tick: Tick) -> Artifact:
    """The benchmark's generated data, made once per generator settings and shared by all runs. Real data stay where they
    are; then the artifact is empty."""

    def make(draft: Draft) -> None:
        setup.prepare_data(view, draft.folder, workers=session.shared_workers, tick=tick)

    artifact = _get_or_make(session, "data", view, {}, make)
    artifact.verify()
    return artifact


def panels(session: Session, view: DataView, panels: Mapping[str, Panel]) -> Artifact:
    """The manifest for people: every split's tasks with a hash per task, and one per panel. What a stage reads of a panel
    is among that stage's own inputs."""

    def make(draft: Draft) -> None:
        manifest = {
            split: {"sha256": panel.sha256, "tasks": [asdict(task) for task in panel.tasks]}
            for split, panel in sorted(panels.items())
        }
        write_json(draft.path(schemas.PANELS_JSON), manifest)

    return _get_or_make(session, "panels", view, panels, make)


def stand_in(session: Session, view: StandInView, world: World) -> Artifact:
    """The untrained stand-in: a genuine ``Qwen2ForCausalLM`` and a tokenizer made from the benchmark's texts, as an ordinary
    Hugging Face folder ``model/``."""

    def make(draft: Draft) -> None:
        setup.make_stand_in(view, session.benchmark(view.playing), world.data, draft.folder / "model")

    return _get_or_make(session, "model", view, {"train": world.train}, make)


def pretrained(session: Session, view: PretrainedView) -> Artifact:
    """A model that is there already: links to its files, known by their contents wherever they lie. A template that was chosen is a
    file of its own in place of those that the folder has."""
    try:
        folder = view.folder.resolve()
        found = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in _MODEL_FILES)
        files = {
            path.relative_to(folder).as_posix(): path for path in (*found, *sorted(folder.glob(f"{NAMED}/*.jinja")))
        }
        template = None if view.template is None else template_text(view.template, folder)
        if template is not None:
            files = {name: path for name, path in files.items() if not name.endswith(".jinja")}
        contents = {name: sha256_file(path) for name, path in files.items()}
    except OSError as error:
        raise MissingCheckpoint(f"model folder {view.folder} cannot be read ({error}): set model.pretrained") from None
    if template is not None:
        contents[TEMPLATE] = hashlib.sha256(template.encode()).hexdigest()

    def make(draft: Draft) -> None:
        for name, path in files.items():
            draft.path(f"model/{name}").symlink_to(path)
        if template is not None:
            draft.path(f"model/{TEMPLATE}").write_text(template, "utf-8")

    return _get_or_make(session, "model", view, contents, make)


def model_check(session: Session, view: ModelCheckView, model: Artifact) -> Artifact | None:
    """What the policy measured of itself on a pretrained model, once; None: it has nothing to check.

    Raises:
        ConfigError: it would compute something else than the model.
    """
    check = registry.policy_spec(view.policy.name).check_model
    if check is None:
        return None

    def make(draft: Draft) -> None:
        write_json(draft.path(schemas.METRICS_JSON), check(view.policy, model.tree("model")))

    return _get_or_make(session, "model_check", view, {"model": model}, make)


def warm_start(session: Session, view: WarmStartView, world: World, model: Artifact, tick: Tick) -> Artifact:
    """The stand-in after imitation of the benchmark's expert."""

    def make(draft: Draft) -> None:
        from pipelines.stages.warm_start import warm_start as imitate_expert

        metrics = imitate_expert(
            view,
            session.benchmark(view.playing).taught(world.examples),
            world.train,
            world.data,
            model=model.tree("model"),
            out=draft.folder / "model",
            workers=session.shared_workers,
            on_progress=lambda done, total: tick(done / total),
        )
        write_json(draft.path(schemas.METRICS_JSON), metrics)

    inputs: dict[str, Input] = {"model": model, "train": world.train, **world.shown}
    return _get_or_make(session, "warm_start", view, inputs, make)


# ------------------------------------------------------------------------------------------------------ one iteration


def rollout(session: Session, view: RolloutView, world: World, weights: Weights, tick: Tick) -> Artifact:
    def make(draft: Draft) -> None:
        benchmark = session.benchmark(view.playing).taught(world.examples)
        played = roll_out(
            view,
            session.policy(view.policy, weights.initial).at(weights.current),
            session.pool(view.playing, world.data),
            benchmark,
            world.train,
            sampling=view.sampling,
            on_step=_steps_as_fraction(tick, view.tasks * view.group_size * benchmark.max_steps),
        )
        write_parquet(draft.path(schemas.STEPS.file), tables.steps_table(played.trajectories))
        write_parquet(draft.path(schemas.TRAJECTORIES.file), tables.trajectories_table(played))
        write_json(draft.path(schemas.METRICS_JSON), rollout_metrics(played, view.tasks))

    inputs: dict[str, Input] = {"policy": weights.current, "train": world.train, **world.shown}
    return _get_or_make(session, "rollout", view, inputs, make)


def advantage(session: Session, view: AdvantageView, rollout: Artifact) -> Artifact:
    def make(draft: Draft) -> None:
        batch = read_rollout(rollout).batch()
        scored = score_trajectories(batch, view.estimator.make(), view.modulator.make(), view.credit)
        declared = [column.name for column in view.columns]
        write_parquet(draft.path(schemas.ADVANTAGES.file), tables.advantages_table(scored, declared))
        write_json(draft.path(schemas.METRICS_JSON), advantage_metrics(scored))

    return _get_or_make(session, "advantage", view, {"rollout": rollout}, make)


def update(session: Session, view: UpdateView, weights: Weights, rollout: Artifact, advantage: Artifact) -> Artifact:
    live, this = session.policy(view.policy, weights.initial), Update(view, weights.current, rollout, advantage)

    def make(draft: Draft) -> None:
        policy, metrics = live.apply(this)
        policy.learner.save(draft.folder)
        write_json(draft.path(schemas.METRICS_JSON), metrics)

    inputs: dict[str, Input] = {
        "policy": weights.current,
        "rollout": rollout,
        "advantage": advantage,
        "reference": weights.initial,
    }
    updated = _get_or_make(session, "update", view, inputs, make)
    live.remember(this, updated)
    return updated


def last_policy(session: Session, view: PolicyView, weights: Weights) -> Weights:
    """The policy that a run ends with, which stays: a longer run that goes on from it does not prune it, and what one pruned
    before is trained again, bit for bit."""

    def make(draft: Draft) -> None:
        session.policy(view, weights.initial).at(weights.current).learner.save(draft.folder)

    return Weights(session.store.keep(weights.current, make), weights.initial)


def evaluation(
    session: Session,
    view: EvaluationView,
    world: World,
    tasks: tuple[Task, ...],
    weights: Weights,
    tick: Tick,
    *,
    found: Tick,
) -> Evaluated:
    """The panel, played ``view.samples`` times. Each block of samples is an artifact of its own: it is found where it was played
    before, also by an evaluation of fewer samples. ``tick`` hears how much is done, ``found`` so where the last block was found."""
    played: list[Artifact] = []
    for block in sample_blocks(view.samples, len(tasks)):

        def share(done: float, block: range = block) -> None:
            tick((block.start + len(block) * done) / view.samples)

        made = session.store.made
        played.append(_played(session, view.block(block), world, tasks, weights, share))
        (found if session.store.made == made else tick)(block.stop / view.samples)

    def make(draft: Draft) -> None:
        whole = pa.concat_tables([pq.read_table(part.path(schemas.EVALUATIONS.file)) for part in played])
        _write_evaluation(draft, view, tables.read_evaluations(whole))

    if len(played) == 1:
        return Evaluated(played[0], tuple(played))
    inputs: dict[str, Input] = {f"samples {i}": part for i, part in enumerate(played)}
    return Evaluated(_get_or_make(session, "evaluate", view, inputs, make), tuple(played))


def _played(
    session: Session, view: EvaluationView, world: World, tasks: tuple[Task, ...], weights: Weights, tick: Tick
) -> Artifact:
    def make(draft: Draft) -> None:
        benchmark = session.benchmark(view.playing).taught(world.examples)
        sampler = session.policy(view.policy, weights.initial).at(weights.current).sampler
        episodes = evaluate(
            sampler,
            session.pool(view.playing, world.data),
            benchmark,
            tasks,
            sampling=view.sampling,
            seed=view.seed,
            samples=range(view.first, view.first + view.samples),
            at_once=view.policy.at_once,
            on_step=_steps_as_fraction(tick, len(tasks) * view.samples * benchmark.max_steps),
        )
        write_parquet(draft.path(schemas.ANSWERS.file), tables.answers_table(episodes, sampler.codec))
        _write_evaluation(draft, view, list(map(outcome, episodes)))

    inputs: dict[str, Input] = {"policy": weights.current, "panel": tasks, **world.shown}
    return _get_or_make(session, "evaluate", view, inputs, make)


def _write_evaluation(draft: Draft, view: EvaluationView, rows: Sequence[Evaluation]) -> None:
    write_parquet(draft.path(schemas.EVALUATIONS.file), tables.evaluations_table(rows))
    write_json(draft.path(schemas.METRICS_JSON), evaluation_metrics(rows, view.playing.data.averages))


def analysis(
    session: Session, view: AnalysisView, weights: Weights, batches: Mapping[int, tuple[Artifact, Artifact]]
) -> Artifact:
    """``batches``: the rollout and the advantages of the first iteration, 0, and of the last."""

    def make(draft: Draft) -> None:
        played, chosen = first_and_chosen(batches)
        policy, models = session.policy(view.policy, weights.initial).at(weights.current), {}
        with weights.current.held():
            if PROPOSITION1 not in absent_tables(view):
                final = model_of(session.store, weights.current, weights.initial)
                models = {"initial": weights.initial.tree("model"), "final": final}
            for name, table in analyse(view, policy, played, chosen, models).items():
                write_parquet(draft.path(name), table)

    inputs: dict[str, Input] = {"initial": weights.initial, "policy": weights.current}
    for i, (rollout, advantage) in batches.items():
        inputs |= {f"rollout {i}": rollout, f"advantage {i}": advantage}
    return _get_or_make(session, "analysis", view, inputs, make)


def continuations(
    session: Session,
    view: ContinuationsView,
    world: World,
    weights: Weights,
    rollout: Artifact,
    episodes: Mapping[tuple[int, int], Trajectory],
    tick: Tick,
) -> Artifact:
    """Of prefixes of ``rollout``, by the weights that played it. ``episodes``: what was read of it, by group and member, once for
    all parts."""

    def make(draft: Draft) -> None:
        benchmark = session.benchmark(view.playing).taught(world.examples)
        found = continue_prefixes(
            view,
            session.policy(view.policy, weights.initial).at(weights.current).sampler,
            session.pool(view.playing, world.data),
            benchmark,
            episodes,
            sampling=view.sampling,
            on_step=_steps_as_fraction(tick, len(view.prefixes) * view.continuations * benchmark.max_steps),
        )
        write_parquet(draft.path(schemas.CONTINUATIONS.file), schemas.CONTINUATIONS.of(map(asdict, found)))

    inputs: dict[str, Input] = {"policy": weights.current, "rollout": rollout, **world.shown}
    return _get_or_make(session, "continuations", view, inputs, make)


# ------------------------------------------------------------------------------------------------------------ helpers


def _steps_as_fraction(tick: Tick, most: int) -> Callable[[], None]:
    """Report progress as steps are played, of a stand-in every 64th, of a large model every second; ``most`` is the upper bound
    when no episode ends early."""
    played, told = 0, time.monotonic()

    def on_step() -> None:
        nonlocal played, told
        played += 1
        if played % 64 == 0 or time.monotonic() - told > 1:
            told = time.monotonic()
            tick(min(played / most, 1.0))

    return on_step
