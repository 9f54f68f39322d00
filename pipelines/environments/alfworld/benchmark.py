"""ALFWorld as a benchmark of the platform."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.environments.alfworld import prompts
from pipelines.environments.alfworld.config import AlfworldConfig, AlfworldGenerated, AlfworldReal
from pipelines.environments.alfworld.expert import Expert
from pipelines.environments.alfworld.panels import check_games, read_panels
from pipelines.environments.base import Answer, Benchmark, Panel, Prompt, Tick, Turn
from pipelines.protocols import Environment, Observation
from pipelines.records import Task

_TYPE = re.compile(r"\b([A-Z][A-Za-z]*)Type\b")  # "(objectType Apple_bar_… AppleType)"
_SPOKEN = 120  # games whose demonstrations make the corpus: twenty of each type say every sentence form
_SPOKEN_STEPS = 20  # of each demonstration


class AlfworldBenchmark(Benchmark):
    """Translations, of generated and of real games, are cached."""

    config: AlfworldConfig
    data: AlfworldGenerated | AlfworldReal

    @property
    def remarks(self) -> tuple[str, ...]:
        if not isinstance(self.data, AlfworldReal):
            return ()
        return (
            "a panel takes ALFWorld's task types in turn: one smaller than its split has fewer of the frequent types than the "
            "split, so All weighs them less",
        )

    def check(self) -> None:
        if isinstance(self.data, AlfworldReal):
            check_games(self.root(Path()))

    def prepare(self, folder: Path, *, workers: int, tick: Tick) -> None:
        if isinstance(self.data, AlfworldGenerated):
            from pipelines.environments.alfworld.games import generate_games

            generate_games(self.data, folder, workers=workers, tick=tick)

    def panels(self, folder: Path) -> dict[str, Panel]:
        return read_panels(self.root(folder))

    def environment(self, task: Task, folder: Path) -> Environment:
        from pipelines.environments.alfworld.environment import AlfworldEnvironment

        return AlfworldEnvironment(task, self.root(folder), self.cache(folder))

    def prompt(self, past: Sequence[Turn], observation: Observation) -> Prompt:
        return prompts.prompt(past, observation, self.config.prompt)

    def read_answer(self, text: str) -> Answer:
        return prompts.read_answer(text, self.config.prompt.parsing)

    def expert(self, task: Task, folder: Path) -> Expert:
        path = (self.root(folder) / task.source).with_name("traj_data.json")
        goal = json.loads(path.read_text("utf-8"))["pddl_params"]
        return Expert(task.task_type, goal["object_target"].lower(), goal["parent_target"].lower())

    def corpus(self, folder: Path) -> Iterator[str]:
        """Every entity type of the training games, with a number and without, and every sentence form: demonstrations
        of some of the games, as the agent reads them."""
        tasks = self.panels(folder)["train"].tasks
        for task in tasks:
            problem = json.loads((self.root(folder) / task.source).read_text("utf-8"))["pddl_problem"]
            for kind in sorted(set(_TYPE.findall(problem))):
                yield f"{kind.lower()} 1"
                yield f" {kind.lower()} 1"
                yield f" {kind.lower()}"
        yield from self.texts(tasks[:_SPOKEN], folder, _SPOKEN_STEPS)
