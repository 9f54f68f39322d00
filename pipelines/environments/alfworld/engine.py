"""The genuine TextWorld/ALFWorld engine with its speed traps removed and not a byte of its output changed.

The planner library, the domain, the grammar and the entity names are the installed packages'; the transcript equals
``AlfredDemangler(PddlEnv(...))``'s (tests/environments/test_alfworld.py, benchmarks/bench_alfworld.py).
"""

from __future__ import annotations

import copy
import os
import re
import struct
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import fast_downward
from textworld.envs.pddl.logic import Atom, PddlState
from textworld.generator.game import EntityInfo
from textworld.logic import Placeholder, Proposition, Type, TypeHierarchy, Variable

from pipelines.environments.alfworld.facts import FactSet
from pipelines.environments.alfworld.grammar import Room, game_logic
from pipelines.environments.alfworld.patches import planner_library_at
from pipelines.environments.alfworld.prompts import NOTHING_HAPPENS
from pipelines.environments.alfworld.translation import Translation, translate


@dataclass(frozen=True, slots=True)
class EngineState:
    """What the engine says: its feedback, the admissible commands in sorted order, and whether the game is won."""

    feedback: str
    admissible: tuple[str, ...]
    won: bool


class Engine:
    """Plays one game at a time; ``load`` may be called again and again. It is not thread-safe, because the library holds
    global state."""

    def __init__(self) -> None:
        self._lib = _load_library()

    def load(self, game: Mapping[str, Any], cache_folder: Path | None = None) -> None:
        """Take a game (the JSON content of ``game.tw-pddl``). Raises DataError: its grammar could run code.

        ``_asked``: predicates whose change could change a command's text. ALFWorld has none, because receptacles do not move.
        """
        self._actions, self._grammar = game_logic(game["pddl_domain"], game["grammar"])
        self._translation = translate(game["pddl_domain"], game["pddl_problem"], cache_folder)
        self._conditional = _conditional_actions(game["pddl_domain"])
        self._state = _State(self._lib, self._translation)
        self._infos = _entity_infos(self._state)
        self._names = {key: info.name for key, info in self._infos.items()}
        self._asked = frozenset().union(*(self._grammar.queries(a.template) for a in self._actions.values()))
        self._command_texts: dict[str, str] = {}
        self._fresh = True

    def reset(self) -> EngineState:
        """Start the loaded game from its beginning."""
        if not self._fresh:
            self._state = _State(self._lib, self._translation)
        self._fresh = False
        return self._look(self._grammar.derive("#intro#", self._state, self._infos, {}))

    def follow(self, other: Engine) -> None:
        """Go on, apart from it, from where another engine is."""
        library = self._lib
        self.__dict__.update(other.__dict__)  # what a step replaces and never alters
        self._lib, self._command_texts = library, dict(other._command_texts)
        self._state = other._state.again(library)

    def step(self, command: str) -> EngineState:
        """Play a command; one that is not admissible answers ``NOTHING_HAPPENS`` and changes nothing."""
        operator = self._operators.get(command.strip())
        if operator is None:
            return EngineState(NOTHING_HAPPENS, self._current.admissible, self._current.won)
        name = operator.name.split()[0]
        changed = self._state.apply_operator(operator, conditional=name in self._conditional)
        if changed & self._asked:
            self._command_texts.clear()
        rule = self._actions[name].feedback_rule
        mapping = self._mapping(operator.name)
        return self._look(self._grammar.derive(rule, self._state, self._infos, mapping))

    def admits(self, command: str) -> bool:
        return command.strip() in self._operators

    def state_key(self) -> str:
        """Digest of the set of facts that hold in the library's state."""
        return self._state.held.digest

    def entity_names(self) -> dict[str, str]:
        """PDDL name → the name in the text ("desk 1") of the loaded game's entities."""
        return dict(self._names)

    def _look(self, feedback: str) -> EngineState:
        """Find the admissible commands and ask for the goal in the new state. Of several operators with one text the first
        counts."""
        self._operators: dict[str, Any] = {}
        for operator in self._state.operators():
            self._operators.setdefault(self._command(operator.name), operator)
        self._current = EngineState(feedback, tuple(sorted(self._operators)), bool(self._lib.check_goal()))
        return self._current

    def _command(self, operator: str) -> str:
        text = self._command_texts.get(operator)
        if text is None:
            template, mapping = self._actions[operator.split()[0]].template, self._mapping(operator)
            text = self._grammar.derive(template, self._state, self._infos, mapping)
            self._command_texts[operator] = text
        return text

    def _mapping(self, operator: str) -> dict[Placeholder, Variable]:
        name, *arguments = operator.split()
        return {
            _placeholder(parameter, kind): Variable(argument, kind)
            for (parameter, kind), argument in zip(self._translation.parameters[name], arguments, strict=False)
        }


