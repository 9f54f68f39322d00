"""What test_experiment.py shows of ALFWorld at length, in short for the other benchmarks: the same bytes, whatever is killed
or damaged."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import caches
from pipelines.errors import ConfigError, CorruptArtifact
from pipelines.experiment import is_finished, run_experiment
from pipelines.registry import benchmark_names, benchmark_spec
from tests.environments.small import small, with_cache
from tests.pipelines.kills import Launches
from tests.pipelines.runs import Quiet, damage, digests, flip, remedied, small_config, small_run, with_data

OTHERS = [name for name in benchmark_names() if name != "alfworld"]
# Those in which a benchmark's own code runs; and the making of data and the warm start, which take seconds: `make faults` kills there.
STAGES = ("evaluate", "rollout")


@pytest.fixture(scope="module", params=OTHERS)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A benchmark's name, and where its run is."""
    return request.param, small_run(tmp_path_factory, request.param)


def test_the_same_run_twice_gives_the_same_bytes(finished: tuple[str, Path], tmp_path: Path) -> None:
    name, root = finished
    observer = Quiet()
    with_data(root, tmp_path)
    run_experiment(small_config(tmp_path, name), observer)
    assert digests(tmp_path) == digests(root)
    for i in (1, 2):
        assert observer.said[i]["rollout/environment_errors"] == 0
    assert is_finished(small_config(tmp_path, name))


def test_killed_where_it_plays_and_resumed_gives_the_same_bytes(finished: tuple[str, Path], tmp_path: Path) -> None:
    name, root = finished
    rng = random.Random(2)
    with_data(root, tmp_path)
    with Launches(tmp_path, name) as launches:
        for stage in STAGES:
            while not launches.kill_in(stage, after_s=rng.uniform(0, 0.05)):
                pass
    assert not is_finished(small_config(tmp_path, name))
    run_experiment(small_config(tmp_path, name), Quiet())
    assert digests(tmp_path) == digests(root)


HARMS: dict[str, Callable[[bytes], bytes | None]] = {
    "flip": flip,
    "cut": lambda content: content[:-40],
    "lost": lambda content: None,
}
# Every harm, and every benchmark: what is made again is made at length.
DAMAGED = [("webshop", "flip"), ("webshop", "cut"), ("webshop", "lost"), ("deepsearch", "lost"), ("cooking", "flip")]


@pytest.mark.parametrize(("name", "harm"), DAMAGED)
def test_a_damaged_data_file_is_named_and_its_remedy_gives_the_same_bytes(
    name: str, harm: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = small_run(tmp_path_factory, name)
    path = damage(root, tmp_path, small(name).data_file, HARMS[harm])
    with pytest.raises(CorruptArtifact, match=r"remove the folder .* and launch again") as caught:
        run_experiment(small_config(tmp_path, name), Quiet())
    assert str(path) in str(caught.value)
    shutil.rmtree(remedied(str(caught.value)))
    run_experiment(small_config(tmp_path, name), Quiet())
    assert digests(tmp_path) == digests(root)


def test_every_benchmark_is_damaged_somehow() -> None:
    assert {name for name, _ in DAMAGED} == set(OTHERS)
    assert {harm for _, harm in DAMAGED} == set(HARMS)


@pytest.mark.parametrize("name", with_cache())
def test_a_damaged_cache_is_made_again(name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What an environment worker opens: the parsed catalogue, the index. The evaluations are played again from it."""
    root = small_run(tmp_path_factory, name)
    damage(root, tmp_path, small(name).cache_file, flip)
    shutil.rmtree(tmp_path / "artifacts" / "evaluate")
    small(name).forget()
    run_experiment(small_config(tmp_path, name), Quiet())
    assert digests(tmp_path) == digests(root)


@pytest.mark.parametrize("name", with_cache())
def test_verify_knows_the_form_of_a_cache(name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    root, store = small_run(tmp_path_factory, name), tmp_path / "artifacts"
    spec, cache = benchmark_spec(name), store / "cache" / name
    whole = dict(spec.cached_entries(root / "artifacts" / "cache" / name))
    assert whole
    assert not any(whole.values())
    path = damage(root, tmp_path, small(name).cache_file, flip)
    damaged = {entry: why for entry, why in spec.cached_entries(cache) if why}
    assert [(path.is_relative_to(entry), path.name in why) for entry, why in damaged.items()] == [(True, True)]
    caches.remove(*damaged)
    assert {entry.name for entry, _ in spec.cached_entries(cache)} == {at.name for at in whole} - {
        at.name for at in damaged
    }


def test_a_context_too_short_for_every_demonstration_is_reported(tmp_path: Path) -> None:
    """Demonstrations are endless: the warm start would wait for one that fits for ever."""
    with pytest.raises(
        ConfigError, match=r"longer than model.stand_in.context_length=64 tokens \(the last: \d+\): raise"
    ):
        run_experiment(small_config(tmp_path, "webshop", model__stand_in__context_length=64), Quiet())
