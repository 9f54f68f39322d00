"""What the agent is shown and how its answer is read. Two layouts: the whole transcript, or a fresh prompt per step."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.environments.answers import last_action
from pipelines.environments.base import Prompt, Turn
from pipelines.protocols import Observation
from pipelines.sections import PromptSettings

_OPENING = "You play a text adventure in a kitchen and act by short commands."
_FORMAT = (
    "Now it is your turn. First reason about the situation within <think> </think> tags. Then choose one admissible command "
    "and write it within <action> </action> tags."
)


def parse_action(answer: str) -> str | None:
    """The answer's action; None when it is malformed or holds markup."""
    action = last_action(answer)
    return action if action and "<" not in action else None


def prompt(past: Sequence[Turn], observation: Observation, settings: PromptSettings) -> Prompt:
    """The message of the next turn in the configured layout."""
    lines = [observation.text]
    if settings.history != "full" and past:
        lines = [*_history(past, settings.history), f"Your current observation is: {observation.text}"]
    if settings.show_admissible:
        lines.append(f"Your admissible commands are: {', '.join(observation.admissible)}.")
    continues = settings.history == "full" and bool(past)
    if settings.instructions and not continues:
        lines = [_OPENING, *lines, _FORMAT]
    return Prompt.of_user("\n\n".join(lines), continues=continues)


def _history(past: Sequence[Turn], window: int) -> list[str]:
    """The task, which the first observation says, and the last ``window`` exchanges."""
    shown = list(enumerate(past, start=1))[-window:]
    task = past[0].observation.text.split("\n", 1)[0]
    return [task, f"You have taken {len(past)} steps. The last ones:"] + [
        f"Observation {i}: {turn.observation.text}\nCommand {i}: {parse_action(turn.answer) or ''}" for i, turn in shown
    ]
