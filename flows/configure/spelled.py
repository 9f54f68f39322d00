"""The command that makes a run: the same for the same experiment, however it was asked for."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from flows.configure.choices import GROUPS, choices_of
from flows.configure.compose import CONF, composed, composer, validated
from flows.configure.explain import options
from pipelines.config import ExperimentConfig, RunConfig
from pipelines.errors import ConfigError
from pipelines.sections import FolderData

_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")  # texts that Hydra reads as they are
_Known = dict[tuple[str, ...], ExperimentConfig]
_NO_TEXT = frozenset({"true", "false", "null", "nan", "inf"})


def command_of(experiment: ExperimentConfig) -> str:
    """``python -m flows …``, as a shell reads it. Raises as ``overrides_of``."""
    return _as_command(overrides_of(experiment))


def overrides_of(experiment: ExperimentConfig) -> list[str]:
    """What composes to the experiment: the options of its groups, then every value in which these differ from it.

    Raises:
        ConfigError: they cannot be composed. ValueError: they compose to something else.
    """
    with composer():
        return _overrides(experiment, {})


def spelled(asked: Sequence[tuple[Sequence[str], RunConfig]]) -> list[RunConfig]:
    """Configurations with their commands; a run that none is known of goes on without. ``asked``: each with the overrides that it was
    composed of. Composing is slow: nothing is composed for runs of options alone, and seeds of a cell are composed once."""
    found: dict[str, list[str]] = {}
    known: _Known = {}
    told = []
    with composer():
        for overrides, config in asked:
            first = config.experiment.model_copy(update={"seed": 0})
            if (cell := str((first.values(), _root(first)))) not in found:
                found[cell] = _by_options(overrides, first) or _overrides_or_none(first, known)
            told.append(_with_command(config, found[cell]))
    return told


def _by_options(overrides: Sequence[str], experiment: ExperimentConfig) -> list[str]:
    """Of a run that is asked for by options alone; else none. To say an option that is chosen anyway changes nothing."""
    choices, named = choices_of(overrides), _groups(experiment.values())
    if choices is None or _root(experiment):
        return []
    return named if named == [*(f"{group}={choices[group]}" for group in GROUPS), f"seed={experiment.seed}"] else []


def _with_command(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    seed = f"seed={config.experiment.seed}"
    command = _as_command([seed if each == "seed=0" else each for each in overrides]) if overrides else ""
    return config.model_copy(update={"command": command})


def _overrides_or_none(experiment: ExperimentConfig, known: _Known) -> list[str]:
    try:
        return _overrides(experiment, known)
    except (ConfigError, ValueError) as error:
        print(f"warning: no command is known that makes a run again ({error})", file=sys.stderr, flush=True)
        return []


def _as_command(overrides: Sequence[str]) -> str:
    return shlex.join(["python", "-m", "flows", *overrides])


def _overrides(experiment: ExperimentConfig, known: _Known) -> list[str]:
    """Composes as seldom as can be. ``known``: what was composed of options, which cells may share."""
    wanted, root = experiment.values(), _root(experiment)
    overrides = _groups(wanted)
    found = known[tuple(overrides)] = known.get(tuple(overrides)) or _composed(overrides)
    if parts := [*_parts(wanted, found.values()), *([f"data.root={_spelled(root)}"] if root else [])]:
        overrides += parts
        found = _composed(overrides)
    if differing := list(_differences("", found.values(), wanted)):
        overrides += differing
        found = _composed(overrides)
    if found.values() != wanted or _root(found) != root:
        differing = list(_differences("", found.values(), wanted))
        raise ValueError(f"{shlex.join(overrides)} is another run: {differing or f'its data are in {_root(found)}'}")
    return overrides


def _composed(overrides: Sequence[str]) -> ExperimentConfig:
    return validated(composed(overrides), overrides).experiment


def _root(experiment: ExperimentConfig) -> str | None:
    """Where a benchmark's own files lie, which no value says, and which a variable may say differently another day."""
    data = experiment.data
    return str(data.folder) if isinstance(data, FolderData) and data.folder else None


def _groups(values: Mapping[str, Any]) -> list[str]:
    """Options by the names of what is chosen; where there is none of that name, the values say it."""
    names = (
        values["scale"], values["benchmark"]["name"], values["model"]["name"], values["algorithm"]["name"], values["empg"]["arm"],
    )  # fmt: skip
    named = {group: _options_by_name(group).get(str(name)) for group, name in zip(GROUPS, names, strict=True)}
    return [*(f"{group}={option}" for group, option in named.items() if option is not None), f"seed={values['seed']}"]


def _parts(values: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What a scale chooses too, where the run has another."""
    parts = []
    if values["data"]["source"] != found["data"]["source"]:
        parts.append(f"data={values['data']['source'].rpartition('_')[2]}")
    if values["policy"]["name"] != found["policy"]["name"]:
        parts.append(f"policy={values['policy']['name']}")
    adapters = [values["training"]["adapter"], found["training"]["adapter"]]
    if (adapters[0] is None) != (adapters[1] is None):
        parts.append(f"training.adapter={adapters[0]['name'] if adapters[0] else 'null'}")
    return parts


@cache
def _options_by_name(group: str) -> dict[str, str]:
    """The options of a group by the name that its file gives, which a configuration knows it by."""
    import yaml

    names = {option: yaml.safe_load((CONF / group / f"{option}.yaml").read_text("utf-8")) for option in options(group)}
    return {str((said or {}).get("name", (said or {}).get("arm", option))): option for option, said in names.items()}


def _differences(key: str, found: Any, wanted: Any) -> Iterator[str]:
    """Overrides that make ``wanted`` of ``found``."""
    if isinstance(found, dict) and isinstance(wanted, dict) and found.keys() == wanted.keys():
        for name in wanted:
            yield from _differences(f"{key}.{name}" if key else name, found[name], wanted[name])
    elif type(found) is not type(wanted) or found != wanted:
        if isinstance(found, dict) and isinstance(wanted, dict):  # of another kind: no key of the old one may stay
            yield f"~{key}"
            yield f"+{key}={_spelled(wanted)}"
        else:
            yield f"{key}={_spelled(wanted)}"


def _spelled(value: Any) -> str:
    """As Hydra reads it."""
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return f"{{{','.join(f'{name}:{_spelled(inner)}' for name, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_spelled, value))}]"
    if not isinstance(value, str) or (_PLAIN.fullmatch(value) and value.lower() not in _NO_TEXT):
        return str(value)
    from hydra.core.override_parser.types import Quote, QuotedString

    return str(QuotedString(value, Quote.single).with_quotes())
