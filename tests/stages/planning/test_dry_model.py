import json
from pathlib import Path

import pytest

from tests import small
from upbring.errors import InputError
from upbring.settings.methods.pretrain import PretrainSettings
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import Resolved
from upbring.stages.planning.dry_model import make_dry_run_context, weight_file_bytes


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPBRING_CACHE", str(tmp_path / "cache"))
    small.make_model(tmp_path / "m")
    small.make_demonstrations(tmp_path / "d.jsonl")
    small.make_documents(tmp_path / "t.jsonl")
    return tmp_path


def sft_settings(home: Path, **more: object) -> Resolved[SftSettings]:
    values = {"model": str(home / "m"), "data": (home / "d.jsonl",), "threads": 1, **more}
    return Resolved(SftSettings.model_validate(values), {})


def quiet(text: str) -> None:
    del text


def test_no_weight_is_read(home: Path) -> None:
    size = weight_file_bytes(home / "m", vocabulary=512)
    (home / "m" / "model.safetensors").write_bytes(b"x" * size)
    context = make_dry_run_context("sft", sft_settings(home), log=quiet)
    assert context.loaded.model.device.type == "meta"
    assert len(context.dataset.main) == 38


def test_an_adapter_is_planned_on_its_base(home: Path) -> None:
    adapter = home / "adapter"
    adapter.mkdir()
    config = {"base_model_name_or_path": str(home / "m")}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    context = make_dry_run_context("sft", sft_settings(home, model=str(adapter)), log=quiet)
    assert context.loaded.base == home / "m"
    config = {"base_model_name_or_path": str(adapter)}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="is its own base"):
        make_dry_run_context("sft", sft_settings(home, model=str(adapter)), log=quiet)


def test_a_configuration_alone_is_enough_to_pretrain(home: Path) -> None:
    (home / "m" / "model.safetensors").unlink()
    values = {"model": str(home / "m"), "data": (home / "t.jsonl",), "threads": 1}
    resolved = Resolved(PretrainSettings.model_validate(values), {})
    assert len(make_dry_run_context("pretrain", resolved, log=quiet).dataset.main) == 57


def test_a_folder_without_a_configuration_is_reported(home: Path) -> None:
    (home / "m" / "config.json").unlink()
    with pytest.raises(InputError, match=r"m: has no config.json; pass the directory"):
        make_dry_run_context("sft", sft_settings(home), log=quiet)
    (home / "m" / "config.json").write_text('{"model_type": "unheard"}')
    with pytest.raises(InputError, match=r"config.json: cannot be read"):
        make_dry_run_context("sft", sft_settings(home), log=quiet)
