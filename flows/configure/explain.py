"""Errors of Hydra, OmegaConf and pydantic as one readable line with the alternatives. Light to import."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import Tag

from flows.configure.cells import CHOICE, cells
from flows.configure.cells import CONF as CONF
from pipelines.passwords import without_passwords

_LONG = 300


def among(word: str, options: Sequence[str]) -> str:
    """``; did you mean …?`` with the nearest of a group's options, or which there are."""
    return _did_you_mean(_near(word, options)) or known(options)


def closest(key: str, keys: Sequence[str]) -> str:
    """The same of dotted keys: in the same section, by the last word anywhere, or by the whole name; or what the section (or
    the top) knows."""
    section, _, last = key.rpartition(".")
    inside = [k for k in keys if k.rpartition(".")[0] == section]
    close = [_join(section, name) for name in _near(last, [k.rpartition(".")[2] for k in inside])]
    close += [k for k in keys if k.rpartition(".")[2] == last]
    if not (close or (section and inside)):
        close = _near(key, keys)
    below = [
        k for k in keys if section and k.startswith(f"{section}.") and k not in inside
    ]  # where a key may have moved
    below.sort(key=lambda k: not k.endswith(".name"))  # what chooses the others comes first
    top = sorted([*(k for k in keys if "." not in k), *_OF_OTHER_FORM])
    return _did_you_mean(list(dict.fromkeys(close))[:3]) or known((inside if section else top) + below or top)


def known(alternatives: Sequence[str]) -> str:
    return f"; known: {', '.join(alternatives)}"


def short(text: str) -> str:
    """At most some hundred characters, without passwords: of one that is cut, nobody would see where it ends."""
    text = without_passwords(text)
    return text if len(text) <= _LONG else text[:_LONG] + "…"


def _did_you_mean(close: Sequence[str]) -> str:
    return f"; did you mean {', '.join(close)}?" if close else ""


