"""What no small run has and a user, a server or a colleague brings: laid beside one, to be damaged; and its readers."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from pipelines.environments.alfworld.translation import Translation, _pack, _unpack
from pipelines.errors import CorruptArtifact

_REGISTRATION = Path(__file__).resolve().parents[2] / "studies" / "empg.yaml"
_URI, _POINTS = (
    "postgresql://u@h/db",
    [("rollout/success", 0.25, 1, 1700000000000), ("update/loss", -1.5, 1, 1700000000001)],
)
_DOCUMENT = {"document": {"id": "7", "contents": "Rimol\nRimol is a town."}, "score": 1.5}
_ANSWERS: Mapping[str, Any] = {
    "lists": {"result": [[_DOCUMENT, _DOCUMENT], [_DOCUMENT]]},
    "flat": {"results": [{"id": 1, "title": "Rimol", "text": "A town."}, _DOCUMENT]},
    "page": {"document": {"id": "7", "contents": "Rimol\nRimol is a town."}},
    "judge": {"choices": [{"message": {"content": "<think>It is.</think>**CORRECT**"}, "finish_reason": "stop"}]},
}


def bring(model: Path, out: Path) -> None:
    """``model``: a folder of a small run's, from which the adapter and the folder with a template of its own are made."""
    from pipelines.config.templates import FILE, USUAL
    from pipelines.tracking.mlflow.owed import owe

    shutil.copytree(model, out / "model")
    (out / "model" / FILE).write_text(USUAL["chatml"])
    _write_adapter(out / "model", out / "adapter")
    for name in ("undelivered", "answers", "translation"):
        (out / name).mkdir()
    owe(out / "undelivered", _URI, _POINTS)
    for name, answer in _ANSWERS.items():
        (out / "answers" / f"{name}.json").write_text(json.dumps(answer))
    translation = Translation(
        b"begin\n1", (("t", ("object",)),), {"desk 1": "desk"}, {"go": (("o", "desk"),)}, (("at", ("desk 1",)),)
    )
    (out / "translation" / "one.json").write_bytes(_pack(translation))
    shutil.copytree(_REGISTRATION.parent, out / "studies")


def _write_adapter(model: Path, out: Path) -> None:
    from safetensors import safe_open

    from pipelines.config import LoraSettings
    from pipelines.policies.lora_files import chosen, initial, write

    settings = LoraSettings(rank=2, alpha=4.0, targets=("q_proj", "down_proj"))
    with safe_open(model / "model.safetensors", framework="pt") as file:
        shapes = {name.removesuffix(".weight"): file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    names = [name for name, shape in shapes.items() if len(shape) == 2 and "proj" in name]
    write(out, settings, initial(settings, {name: shapes[name] for name in chosen(settings, names)}))


# ------------------------------------------------------------------------------------------------------------- readers


def read_adapter(path: Path) -> None:
    from pipelines.policies.lora_files import merge_folder

    with tempfile.TemporaryDirectory() as out:
        merge_folder(path.parents[1] / "model", path.parent, Path(out) / "merged")


def read_undelivered(path: Path) -> None:
    """Of a damaged file, whatever is asked for is owed, and its points are made from the results; never other points."""
    from pipelines.tracking.mlflow.owed import owed

    with redirect_stderr(io.StringIO()):
        found = owed(path.parent, _URI)
    if found == []:
        raise CorruptArtifact(str(path))
    assert found == _POINTS, found


def read_study(path: Path) -> None:
    from pipelines.reporting.study.registration import read_registration

    read_registration(path)


def read_translation(path: Path) -> None:
    _unpack(path.read_bytes())


def read_answer(path: Path) -> None:
    """Behind the client, which reads JSON or refuses."""
    from pipelines.environments.deepsearch.config import JudgeSettings, RetrievalSettings
    from pipelines.environments.deepsearch.judge import LanguageModelJudge
    from pipelines.environments.deepsearch.remote import RemoteRetriever, _flat, _page

    try:
        answer = json.loads(path.read_bytes())
    except ValueError:
        return
    settings = RetrievalSettings(backend="remote", url="http://h/retrieve", collection="four pages")
    match path.stem:
        case "lists":
            RemoteRetriever(settings)._lists(answer, 2, 3)
        case "flat":
            _flat(answer, "http://h")
        case "page":
            _page(answer, "http://h")
        case "judge":
            LanguageModelJudge(JudgeSettings(url="http://h", model="m"))._read(answer)
