"""What a command line of ``python -m flows.credit`` asks for, read before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from empg.credit import ESTIMATORS, MODULATORS
from flows.configure.explain import among
from pipelines.config.views import AdvantageView
from pipelines.credit.methods import MODULATOR_OF_ARM, lacks, methods
from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from flows.windows.terminal import Bar

HOW = ("execution.artifacts", "execution.progress")
METHODS = ("credit", *ESTIMATORS, *MODULATORS)
_HELP = "see python -m flows.credit --help"


@dataclass(frozen=True)
class Asked:
    """The command line: ``values`` by key, and the methods' ``settings`` by the registry's names."""

    what: str
    run: Path
    values: dict[str, str]
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def listed(self, key: str, default: Sequence[str], known: Sequence[str]) -> list[str]:
        """The names that ``key`` lists. Raises ConfigError: one that nobody knows, or none."""
        names = self.values[key].split(",") if key in self.values else list(default)
        for name in names:
            if name not in known:
                raise ConfigError(f"{key}={self.values.get(key, name)}: no {name or 'name'}{among(name, known)}")
        return list(dict.fromkeys(names))

    @property
    def artifacts(self) -> Path:
        return Path(self.values.get("execution.artifacts", "artifacts"))

    @property
    def folder(self) -> Path:
        """Of what is written."""
        return Path(self.values.get("out", self.usual(self.what)))

    @property
    def cluster(self) -> list[str]:
        """The override that chooses where a policy of several processes runs; none: as the run's scale has it."""
        return [f"cluster@policy.cluster={self.values['cluster']}"] if "cluster" in self.values else []

    def usual(self, what: str) -> Path:
        """The folder that a command writes where nothing else is said."""
        run = self.run.resolve()
        return Path("credit", f"{run.parent.name}-{run.name}-{what}")

    def number(self, key: str, default: int, least: int) -> int:
        """Raises ConfigError: no whole number, or too small a one."""
        text = self.values.get(key, str(default))
        if not text.isdecimal() or int(text) < least:
            raise ConfigError(f"{key}={text}: give a whole number, at least {least}")
        return int(text)

    def is_true(self, key: str, default: str) -> bool:
        """Raises ConfigError: neither true nor false."""
        if (text := self.values.get(key, default)) not in ("true", "false"):
            raise ConfigError(f"{key}={text}: say true or false")
        return text == "true"

    def bar(self) -> Bar:
        from flows.windows.terminal import Bar

        return Bar(self.what, shown=self.values.get("execution.progress") != "false")


@dataclass(frozen=True)
class Command:
    """``keys`` that it takes, and by the registry's names the methods whose ``settings`` it takes."""

    run: Callable[[Asked], None]
    keys: tuple[str, ...]
    settings: tuple[str, ...] = ()


def parse(arguments: Sequence[str], commands: Mapping[str, Command]) -> Asked:
    """Raises ConfigError: no command or no run, or a key that nobody knows."""
    what, *rest = arguments or ("",)
    if (command := commands.get(what)) is None:
        raise ConfigError(f"{what or 'the command'}: say one of {', '.join(commands)}; {_HELP}")
    folders = [argument for argument in rest if "=" not in argument]
    if len(folders) != 1 or folders[0].startswith("-"):
        raise ConfigError(f"{what} {' '.join(folders) or 'of nothing'}: name one run, runs/<cell>/seed<k>; {_HELP}")
    values: dict[str, str] = {}
    settings: dict[str, dict[str, Any]] = {}
    for key, _, value in (argument.partition("=") for argument in rest if "=" in argument):
        method, _, name = key.partition(".")
        if key in command.keys:
            values[key] = value
        elif name and method in command.settings:
            settings.setdefault(method, {})[name] = value
        else:
            raise ConfigError(f"{key}={value}: no {key}{among(key, [*command.keys, *command.settings])}; {_HELP}")
    return Asked(what, Path(folders[0]), values, settings)


def chosen_methods(
    asked: Asked, own: AdvantageView, records: Sequence[str]
) -> tuple[dict[str, AdvantageView], list[str]]:
    """The methods by name, and what is said of those that were left out because the run's records do not allow them."""
    estimators = asked.listed("estimators", list(ESTIMATORS), list(ESTIMATORS))
    arms = asked.listed("modulators", ["off", own.modulator.arm], list(MODULATOR_OF_ARM))
    chosen = methods(own, estimators, arms, asked.settings)
    lacking = {name: missing for name, view in chosen.items() if (missing := lacks(view, records))}
    notes = [
        f"{name} is left out: it needs {', '.join(missing)}, which the run's policy does not record."
        for name, missing in lacking.items()
    ]
    if lacking and "estimators" in asked.values:
        raise ConfigError(f"estimators={asked.values['estimators']}: {notes[0]}")
    return {name: view for name, view in chosen.items() if name not in lacking}, notes


def chosen_iterations(asked: Asked, count: int) -> list[int]:
    """Raises ConfigError: one that the run has not."""
    text = asked.values.get("iterations", "")
    chosen = (
        [part.strip() for part in text.split(",")] if "iterations" in asked.values else list(map(str, range(count)))
    )
    for part in chosen:
        if not part.isdecimal() or int(part) >= count:
            raise ConfigError(f"iterations={text}: the run has the iterations 0 to {count - 1}")
    return sorted(set(map(int, chosen)))
