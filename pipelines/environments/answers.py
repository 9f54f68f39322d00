"""What an agent's message says it wants to do."""

from __future__ import annotations

MOST_CHARACTERS = 1000  # of an action


def last_action(answer: str) -> str | None:
    """The text in the last ``<action>`` element of an answer that also has a ``<think>`` element before it, without the
    blanks around it; None when either is missing (verl-agent's and GiGPO's rule: an answer without both is invalid), or
    when it is empty or too long. Linear in the answer's length."""
    thought = answer.find("<think>")
    if thought < 0 or (closed := answer.find("</think>", thought)) < 0:
        return None
    end = answer.rfind("</action>")
    start = answer.rfind("<action>", closed, end) if end >= 0 else -1
    if start < 0:
        return None
    action = answer[start + len("<action>") : end].strip()
    return action if action and len(action) <= MOST_CHARACTERS else None
