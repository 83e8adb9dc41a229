import shutil
from pathlib import Path

import pytest

from tests import small
from tests.evaluate.scripted import user_prompt
from upbring.evaluate.endpoint import Endpoint
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.evaluation.models import ModelSlot, hash_model


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.make_model(tmp_path_factory.mktemp("other"), seed=1)


def slot_for(*models: str) -> ModelSlot:
    settings = EvaluateSettings(models=models, max_tokens=4, threads=1, dtype="float32")
    return ModelSlot(settings, log=lambda _: None, poll=lambda: None)


def test_one_model_is_in_memory_at_a_time(model_folder: Path, other_folder: Path) -> None:
    slot = slot_for(str(model_folder), str(other_folder))
    one, other = (slot.make_model(str(f), f.name) for f in (model_folder, other_folder))
    assert slot.num_loads == 0  # an unused model is not loaded
    one.generate([user_prompt("Hello")])
    one.document_likelihoods(["The sky is warm."])
    assert slot.num_loads == 1
    other.complete(["The sky"], max_tokens=2)
    other.sample([user_prompt("Hello")], seed=0)
    assert slot.num_loads == 2
    one.generate([user_prompt("Hello")])
    assert slot.num_loads == 3
    slot.unload()
    one.generate([user_prompt("Hello")])
    assert slot.num_loads == 4


def test_a_url_is_an_endpoint() -> None:
    found = slot_for("http://localhost:1/v1").make_model("http://localhost:1/v1", "there")
    assert isinstance(found, Endpoint)
    assert found.name == "there"


def test_the_identity_covers_the_files_that_determine_the_answers(
    model_folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model_folder, copy)
    before = hash_model(str(copy))
    assert before == hash_model(str(model_folder))  # in any folder
    (copy / "README.md").write_text("A card.")
    assert hash_model(str(copy)) == before
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    assert hash_model(str(copy)) != before


def test_an_adapters_identity_includes_its_base(model_folder: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(model_folder, base)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    text = f'{{"base_model_name_or_path": "{base}"}}'
    (adapter / "adapter_config.json").write_text(text)
    before = hash_model(str(adapter))
    (base / "chat_template.jinja").write_text("{{ messages }}")
    assert hash_model(str(adapter)) != before