class _State(PddlState):
    """textworld's ``PddlState`` from a ready translation, without the replanning twin."""

    def __init__(self, lib: Any, translation: Translation) -> None:
        self._facts: dict[Any, set[Any]] = defaultdict(set)
        self._vars_by_name: dict[str, Any] = {}
        self._vars_by_type: dict[str, set[Any]] = defaultdict(set)
        self._var_counts: Counter[str] = Counter()
        self._logic = _Types(translation.types)
        self.downward_lib, self.name2type, self.room = lib, translation.name_to_type, Room()
        self._sas = translation.sas
        self._applied: list[tuple[int, int]] = []  # operators by their number, with the count of their effects
        lib.load_sas(self._sas)
        kinds = self.name2type
        self.add_facts(
            Proposition(name, [Variable(a, kinds[a]) for a in args]) for name, args in translation.initial_facts
        )
        self.add_facts(fact for atom in self._atoms() if not (fact := atom.get_fact(kinds)).is_negation)
        self.held = FactSet(fact for fact in self.facts if not _is_derived(fact))

    def again(self, lib: Any) -> _State:
        """The same state in another library, apart from this one: there the operators are applied again, without the texts."""
        twin = copy.copy(self)
        twin.downward_lib, twin.room, twin.held = lib, Room(), self.held.copy()
        twin._applied, twin._var_counts = list(self._applied), Counter(self._var_counts)
        twin._facts = defaultdict(set, {signature: set(facts) for signature, facts in self._facts.items()})
        twin._vars_by_name = dict(self._vars_by_name)
        twin._vars_by_type = defaultdict(set, {kind: set(found) for kind, found in self._vars_by_type.items()})
        lib.load_sas(self._sas)
        for number, effects in self._applied:
            lib.apply_operator(number, (Atom * effects)())
        return twin

    def facts_with_signature(self, signature: Any) -> Any:
        """What textworld looks at for each step of a search for a condition's assignments, also of one that finds none."""
        found = super().facts_with_signature(signature)
        self.room.take(1 + len(found))
        return found

    def operators(self) -> list[Any]:
        """The applicable operators in the library's order; of several with one name the first."""
        found = (fast_downward.Operator * self.downward_lib.get_applicable_operators_count())()
        self.downward_lib.get_applicable_operators(found)
        first: dict[str, Any] = {}
        for operator in found:
            first.setdefault(operator.name, operator)
        return list(first.values())

    def apply_operator(self, operator: Any, *, conditional: bool) -> set[str]:
        """Apply and return the names of the predicates that changed.

        ``conditional``: some of the operator's effects depend on a condition. The library reports all of them, applied or
        not, and the text facts take them as reported, as the stock engine's do; ``held`` reads them from the library.
        """
        effects = (Atom * operator.nb_effect_atoms)()
        self.downward_lib.apply_operator(operator.id, effects)
        self._applied.append((operator.id, operator.nb_effect_atoms))
        facts = [effect.get_fact(self.name2type) for effect in effects]
        changed = set()
        for fact in facts:
            opposite = fact.negate()
            self.remove_fact(opposite)
            self.add_fact(fact)
            changed |= {fact.name, opposite.name}
        for fact in self._as_held(effects) if conditional else facts:
            self.held.settle(fact)
        return changed

    def _atoms(self) -> Any:
        """Every variable of the library's state: an atom that holds, or the negation of one that does not."""
        atoms = (Atom * self.downward_lib.get_state_size())()
        self.downward_lib.get_state(atoms)
        return atoms

    def _as_held(self, effects: Any) -> list[Proposition]:
        """The facts that the effects speak of, each as it is in the library's state."""
        asked = {effect.name.partition(" ")[2] for effect in effects}
        return [a.get_fact(self.name2type) for a in self._atoms() if a.name.partition(" ")[2] in asked]


def _is_derived(fact: Proposition) -> bool:
    """Whether the translator made it up: its value follows from the other facts, and no effect reports it."""
    return bool(fact.name.startswith("new-axiom@"))


@lru_cache(maxsize=8)
def _conditional_actions(domain: str) -> frozenset[str]:
    """Names (lower case, as operators have them) of the domain's actions of which an effect depends on a condition."""
    bodies = re.sub(r";.*", "", domain).lower().split("(:action ")[1:]
    return frozenset(body.split()[0] for body in bodies if re.search(r"\(\s*when\b", body))


class _Types:
    """The part of ``GameLogic`` that a state's queries need. Every game has a fresh hierarchy."""

    def __init__(self, types: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
        self.types = TypeHierarchy()
        for name, supertypes in types:
            with suppress(ValueError):  # a name given twice, as PddlState lets pass
                self.types.add(Type(name, supertypes))


@cache
def _placeholder(name: str, kind: str) -> Placeholder:
    return Placeholder(name, kind)


def _entity_infos(state: _State) -> dict[str, EntityInfo]:
    """Entities with ALFWorld's names ("desk 1"), as ``PddlEnv._get_entity_infos`` and ``AlfredDemangler`` give them."""
    os.environ.setdefault("ALFWORLD_DATA", tempfile.gettempdir())  # else alfworld.info makes a folder in the home
    from alfworld.agents.utils.misc import Demangler

    infos = {v.name: EntityInfo(v.name, v.type) for fact in state.facts for v in fact.arguments}
    for info in infos.values():
        info.name, info.definite, info.indefinite = info.id, "the", "a"
    names = Demangler(game_infos=infos, shuffle=False)
    for info in infos.values():
        info.name = names.demangle_alfred_name(info.id)
    return infos


@cache
def _loadable_library() -> bytes:
    """libdownward.so without its debug sections, which the loader does not read. Every engine maps a copy of its own that is
    never released; this one has 1 MB instead of 34."""
    image = Path(fast_downward.interface.DOWNWARD_LIB_PATH).read_bytes()
    if image[:6] != b"\x7fELF\x02\x01":  # 64-bit little-endian only
        return image
    offset, entry, count = (*struct.unpack_from("<Q", image, 32), *struct.unpack_from("<HH", image, 54))
    headers = [struct.unpack_from("<IIQQQQQQ", image, offset + i * entry) for i in range(count)]
    end = max(p_offset + p_filesz for _, _, p_offset, _, _, p_filesz, _, _ in headers)
    cut = bytearray(image[:end])
    struct.pack_into("<Q", cut, 40, 0)  # no section headers
    struct.pack_into("<HHH", cut, 58, 0, 0, 0)
    return bytes(cut)


def _load_library() -> Any:
    """``fast_downward.load_lib`` on the cut copy: same functions, same signatures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "libdownward.so"
        path.write_bytes(_loadable_library())
        with planner_library_at(path):
            return fast_downward.load_lib()
