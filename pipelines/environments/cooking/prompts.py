"""What the agent is shown and how its answer is read. Two layouts: the whole transcript, or a fresh prompt per step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pipelines.environments.answers import last_action, reference, reminder, strict
from pipelines.environments.base import Answer, Prompt, Turn
from pipelines.protocols import Observation
from pipelines.sections import Parsing, PromptSettings

_OPENING = (
    "You play a text adventure in a kitchen and act by short commands. Find the cookbook, take what its recipe needs, and prepare it "
    "as the directions say: a stove fries, an oven roasts, a BBQ grills, and a knife that you carry chops, slices and dices. What is "
    "cooked twice or otherwise than asked is spoiled. At last, in the kitchen, prepare the meal and eat it."
)
_FORMS = (
    "A command is one of: look, inventory, examine (thing), go (direction), open or close (thing), take (thing) from (place), drop "
    "(thing), put (thing) on (place), insert (thing) into (place), cook (thing) with (stove, oven or BBQ), chop, slice or dice (thing) "
    "with knife, prepare meal, eat meal."
)
_FORMAT = (
    "Now it is your turn. First reason about the situation within <think> </think> tags. Then choose one admissible command "
    "and write it, as it is listed, within <action> </action> tags. For example: <think>The recipe is in the cookbook.</think>"
    "<action>examine cookbook</action>"
)


def read_answer(text: str, parsing: Parsing) -> Answer:
    """The answer's command; strictly read, one that holds markup is malformed. verl-agent does not play these games: its rule for
    ALFWorld is taken, and the one name that the games write in capitals keeps them."""
    if parsing == "reference":
        answer = reference(text, tail=30)
        return replace(answer, action=re.sub(r"\bbbq\b", "BBQ", answer.action))
    action = last_action(text)
    return strict(action if action and "<" not in action else None)


def prompt(past: Sequence[Turn], observation: Observation, settings: PromptSettings) -> Prompt:
    """The message of the next turn in the configured layout."""
    lines = [observation.text]
    if settings.history != "full" and past:
        lines = [
            *_history(past, settings.history, settings.parsing),
            f"Your current observation is: {observation.text}",
        ]
    if settings.show_admissible:
        lines.append(f"Your admissible commands are: {', '.join(observation.admissible)}.")
    continues = settings.history == "full" and bool(past)
    if settings.instructions and not continues:
        lines = [_OPENING, *lines, *([] if settings.show_admissible else [_FORMS]), _FORMAT]
    elif settings.instructions and not read_answer(past[-1].answer, settings.parsing).well_formed:
        lines.append(reminder(past[-1].answer, settings.parsing))
    return Prompt.of_user("\n\n".join(lines), continues=continues)


def _history(past: Sequence[Turn], window: int, parsing: Parsing) -> list[str]:
    """The task, which the first observation says, and the last ``window`` exchanges."""
    shown = list(enumerate(past, start=1))[-window:]
    task = past[0].observation.text.split("\n", 1)[0]
    return [task, f"You have taken {len(past)} steps. The last ones:"] + [
        f"Observation {i}: {turn.observation.text}\nCommand {i}: {read_answer(turn.answer, parsing).action}"
        for i, turn in shown
    ]
