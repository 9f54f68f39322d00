"""Errors of Hydra, OmegaConf and pydantic as one readable line with the alternatives. Light to import."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

CONF = Path(__file__).resolve().parent.parent / "conf"
_SHOWN = 4  # wrong values said in one line
_LONG = 300
_UNION_TAGS = {
    "alfworld", "webshop", "deepsearch", "generated", "real", "webshop_generated", "webshop_real", "deepsearch_generated",
    "deepsearch_real", "local", "scripted",
}  # fmt: skip
_CHOSEN_BY_GROUP = {"benchmark.name": "benchmark", "data.source": "data", "policy.name": "policy"}


def explain_validation(problems: Sequence[Any], overrides: Sequence[str] = ()) -> str:
    """pydantic's list of problems. ``overrides`` are searched for a discriminator set by hand, where its group must be
    chosen instead: the rest of that section then fits nothing."""
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        if key in _CHOSEN_BY_GROUP and any(_key(p).startswith(f"{_CHOSEN_BY_GROUP[key]}.") for p in problems):
            group, option = _CHOSEN_BY_GROUP[key], value.rpartition("_")[2]  # webshop_real is the benchmark's data=real
            return f"{override}: choose the whole group instead, {group}={option}{known(options(group))}"
    said = [_problem(problem) for problem in problems]
    return "; ".join(said[:_SHOWN]) + (f"; and {len(said) - _SHOWN} more" if len(said) > _SHOWN else "")


def _key(problem: Mapping[str, Any]) -> str:
    place = [str(part) for part in problem["loc"]]
    inside = place[1:] if place[:1] == ["experiment"] else place
    return ".".join(part for i, part in enumerate(inside) if i == 0 or part not in _UNION_TAGS)


def _problem(problem: Mapping[str, Any]) -> str:
    key, message = _key(problem), str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"unknown key {key}{closest(key, known_keys())}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    if problem["type"] == "value_error" and isinstance(
        problem["input"], Mapping
    ):  # of a whole section: all of its values
        return f"{key}: {message}" if key else message
    return f"{key} = {_short(repr(problem['input']))}: {message}" if key else message


def explain(error: Exception) -> str:
    """An error of Hydra's composition."""
    text = str(error).strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    for pattern, say in _SAYINGS:
        found = re.search(pattern, text)
        if found:
            return _short(say(found, text))
    return _short("; ".join(line for line in lines[:2] if not line.startswith("See https")))


def _no_option(found: re.Match[str], text: str) -> str:
    group, _, option = found[1].rpartition("/")
    alternatives = [o for o in re.findall(r"^\t(\S+)$", text, re.MULTILINE) if "=" not in o]
    if not alternatives:
        return f"unknown group {group}{closest(group, groups())}"
    return f"{group}={option}: no such option{closest(option, alternatives)}"


def _unknown_key(found: re.Match[str], _: str) -> str:
    key = found[1]
    if key in _sections():
        return f"{key} is a section: set its values one by one, e.g. {_sections()[key]}=…"
    return f"unknown key {key}{closest(key, known_keys())}"


_SAYINGS: tuple[tuple[str, Any], ...] = (
    (r"Could not (?:find|load) '([^']+)'[\s\S]*Available options", _no_option),
    (r"Could not find '([^']+)'", _no_option),
    (r"Could not override '([^'@]+)[^']*'", _unknown_key),
    (r"Key '([^']+)' is not in struct", _unknown_key),
    (r"Ambiguous value for argument '([^']+)'", lambda m, _: f"{m[1]}: several values need -m (python -m flows -m …)"),
    (r"Multiple values for (\w+)", lambda m, _: f"{m[1]} is set twice: write {m[1]}=… without the +"),
    (r"Error resolving interpolation '[^']+', possible interpolation keys: (\w+)$",
     lambda m, _: f"{m[1]} is set twice: write {m[1]}=… without the +"),  # the second is read before what it asks for
    (r"Could not append to config\. An item is already at '([^']+)'", lambda m, _: f"{m[1]} exists: leave the + out"),
    (r"Error parsing override '([^']+)'", lambda m, _: f"cannot read '{m[1]}': write key=value"),
    (r"LexerNoViableAltException: (\S+)|no viable alternative at input '([^']+)'",
     lambda m, _: f"cannot read {m[1] or m[2]}: write key=value, and quote special characters"),
    (r"Key '([^']+)' not in '\w+'\s+full_key: (\S+)", lambda m, _: f"unknown key {m[2]}"),
)  # fmt: skip


# ------------------------------------------------------------------------------------------------------- what there is


def groups() -> list[str]:
    return sorted({path.parent.name for path in CONF.glob("*/*.yaml")})


def options(group: str) -> list[str]:
    return sorted(path.stem for path in CONF.glob(f"{group}/*.yaml"))


def known_keys() -> list[str]:
    """Every group, and every dotted key that is not a section."""
    return sorted({key for key, is_section in _keys() if not is_section} | set(groups()))


def _sections() -> dict[str, str]:
    """Sections that are no groups, with one of their keys."""
    names = {key for key, is_section in _keys() if is_section}
    return {name: next(key for key in known_keys() if key.startswith(f"{name}.")) for name in names}


def _keys() -> Iterator[tuple[str, bool]]:
    import yaml

    def walk(prefix: str, node: object) -> Iterator[tuple[str, bool]]:
        for name, child in node.items() if isinstance(node, dict) else ():
            if prefix or name not in ("defaults", "hydra", "scale"):
                yield f"{prefix}{name}", isinstance(child, dict)
                yield from walk(f"{prefix}{name}.", child)

    for path in sorted(CONF.rglob("*.yaml")):  # also a group's parts for one benchmark: data/generated/webshop.yaml
        group = path.relative_to(CONF).parts[0]
        top = group in ("config.yaml", "scale")
        yield from walk("" if top else f"{group}.", yaml.safe_load(path.read_text()))


def closest(word: str, alternatives: Sequence[str]) -> str:
    """``; did you mean …?`` with the nearest: in the same section, by the last word anywhere, or by the whole name; or
    what the section (or the top) knows."""
    section, _, last = word.rpartition(".")
    inside = [a for a in alternatives if a.rpartition(".")[0] == section]
    close = [_join(section, name) for name in _near(last, [a.rpartition(".")[2] for a in inside])]
    close += [a for a in alternatives if a.rpartition(".")[2] == last]
    if not (close or (section and inside)):
        close = _near(word, alternatives)
    close = list(dict.fromkeys(close))[:3]
    return f"; did you mean {', '.join(close)}?" if close else known(inside or groups())


def _near(word: str, words: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(word, words, n=3, cutoff=0.6) or [w for w in words if w.startswith(word)]


def _join(section: str, name: str) -> str:
    return f"{section}.{name}" if section else name


def known(alternatives: Sequence[str]) -> str:
    shown = ", ".join(alternatives[:20])
    return f"; known: {shown}{', …' if len(alternatives) > 20 else ''}"


def _short(text: str) -> str:
    return text if len(text) <= _LONG else text[:_LONG] + "…"
