"""The game's own text grammar, parsed once and evaluated without copying.

textworld's ``ContextSensitiveGrammar`` parses every template with TatSu at every step and deep-copies the context for
every symbol. The symbols and rules here are textworld's own; only the evaluation is ours: it gives the same text and runs no code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any

from textworld.envs.pddl import textgen
from textworld.envs.pddl.logic import GameLogic
from textworld.logic import Rule

from pipelines.environments.alfworld.expressions import parsed, value
from pipelines.environments.alfworld.patches import rules_of, symbols_of
from pipelines.errors import DataError

_GOAL = re.compile(r'("rhs": "Your task is to: )([A-Za-z0-9 ,\'-]+)(\.")')
_PLACEHOLDER = "GOALPLACEHOLDER"
_MOST = 100_000  # symbols and characters of one text, and facts looked at for it; the longest genuine ones have some thousand


_symbols = lru_cache(maxsize=256)(symbols_of)


@lru_cache(maxsize=256)
def _query(expression: str) -> Rule:
    return Rule.parse_conjunctive_query(expression)


@lru_cache(maxsize=8)
def _logic(domain: str, grammar: str) -> GameLogic:
    """The game's logic, none of whose expressions can run code. Raises DataError."""
    logic = GameLogic(domain=domain, grammar=grammar)
    rules = chain.from_iterable(rules_of(logic.grammar).values())
    templates = [text for action in logic.actions.values() for text in (action.template, action.feedback_rule)]
    for symbol in chain(*(rule.rhs for rule in rules), *map(_symbols, templates)):
        _check(symbol)
    return logic


def _check(symbol: Any) -> None:
    match symbol:
        case textgen.ListSymbol():
            _check(symbol.symbol)
        case textgen.ConditionalSymbol():
            _check(symbol.expression)
        case textgen.EvalSymbol():
            parsed(symbol.expression)


def game_logic(domain: str, grammar: str) -> tuple[Mapping[str, Any], Grammar]:
    """The game's actions by name, and its grammar. Games differ in their goal sentence alone: the grammar is parsed
    with a placeholder (24 ms, once) and the sentence substituted afterwards. A sentence that the pattern does not know
    is parsed as it is.

    Raises:
        DataError: an expression of the grammar says more than the genuine ones do.
    """
    match = _GOAL.search(grammar)
    if match is None:
        logic = _logic(domain, grammar)
        return logic.actions, Grammar(rules_of(logic.grammar), "")
    logic = _logic(domain, grammar[: match.start(2)] + _PLACEHOLDER + grammar[match.end(2) :])
    return logic.actions, Grammar(rules_of(logic.grammar), match[2])


class Room:
    """What one text may still take: its symbols, its characters, and the facts that are looked at for its conditions."""

    def __init__(self) -> None:
        self._left = _MOST

    def clear(self) -> None:
        self._left = _MOST

    def take(self, some: int) -> None:
        """Raises DataError: there is no more."""
        self._left -= some
        if self._left < 0:
            raise DataError(
                f"a text of its grammar takes more than {_MOST} characters, symbols and facts: download or generate the games again"
            )


class Grammar:
    """Derives text from (template, state, variables); see ``ContextSensitiveGrammar.derive``."""

    def __init__(self, rules: Mapping[str, list[Any]], goal: str) -> None:
        self._rules, self._goal = rules, goal

    def derive(self, template: str, state: Any, infos: Mapping[str, Any], mapping: Mapping[Any, Any]) -> str:
        """``state``: the engine's. Raises DataError: the text is endless, or an expression cannot be read."""
        state.room.clear()
        variables = {ph.name: infos[var.name] for ph, var in mapping.items()}
        return "".join(self._text(s, state, infos, variables, mapping) for s in _symbols(template))

    def queries(self, template: str) -> frozenset[str]:
        """Names of the predicates that the template's own conditions ask for."""
        names: set[str] = set()
        for symbol in _symbols(template):
            while isinstance(symbol, textgen.ListSymbol):
                symbol = symbol.symbol
            if isinstance(symbol, textgen.ConditionalSymbol) and symbol.given:
                names |= {p.name for p in _query(symbol.given).preconditions}
        return frozenset(names)

    def _text(self, symbol: Any, state: Any, infos: Any, variables: Mapping[str, Any], mapping: Any) -> str:
        state.room.take(1)
        match symbol:
            case textgen.TerminalSymbol():
                said = str(symbol.symbol).replace(_PLACEHOLDER, self._goal) if self._goal else str(symbol.symbol)
                state.room.take(len(said))
                return said
            case textgen.NonterminalSymbol():
                rule = self._applicable(str(symbol), state, mapping)
                return "".join(self._text(s, state, infos, variables, mapping) for s in rule.rhs)
            case textgen.EvalSymbol():
                said = value(symbol.expression, variables)
                state.room.take(len(said))
                return said
            case textgen.ConditionalSymbol():
                contexts = self._contexts(symbol.given, state, infos, variables, mapping)
                return "".join(self._text(symbol.expression, state, infos, v, m) for v, m in contexts)
            case textgen.ListSymbol():
                return self._list(symbol.symbol, state, infos, variables, mapping)
        raise NotImplementedError(f"unknown symbol {type(symbol)}")

    def _list(self, symbol: Any, state: Any, infos: Any, variables: Mapping[str, Any], mapping: Any) -> str:
        def said(name: str) -> str:
            return self._text(textgen.NonterminalSymbol(name), state, infos, variables, mapping)

        if isinstance(symbol, textgen.ConditionalSymbol):
            contexts = self._contexts(symbol.given, state, infos, variables, mapping)
            items = [self._text(symbol.expression, state, infos, v, m) for v, m in contexts]
        else:
            items = [self._text(symbol, state, infos, variables, mapping)]
        if not items:
            return said("list_empty")
        if len(items) == 1:
            return items[0]
        return said("list_separator").join(items[:-1]) + said("list_last_separator") + items[-1]

    def _applicable(self, name: str, state: Any, mapping: Any) -> Any:
        rules = self._rules.get(name)
        if not rules:
            raise textgen.CSGUnknownSymbolError(textgen.NonterminalSymbol(name))
        for rule in rules:
            if not rule.condition or any(True for _ in state.all_assignments(_query(rule.condition), mapping)):
                return rule
        raise textgen.CSGUnknownSymbolError(textgen.NonterminalSymbol(name))

    def _contexts(
        self, given: str, state: Any, infos: Any, variables: Mapping[str, Any], mapping: Any
    ) -> Iterator[tuple[Mapping[str, Any], Any]]:
        if not given:
            yield variables, mapping
            return
        for found in state.all_assignments(_query(given), mapping):
            bound = {ph.name: infos[var.name] for ph, var in found.items()}
            yield {**variables, **bound}, {**mapping, **found}