def _near(word: str, words: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(word, words, n=3, cutoff=0.6) or [w for w in words if w.startswith(word)]


def _join(section: str, name: str) -> str:
    return f"{section}.{name}" if section else name


_OF_OTHER_FORM = ("+experiment", "hydra/launcher", "training.adapter")  # groups, as they are written
_SHOWN = 4  # wrong values in one line
_SECTIONS = {
    "config.yaml": "", "scale": "", "cluster": "policy.cluster.", "cluster/gpu": "policy.cluster.gpu.",
    "hydra": "hydra.launcher.", "training/adapter": "training.adapter.",
}  # fmt: skip
_CHOSEN_BY_GROUP = {
    "benchmark.name": "benchmark", "data.source": "data", "policy.name": "policy",
    "algorithm.estimator": "algorithm", "algorithm.estimator.name": "algorithm", "empg.arm": "empg",
}  # fmt: skip


def explain_validation(problems: Sequence[Any], overrides: Sequence[str] = ()) -> str:
    """pydantic's list of problems. ``overrides`` are searched for a discriminator set by hand, where its group must be
    chosen instead: the rest of that section then fits nothing."""
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        section = re.sub(r"\.(name|source|arm)$", ".", key)
        if key in _CHOSEN_BY_GROUP and any(_key(p).startswith(section) for p in problems):
            group = _CHOSEN_BY_GROUP[key]
            option = value.rpartition("_")[2] if group == "data" else value  # webshop_real is the benchmark's data=real
            if group in ("algorithm", "empg") and option not in options(group):  # the problem says which there are
                continue
            return f"{override}: choose the whole group instead, {group}={option}{known(options(group))}"
    texts = [without_passwords(_problem(problem)) for problem in problems]
    return "; ".join(texts[:_SHOWN]) + (f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else "")


def _key(problem: Mapping[str, Any]) -> str:
    place = [str(part) for part in problem["loc"]]
    inside = place[1:] if place[:1] == ["experiment"] else place
    return ".".join(part for i, part in enumerate(inside) if i == 0 or part not in _union_tags())


@cache
def _union_tags() -> frozenset[str]:
    """What tells the members of a section's union apart: pydantic puts it into a problem's place, where it is no key."""
    from pipelines.config import ExperimentConfig

    return frozenset(_tags_below(ExperimentConfig))


def _names_of(key: str) -> list[str]:
    """The members of the union that is at a key, by what tells them apart."""
    from pipelines.config import ExperimentConfig

    *way, last = key.split(".")
    section: Any = ExperimentConfig
    for name in way:
        section = section.model_fields[name].annotation
    field = section.model_fields[last]
    kinds = (member.model_fields[field.discriminator].annotation for member in _members(field.annotation))
    return [name for kind in kinds for name in get_args(kind)]


def _tags_below(section: Any) -> Iterator[str]:
    for field in section.model_fields.values():
        for member in _members(field.annotation):
            if isinstance(member, Tag):
                yield member.tag
            if hasattr(member, "model_fields"):
                if isinstance(field.discriminator, str):
                    yield from get_args(member.model_fields[field.discriminator].annotation)
                yield from _tags_below(member)


def _members(annotation: Any) -> Iterator[Any]:
    """Of a union, however deep."""
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for part in inner:
        yield from _members(part)


def _problem(problem: Mapping[str, Any]) -> str:
    key, message = _key(problem), str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return _unknown(key)
    if problem["type"] == "missing":
        return f"{key} is missing"
    if problem["type"] == "union_tag_invalid":
        found = problem["ctx"]
        return (
            f"{key}.{found['discriminator'].strip(chr(39))} = {found['tag']!r}: choose one of {found['expected_tags']}"
        )
    if problem["type"] == "model_attributes_type":  # a word in place of a section
        return f"{key} = {short(repr(problem['input']))}: choose one of {', '.join(_names_of(key))}"
    if not key or isinstance(problem["input"], dict):  # a section: the message names its values
        return f"{key}: {message}" if key else message
    return f"{key} = {short(repr(problem['input']))}: {message}"


def explain(error: Exception, overrides: Sequence[str] = ()) -> str:
    """An error of Hydra's composition of ``overrides``, without passwords."""
    return without_passwords(_explained(error, overrides))


def _explained(error: Exception, overrides: Sequence[str]) -> str:
    text = str(error).strip()
    if (override := getattr(error, "override", None)) is not None:  # Hydra's OverrideParseException
        return unreadable(override)
    if "Config group override must be a string" in text:  # Hydra read a number, and names nothing
        return next((_no_name(override) for override in overrides if _chooses_a_number(override)), text)
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    for pattern, say in _SAYINGS:
        found = re.search(pattern, text)
        if found:
            return short(say(found, text))
    return short("; ".join(line for line in lines[:2] if not line.startswith("See https")))


def _chooses_a_number(override: str) -> bool:
    key, _, value = override.lstrip("+").partition("=")
    return key in groups() and bool(re.fullmatch(r"[-+]?[\d.]+(e\d+)?|true|false", value, re.IGNORECASE))


def _no_name(override: str) -> str:
    group, _, option = override.lstrip("+").partition("=")
    return f"{group}={option}: no such option{among(option, options(group))}"


def unreadable(override: str) -> str:
    """What to say of an override that Hydra's grammar does not read: how to quote its value, where that is the remedy."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Quote, QuotedString
    from hydra.errors import HydraException

    key, equals, value = override.partition("=")
    if not equals:
        return f"cannot read {override}: write key=value"
    quoted = f"{key}={QuotedString(value, Quote.single).with_quotes()}"
    try:
        OverridesParser.create().parse_overrides([quoted])
    except HydraException:
        return f"cannot read {override}: write key=value"
    in_a_shell = shlex.quote(quoted) if set(value) & set('"$`\\!') else f'"{quoted}"'
    return f"cannot read {override}: Hydra reads some of its characters as syntax; quote the value: {in_a_shell}"


def _no_option(found: re.Match[str], text: str) -> str:
    if found[1].startswith("experiment"):
        return no_cell(found[1].removeprefix("experiment").lstrip("/"))
    group, _, option = found[1].rpartition("/")
    alternatives = [o for o in re.findall(r"^\t(\S+)$", text, re.MULTILINE) if "=" not in o]
    if f"options in '{group}'" not in text:  # of a part of a group, Hydra lists the group's
        alternatives = options(group) or alternatives
    if not alternatives:
        return f"unknown group {group}{closest(group, groups())}"
    return f"{group}={option}: no such option{among(option, alternatives)}"


def no_cell(name: str) -> str:
    """What to say of ``+experiment=<name>``, a name or a glob that is none."""
    close = difflib.get_close_matches(name, cells(), n=3, cutoff=0.6)
    inside = [cell for cell in cells() if cell.startswith(f"{name.rstrip('/')}/")]
    if set("*?[") & set(name):
        hint = f"several are -m '{CHOICE}glob({name})'"
    elif inside:
        hint = f"it is a folder of {len(inside)}: write {CHOICE}{inside[0]}, or -m '{CHOICE}glob({name.rstrip('/')}/*)'"
    elif close:
        hint = f"did you mean {', '.join(close)}?"
    else:
        hint = there_are()
    return f"{CHOICE}{name}: no such cell; {hint}"


def there_are() -> str:
    folders = sorted({cell.rpartition("/")[0] for cell in cells()})
    return f"there are {', '.join(f'{folder}/…' for folder in folders)} (conf/experiment)"


def _unknown_key(found: re.Match[str], text: str) -> str:
    key = found[1]
    if key == "experiment":
        return f"a cell is added: write {CHOICE}…, with the +"
    if key.startswith("experiment/"):
        return f"override {key.rpartition('/')[2]}: write override /{key.rpartition('/')[2]}: …, with the /"
    inner = re.search(r"Did you mean to override (\S+@\S+)\?", text)
    if inner:
        return f"{key} is a part of {inner[1].partition('@')[2]}: write {inner[1]}=…"
    if key in _parts():
        return f"{key} is a part of another group, which is not chosen here ({_parts()[key]} has a {key})"
    if key in _sections():
        return f"{key} is a section: set its values one by one, e.g. {_sections()[key]}=…"
    return _unknown(key)


def _unknown(key: str) -> str:
    """A key that nobody has, or one that only something else than what is chosen has."""
    homes = _homes(key)
    if homes:
        return f"{key} is no key of what is chosen: it belongs to {' or '.join(homes[:_SHOWN])}"
    return f"unknown key {key}{closest(key, known_keys())}"


def _twice(group: str) -> str:
    return f"{group} is set twice: write {group}=… without the +, or in a file override /{group}: …"


_SAYINGS: tuple[tuple[str, Any], ...] = (
    (r"(while (?:parsing|scanning) [^\n]+)\n[\s\S]*?line (\d+)", lambda m, _: f"line {m[2]} is no YAML ({m[1].strip()})"),
    (r"Could not (?:find|load) '([^']+)'[\s\S]*Available options", _no_option),
    (r"Could not (?:find|load) '([^']+)'", _no_option),
    (r"Could not override '([^'@]+)[^']*'", _unknown_key),
    (r"Key '([^']+)' is not in struct", _unknown_key),
    (r"Ambiguous value for argument '([^']+)'", lambda m, _: f"{m[1]}: several values need -m (python -m flows -m …)"),
    (r"Multiple values for (\w+)|(\S+) appears more than once in the final defaults list", lambda m, _: _twice(m[1] or m[2])),
    (r"Error resolving interpolation '[^']+', possible interpolation keys: (\w+)$",
     lambda m, _: _twice(m[1])),  # the second is read before what it asks for
    (r"Could not append to config\. An item is already at '([^']+)'", lambda m, _: f"{m[1]} exists: leave the + out"),
    (r"Interpolation key '([^']+)' not found[\s\S]*full_key: (\S+)",
     lambda m, _: f"{m[2]}: ${{{m[1]}}} is no value of the configuration; the shell's is written ${m[1]} or \\${{{m[1]}}}"),
    (r"Unsupported item value in defaults : bool", lambda *_: "YAML reads a bare off, on, yes, no as true or false: quote it"),
    (r"Key '([^']+)' not in '\w+'\s+full_key: (\S+)", lambda m, _: f"unknown key {m[2]}"),
)  # fmt: skip


# ------------------------------------------------------------------------------------------------------- what there is


def groups() -> list[str]:
    return sorted({path.parent.name for path in CONF.glob("*/*.yaml")})


def options(group: str) -> list[str]:
    return sorted(path.stem for path in CONF.glob(f"{group}/*.yaml"))


@cache
def _parts() -> dict[str, str]:
    """Groups that only an option of another group brings in, with that option: cluster → policy=openrlhf."""
    return {
        part: f"{path.parent.name}={path.stem}"
        for path in sorted(CONF.glob("*/*.yaml"))
        for part in re.findall(r"^ *- /(\w+)@", path.read_text("utf-8"), re.MULTILINE)
    }


def known_keys() -> list[str]:
    """Every group, and every dotted key that is not a section."""
    return sorted({key for key, is_section, _ in _keys(CONF) if not is_section} | set(groups()))


def _sections() -> dict[str, str]:
    """Sections that are no groups, with one of their keys."""
    names = {key for key, is_section, _ in _keys(CONF) if is_section}
    keys = known_keys()
    return {name: next(key for key in keys if key.startswith(f"{name}.")) for name in names}


def _homes(key: str) -> list[str]:
    """What must be chosen for a key or section to be there."""
    return list(dict.fromkeys(_chosen_by(path) for name, _, path in _keys(CONF) if f"{name}.".startswith(f"{key}.")))


def _chosen_by(path: Path) -> str:
    """The override that reads a file: ``conf/policy/vllm.yaml`` is policy=vllm, ``conf/data/real/webshop.yaml`` data=real
    of another benchmark."""
    group, *folders, option = path.relative_to(CONF).with_suffix("").parts
    match group, folders:
        case part, _ if part in _parts():
            return _parts()[part]
        case "hydra", [part]:
            return f"hydra/{part}={option}"
        case "training", [part]:
            return f"training.{part}={option}"
        case "data", [part]:
            return f"data={part} benchmark={option}"
        case "scale", ["adapted"]:
            scale, _, benchmark = option.partition("_")
            return f"scale={scale} benchmark={benchmark}"
    return f"{group}={'/'.join([*folders, option])}"


@cache
def _keys(conf: Path) -> list[tuple[str, bool, Path]]:
    """Every dotted key of ``conf/``, whether it is a section, and the file that has it."""
    import yaml

    found: list[tuple[str, bool, Path]] = []

    def walk(prefix: str, node: object) -> Iterator[tuple[str, bool]]:
        for name, child in node.items() if isinstance(node, dict) else ():
            if name != "defaults" and (prefix or name not in ("hydra", "scale")):
                yield f"{prefix}{name}", isinstance(child, dict) and bool(child)
                yield from walk(f"{prefix}{name}.", child)

    for path in sorted(conf.rglob("*.yaml")):  # also a group's parts for one benchmark: data/generated/webshop.yaml
        folder, group = str(path.parent.relative_to(conf)), path.relative_to(conf).parts[0]
        if group == "experiment":  # cells set what stands elsewhere
            continue
        text = path.read_text("utf-8")
        section = _package(text) or _SECTIONS.get(folder, _SECTIONS.get(group, f"{group}."))
        values = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        found += [(key, is_section, path) for key, is_section in walk(section, values)]
    return found


def _package(text: str) -> str | None:
    """The section that a file says it fills, where that is not the one of its folder."""
    found = re.match(r"# @package (\w+(?:\.\w+)+)\n", text)
    return f"{found[1]}." if found else None
