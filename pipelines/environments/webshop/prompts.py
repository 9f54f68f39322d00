"""What the agent is shown and how its answer is read. Two layouts: the whole transcript, or a fresh prompt per step.

The wording is verl-agent's (``prompts/webshop.py`` and ``env_manager.py``, the code base of the paper's runs). ``compact``
pages are for models made here: the same facts in fewer tokens, result rows numbered. They change the prompt alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pipelines.environments.answers import last_action, reference, reminder, strict
from pipelines.environments.base import Answer, Prompt, Turn
from pipelines.environments.webshop.config import WebshopPrompt
from pipelines.environments.webshop.reading import View, read
from pipelines.protocols import Observation
from pipelines.sections import Parsing

_OPENING = "You are an expert autonomous agent operating in the WebShop e‑commerce environment."
_FORMAT = (
    "Now it's your turn to take one action for the current step.\n"
    "You should first reason step-by-step about the current situation, then think carefully which admissible action best "
    "advances the shopping goal. This reasoning process MUST be enclosed within <think> </think> tags.\n"
    "Once you've finished your reasoning, you should choose an admissible action for current step and present it within "
    "<action> </action> tags."
)
_GOING_ON = (
    "For example: <think>I look for the product first.</think><action>search[red cotton shirt]</action> or "
    "<think>It is what I need.</think><action>click[buy now]</action>\n"
    "What your action brings about is shown in the next message; answer each in the same way."
)
_SEARCH_BUTTON = "click[search]"  # listed as in the original, where it does nothing; a transcript leaves it out
_MOST = 13_000  # characters; a longer prompt is made without its history (verl-agent)
_TAGS = ("<think>", "</think>", "<action>", "</action>")
# Blanks just inside an action's brackets. One beside a bar is part of a name: the shop writes "w/" as "w | ".
_PADDING = re.compile(r"^\s+(?!\|)|(?<!\|)\s+$")


def read_answer(text: str, parsing: Parsing) -> Answer:
    """The answer's action in lower case, without padding inside its brackets; strictly read, one that holds markup is
    malformed."""
    if parsing == "reference":
        answer = reference(text, tail=20)
        return replace(answer, action=_unpadded(answer.action))
    action = (last_action(text) or "").lower()
    return strict(_unpadded(action) if action and not any(tag in action for tag in _TAGS) else None)


def _unpadded(action: str) -> str:
    name, bracket, argument = action.partition("[")
    if not bracket or not argument.endswith("]"):
        return action
    return f"{name}[{_PADDING.sub('', argument.removesuffix(']'))}]"


def prompt(past: Sequence[Turn], observation: Observation, settings: WebshopPrompt) -> Prompt:
    """The message of the next turn in the configured layout."""
    if settings.history == "full":
        return _transcript(past, observation, settings)
    return _window(past, observation, settings, settings.history)


# ---------------------------------------------------------------------------------------------------------- transcript


def _transcript(past: Sequence[Turn], observation: Observation, settings: WebshopPrompt) -> Prompt:
    """One growing context: the first message shows the task, later ones what the site answered."""
    text = compact(past, observation) if settings.compact else observation.text
    if settings.show_admissible:
        listed = _listed(observation, leave_out=_SEARCH_BUTTON)
        text += f"\n\nYour admissible actions of the current situation are: \n[\n{listed}\n]."
    if settings.instructions and not past:
        text = f"{_OPENING}\n{text}\n\n{_FORMAT}\n{_GOING_ON}"
    if settings.instructions and past and not read_answer(past[-1].answer, settings.parsing).well_formed:
        text += f"\n\n{reminder(past[-1].answer, settings.parsing)}"
    return Prompt.of_user(text, continues=bool(past))


def compact(past: Sequence[Turn], observation: Observation) -> str:
    """What is new on the page. The instruction is said once, a page that was shown before by its name, and the buttons that
    are always there not at all. The shop's words are in lower case, so that a wanted word and a found one are the same token.
    """
    view = read(observation)
    if past and observation.text == past[-1].observation.text:
        return "same page"
    if any(turn.observation.text == observation.text for turn in past):
        return f"{_name(view)} again"
    match view.where:
        case "search":
            return f"search : {view.instruction}"
        case "results":
            rows = "".join(f"\n#{row.number} {row.asin} {row.title.lower()} {_price(row.price)}" for row in view.rows)
            return f"{_name(view)}{rows or ' : nothing'}"
        case "item":
            options = "".join(f"\n{name} : {' | '.join(values)}" for name, values in view.options)
            return f"item : {view.title.lower()} {_price(view.price)}{options}"
        case _:
            return f"{view.where} : {view.body.lower()}"


def _name(view: View) -> str:
    return f"results page : {view.page}" if view.where == "results" else view.where


def _price(tag: str) -> str:
    """The price without a fraction that is zero."""
    return " to ".join(part.removesuffix(".0") for part in tag.split(" to "))


# -------------------------------------------------------------------------------------------------------------- window


def _window(past: Sequence[Turn], observation: Observation, settings: WebshopPrompt, window: int) -> Prompt:
    """A fresh context that shows the last ``window`` observations and actions."""
    full = _fresh(past, observation, settings, window)
    return Prompt.of_user(full if len(full) <= _MOST else _fresh([], observation, settings, window), continues=False)


def _fresh(past: Sequence[Turn], observation: Observation, settings: WebshopPrompt, window: int) -> str:
    task = read(past[0].observation if past else observation).instruction
    lines = [_OPENING, f"Your task is to: {task}."]
    if past:
        shown = list(enumerate(past, start=1))[-window:]
        lines.append(
            f"Prior to this step, you have already taken {len(past)} step(s). Below are the most recent {len(shown)} "
            "observations and the corresponding actions you took: "
            + "\n".join(
                f"[Observation {i}: '{_page(turn.observation, task)}', Action {i}: '{_played(turn, settings)}']"
                for i, turn in shown
            )
        )
        lines.append(
            f"You are now at step {len(past) + 1} and your current observation is: {_page(observation, task)}."
        )
    else:
        lines.append(f"Your current observation is: {_page(observation, task)}.")
    if settings.show_admissible:
        lines.append(f"Your admissible actions of the current situation are: \n[\n{_listed(observation)}\n].")
    if settings.instructions:
        lines.append("\n" + _FORMAT)
    return "\n".join(lines)


def _played(turn: Turn, settings: WebshopPrompt) -> str:
    return read_answer(turn.answer, settings.parsing).action


def _page(observation: Observation, task: str) -> str:
    """What follows the instruction, each piece in quotes. A page that does not say the instruction is left as it is."""
    parts = observation.text.split(" [SEP] ")
    if task not in parts:
        return observation.text
    return " [SEP] ".join(f"'{part}'" for part in parts[parts.index(task) + 1 :])


def _listed(observation: Observation, leave_out: str = "") -> str:
    return "\n".join(f"'{action}'," for action in observation.admissible if action != leave_out)
