"""The page of a study of credit, and of one replay: the report's own, with what each method gave every step beside each other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from empg.credit import Column
from pipelines.credit.report.cards import title_of
from pipelines.credit.report.results import model_title
from pipelines.files import atomic_write_text
from pipelines.reporting.names import benchmark_title
from pipelines.reporting.page.build import rendered
from pipelines.reporting.page.environment import Environment, Setting, machines_counted
from pipelines.reporting.page.pictures import read_pictures
from pipelines.reporting.page.tables import read_tables
from pipelines.reporting.page.viewer import MOST_BYTES, Texts, Trajectories, as_script_data, short
from pipelines.run_info import RunInfo

_PROMPT, _TEXT = 4_000, 1_500  # characters
_ENTROPY, _REWARD = Column("H", "step entropy", "nats"), Column("reward", "reward of the step")
# A run, its methods' names, and CHOSEN_TRAJECTORIES with a column for each.
Played = tuple[RunInfo, Sequence[str], pd.DataFrame]


def write_page(out: Path, name: str, claim: str, played: Sequence[Played], tables: Path, figures: Path) -> None:
    """One file that asks nothing of a network, from the Markdown in ``tables`` and the pictures in ``figures``; the same inputs give
    the same bytes."""
    trajectories = trajectories_of(played)
    page = rendered(
        "report.html.j2",
        name=name,
        claim=claim,
        conclusion=(),
        dates="",
        makings=(),
        commands=(),
        notes=(),
        tables=read_tables(tables),
        pictures=read_pictures(figures),
        environment=environment_of([info for info, *_ in played]),
        trajectories=trajectories,
        data=trajectories.json,
    )
    atomic_write_text(out, page)


def trajectories_of(played: Sequence[Played]) -> Trajectories:
    """As many runs as there is room for. The line of the viewer's chart is the first method that all of them have."""
    texts, spent, entries, columns = Texts(), 0, list[dict[str, Any]](), list[list[Column]]()
    for number, (info, methods, steps) in enumerate(played):
        known = len(texts.all)
        entropy = [] if steps[_ENTROPY.name].isna().any() else [_ENTROPY]  # an engine that gave none
        own = [*(Column(method, _label(method)) for method in methods), *entropy, _REWARD]
        entry = _run(info, own, steps, texts) | {"method": number}
        spent += len(json.dumps([entry, texts.all[known:]], ensure_ascii=False).encode())
        if spent > MOST_BYTES:
            texts.forget_from(known)
            break
        entries.append(entry)
        columns.append(own)
    shared = [c.name for c in (columns[0] if columns else ()) if all(c in own for own in columns)]
    data = {
        "texts": texts.all,
        "pickers": ["setting", "cell", "seed", "trajectory"],
        "final": shared[0] if shared else "",
        "methods": [[asdict(column) for column in own] for own in columns],
        "runs": entries,
    }
    return Trajectories(as_script_data(data), len(entries), len(played) - len(entries), "")


def environment_of(infos: Sequence[RunInfo]) -> Environment:
    """What the runs were made with, as each recorded it."""
    settings = {
        (benchmark_title(info.benchmark), model_title(info), info.panel_sha256): (info.panel_size, info)
        for info in infos
    }
    versions = Counter(f"{name} {version}" for info in infos for name, version in info.versions.items())
    return Environment(
        len(infos),
        tuple(
            Setting(f"{benchmark} · {model}", 1, str(info.seed), size, panel)
            for (benchmark, model, panel), (size, info) in settings.items()
        ),
        tuple(sorted(Counter(info.commit for info in infos).items())),
        tuple(sorted(versions.items())),
        tuple(sorted({remark for info in infos for remark in info.remarks})),
        machines_counted(infos),
    )


def _run(info: RunInfo, columns: Sequence[Column], steps: pd.DataFrame, texts: Texts) -> dict[str, Any]:
    episodes = steps.assign(failure=~steps["success"]).groupby(["iteration", "failure", "group", "member"])
    return {
        "setting": f"{benchmark_title(info.benchmark)} · {model_title(info)}",
        "cell": info.cell,
        "seed": info.seed,
        "trajectories": [_episode(rows.sort_values("step"), columns, texts) for _, rows in episodes],
    }


def _episode(rows: pd.DataFrame, columns: Sequence[Column], texts: Texts) -> dict[str, Any]:
    first = rows.iloc[0]
    return {
        "iteration": int(first["iteration"]) + 1, "task": str(first["task_id"]), "type": str(first["task_type"]),
        "success": bool(first["success"]), "score": short(first["score"]), "reward": short(first["episode_reward"]),
        "stop": str(first["stop_reason"]), "prompt": texts.index(first["prompt"], _PROMPT),
        "steps": [
            {
                "text": texts.index(row["text"], _TEXT), "observation": texts.index(row["observation"], _TEXT),
                "valid": bool(row["valid"]), "numbers": [short(row[column.name]) for column in columns],
            }
            for _, row in rows.iterrows()
        ],
    }  # fmt: skip


def _label(method: str) -> str:
    estimator, _, arm = method.partition("-")
    return f"{title_of(estimator)}, {arm}"
