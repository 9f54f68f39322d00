"""What the agent is shown and how its answer is read. Two layouts: the whole transcript, or a fresh prompt per step.

The windowed template follows verl-agent's ALFWorld prompt (the code base of the paper's runs), in its own order: task,
step count, last observations with their actions, current observation, admissible actions, answer format.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.environments.answers import last_action, reference, reminder, strict
from pipelines.environments.base import Answer, Prompt, Turn
from pipelines.protocols import Observation
from pipelines.sections import Parsing, PromptSettings

NOTHING_HAPPENS = "Nothing happens."  # the game's answer to a command that is not admissible
_FORMAT = (
    "Now it's your turn to take an action.\n"
    "You should first reason step-by-step about the current situation. This reasoning process MUST be enclosed within "
    "<think> </think> tags.\n"
    "Once you've finished your reasoning, you should choose an admissible action for current step and present it within "
    "<action> </action> tags."
)
_GOING_ON = (
    "For example: <think>A mug may be in the fridge, so I look there.</think><action>go to fridge 1</action>\n"
    "What your action brings about is shown in the next message; answer each in the same way."
)
_FORMS = (
    "An action is one of: go to (place), open (place), close (place), take (thing) from (place), move (thing) to (place), use (thing), "
    "clean (thing) with (place), heat (thing) with (place), cool (thing) with (place), examine (thing), look, inventory."
)
_OPENING = "You are an expert agent operating in the ALFRED Embodied Environment."
_GOAL_MARK = "Your task is to: "


def read_answer(text: str, parsing: Parsing) -> Answer:
    """The answer's action; strictly read, one that holds markup is malformed."""
    if parsing == "reference":
        return reference(text, tail=30)
    action = last_action(text)
    return strict(action if action and "<" not in action else None)


def prompt(past: Sequence[Turn], observation: Observation, settings: PromptSettings) -> Prompt:
    """The message of the next turn in the configured layout."""
    if settings.history == "full":
        return _transcript(past, observation, settings)
    return _window(past, observation, settings, settings.history)


def _transcript(past: Sequence[Turn], observation: Observation, settings: PromptSettings) -> Prompt:
    """One growing context: the first message shows room and task, later ones what the environment answered."""
    text = observation.text
    if settings.show_admissible:
        text += f"\n\nYour admissible actions of the current situation are: [{_listed(observation, between=',')}]."
    if settings.instructions and not past:
        forms = "" if settings.show_admissible else f"{_FORMS}\n"
        text = f"{_OPENING}\n{text}\n\n{forms}{_FORMAT}\n{_GOING_ON}"
    if settings.instructions and past and not read_answer(past[-1].answer, settings.parsing).well_formed:
        text += f"\n\n{reminder(past[-1].answer, settings.parsing)}"
    return Prompt.of_user(text, continues=bool(past))


def _window(past: Sequence[Turn], observation: Observation, settings: PromptSettings, window: int) -> Prompt:
    """A fresh context that shows the last ``window`` observations and actions."""
    first = past[0].observation if past else observation
    task = first.text[first.text.rfind(_GOAL_MARK) + len(_GOAL_MARK) :] if _GOAL_MARK in first.text else first.text
    lines = [f"{_OPENING} Your task is to: {task}"] if past else [_OPENING]
    if past:
        shown = list(enumerate(past, start=1))[-window:]
        lines.append(
            f"Prior to this step, you have already taken {len(past)} step(s). Below are the most recent {len(shown)} "
            "observations and the corresponding actions you took: "
            + "\n".join(
                f"[Observation {i}: '{turn.observation.text}', Action {i}: '{read_answer(turn.answer, settings.parsing).action}']"
                for i, turn in shown
            )
        )
        lines.append(f"You are now at step {len(past) + 1} and your current observation is: {observation.text}")
    else:
        lines.append(f"Your current observation is: {observation.text}")
    if settings.show_admissible:
        lines.append(f"Your admissible actions of the current situation are: [{_listed(observation, between='')}].")
    elif settings.instructions:
        lines.append(_FORMS)
    if settings.instructions:
        lines.append("\n" + _FORMAT)
    return Prompt.of_user("\n".join(lines), continues=False)


def _listed(observation: Observation, between: str) -> str:
    return f"{between}\n ".join(f"'{action}'" for action in observation.admissible if action != "help")
