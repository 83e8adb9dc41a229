from pathlib import Path

import pytest

from tests.checking import adapter, dialogue, model, tokenizer, write_rows
from upbring.errors import InputError
from upbring.settings.commands.check import CheckSettings
from upbring.stages.planning.check_files import check_files, load_model_tokenizer


def no_log(_: str) -> None:
    pass


def test_files_are_checked_with_and_without_a_model(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [dialogue("What is 2 + 2?", "4")])
    text_only = check_files(CheckSettings(data=(path,)), log=no_log)
    name = str(model(tmp_path / "base"))
    with_model = check_files(CheckSettings(data=(path,), model=name), log=no_log)
    assert text_only.surveys[0].encoder is None
    assert with_model.surveys[0].num_loss_tokens > 0


def test_an_adapter_without_a_tokenizer_has_its_bases(tmp_path: Path) -> None:
    base = model(tmp_path / "base")
    middle = adapter(tmp_path / "middle", str(base))
    top = adapter(tmp_path / "top", str(middle))
    found = load_model_tokenizer(str(top), log=no_log)
    assert found.fingerprint == tokenizer().fingerprint
    assert found.folder == base


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("", "has no tokenizer; put tokenizer.json and tokenizer_config.json there"),
        ("itself", "is its own base; correct base_model_name_or_path"),
    ],
)
def test_a_model_without_a_tokenizer_is_reported(tmp_path: Path, base: str, message: str) -> None:
    folder = adapter(tmp_path / "top", str(tmp_path / "top") if base else "")
    with pytest.raises(InputError) as caught:
        load_model_tokenizer(str(folder), log=no_log)
    assert str(caught.value) == f"{folder}: {message}"
