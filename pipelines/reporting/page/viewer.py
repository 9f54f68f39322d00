"""The trajectories as data for the page's viewer: each text once, numbers short, and no more than a page may carry."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from empg.credit import Column
from pipelines.reporting.figures.study import TRAJECTORIES, Panel, Series, analysis_table, panels, why_absent
from pipelines.reporting.results import RunResult
from pipelines.schemas import FINAL_ADVANTAGE

MOST_BYTES = 2_000_000
_PROMPT, _TEXT = 4_000, 1_500  # characters
_REWARD = Column("reward", "reward of the step")  # of every method: what the environment gave


@dataclass(frozen=True)
class Trajectories:
    """``json``: what the viewer reads. ``shown``, ``left_out``: numbers of runs; ``absent``: why other runs have none, in words;
    ``places``: of the runs that are shown, by their folders, where they stand in ``json``."""

    json: Markup
    shown: int
    left_out: int
    absent: str
    places: Mapping[Path, int] = field(default_factory=dict)


def trajectories_of(runs: Sequence[RunResult]) -> Trajectories:
    """The runs of the lowest seeds, as many as there is room for, and the columns that their methods declare."""
    texts = Texts()
    entries: list[tuple[RunResult, dict[str, Any]]] = []
    spent = left_out = 0
    for panel, series, run in _in_order(runs):
        steps = analysis_table(run, TRAJECTORIES)
        if steps is None or not len(steps):
            continue
        known = len(texts.all)
        entry = _run(panel, series, run, steps, texts)
        cost = len(json.dumps([entry, texts.all[known:]], ensure_ascii=False).encode())
        if spent + cost > MOST_BYTES:
            texts.forget_from(known)
            left_out += 1
            continue
        spent += cost
        entries.append((run, entry))
    places = {run.folder: place for place, (run, _) in enumerate(entries)}
    methods = list(dict.fromkeys(run.info.columns for run in runs))
    data = {
        "texts": texts.all,
        "pickers": ["setting", "cell", "seed", "trajectory"],
        "final": FINAL_ADVANTAGE,
        "methods": [[asdict(column) for column in (*columns, _REWARD)] for columns in methods],
        "runs": [entry | {"method": methods.index(run.info.columns)} for run, entry in entries],
    }
    return Trajectories(as_script_data(data), len(entries), left_out, why_absent(runs, TRAJECTORIES), places)


def as_script_data(value: Any) -> Markup:
    """JSON that may stand in a script element whatever its texts are: it holds no "<", ">" or "&"."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def _in_order(runs: Sequence[RunResult]) -> list[tuple[Panel, Series, RunResult]]:
    found = [(panel, series, run) for panel in panels(runs) for series in panel.series for run in series.runs]
    return sorted(found, key=lambda entry: entry[2].seed)


def _run(panel: Panel, series: Series, run: RunResult, steps: pd.DataFrame, texts: Texts) -> dict[str, Any]:
    played = steps.assign(failure=~steps["success"]).groupby(["iteration", "failure", "group", "member"])
    names = [*run.info.column_names, _REWARD.name]
    return {
        "setting": panel.setting,
        "cell": f"{panel.algorithm.upper()}, {series.label}",
        "seed": run.seed,
        "trajectories": [_trajectory(rows.sort_values("step"), names, texts) for _, rows in played],
    }


def _trajectory(rows: pd.DataFrame, names: Sequence[str], texts: Texts) -> dict[str, Any]:
    first = rows.iloc[0]
    return {
        "iteration": int(first["iteration"]) + 1,
        "task": str(first["task_id"]),
        "type": str(first["task_type"]),
        "success": bool(first["success"]),
        "score": short(first["score"]),
        "reward": short(first["episode_reward"]),
        "stop": str(first["stop_reason"]),
        "prompt": texts.index(first["prompt"], _PROMPT),
        "steps": [
            {
                "text": texts.index(row["text"], _TEXT),
                "observation": texts.index(row["observation"], _TEXT),
                "valid": bool(row["valid"]),
                "numbers": [short(row[name]) for name in names],
            }
            for _, row in rows.iterrows()
        ],
    }


def short(value: float) -> float:
    """Four digits: what is read off a page."""
    return float(f"{float(value):.4g}")


class Texts:
    """Every text is kept once, because the arms of a seed share their first rollout."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._places: dict[str, int] = {}

    def index(self, text: str, most: int) -> int:
        """The text's place. A text of more than ``most`` characters is cut and ends with how many are missing."""
        if len(text) > most:
            text = f"{text[:most]} … ({len(text) - most:,} more characters)"
        if text not in self._places:
            self._places[text] = len(self.all)
            self.all.append(text)
        return self._places[text]

    def forget_from(self, place: int) -> None:
        for text in self.all[place:]:
            del self._places[text]
        del self.all[place:]
