"""``model.template``: a chat template by name or file in place of those that a pretrained model's folder has."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from flows.configure.compose import compose
from pipelines.artifacts import Artifact, ArtifactStore
from pipelines.config import ModelConfig, StandIn
from pipelines.config.templates import FILE, FOLDER, USUAL
from pipelines.config.views import PretrainedView
from pipelines.errors import ConfigError
from pipelines.policies import codec, make_stand_in
from pipelines.protocols import Message
from pipelines.run_folder import run_fingerprint, run_folder
from pipelines.stages import stored
from pipelines.stages.session import Session

OWN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder with a template beside its default one."""
    out = tmp_path_factory.mktemp("model")
    make_stand_in(StandIn(hidden_size=32, layers=1, heads=1, kv_heads=1, mlp=32), ["a mug"], out)
    (out / FOLDER).mkdir()
    (out / FOLDER / "plain.jinja").write_text(OWN)
    (out / FILE).write_text(USUAL["chatml"].replace("message['content']", "message['content'] + '!'"))
    return out


def linked(root: Path, folder: Path, template: str | None) -> Artifact:
    return stored.pretrained(Session(ArtifactStore(root, {}), 1), PretrainedView(folder=folder, template=template))


def prompt(model: Path) -> str:
    made = codec(model)
    return made.decode(made.chat_prompt([Message("user", "a mug")], continues=False))


def test_the_chosen_one_is_the_models_and_one_of_its_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text(OWN)
    texts, artifacts = {}, {}
    for template in (None, "plain", "chatml", str(tmp_path / "mine.jinja")):
        artifacts[template] = linked(tmp_path / "store", folder, template)
        texts[template] = prompt(artifacts[template].tree("model"))
    chatml = "<|im_start|>user\na mug{}<|im_end|>\n<|im_start|>assistant\n"
    assert texts[None] == chatml.format("!")
    assert texts["chatml"] == chatml.format("")
    assert texts["plain"] == texts[str(tmp_path / "mine.jinja")] == "[user]a mug<|im_end|>[assistant]"
    assert len({artifact.fingerprint for artifact in artifacts.values()}) == 3, "a template is its text"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    held = {
        p.relative_to(artifacts["plain"].tree("model")).as_posix()
        for p in artifacts["plain"].tree("model").rglob("*.*")
    }
    assert held == names - {f"{FOLDER}/plain.jinja"}


@pytest.mark.parametrize("template", ["plane", "./nowhere.jinja"])
def test_what_there_is_not_is_said_before_any_work(folder: Path, template: str) -> None:
    experiment = compose(["scale=single", f"model.pretrained={folder}", f"model.template={template}"]).experiment
    with pytest.raises(ConfigError) as caught:
        experiment.model.check_folder()
    (line,) = str(caught.value).splitlines()
    assert template in line
    if template == "plane":
        assert "chatml, default, llama3, plain" in line


def test_a_stand_in_has_its_own() -> None:
    with pytest.raises(ValidationError, match=r"model\.template=null"):
        ModelConfig.model_validate(compose([]).experiment.model.model_dump() | {"template": "chatml"})


def test_runs_without_one_are_the_runs_of_before() -> None:
    one, none = (compose(["scale=single", *more]).experiment for more in (["model.template=chatml"], []))
    assert one.values()["model"]["template"] == "chatml"
    assert "template" not in none.values()["model"]


def test_an_edited_file_is_another_run(tmp_path: Path) -> None:
    """In a folder of its own, and its finished results are not those of the new text."""
    file = tmp_path / "mine.jinja"
    config = compose(["scale=single", f"model.template={file}"])
    identities = []
    for text in (OWN, f"{OWN} ", OWN):
        file.write_text(text)
        identities.append((run_fingerprint(config.experiment), run_folder(config).parent))
    first, edited, again = identities
    assert first == again
    assert first[0] != edited[0]
    assert first[1] != edited[1]
    file.unlink()
    assert run_folder(config).parent not in (
        first[1],
        edited[1],
    )  # what it would need can be asked where the file is not
