from dataclasses import replace

import pytest

from tests.gguf_models import CHATML, load_kind, make_kind
from upbring.export.gguf.chat_metadata import chat_metadata, stop_token_ids
from upbring.model.load import LoadedModel


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_kind(make_kind(tmp_path_factory.mktemp("m") / "m", "llama"))


def with_template(loaded: LoadedModel, template: str | None) -> LoadedModel:
    assert loaded.tokenizer is not None
    return replace(loaded, tokenizer=replace(loaded.tokenizer, chat_template=template))


def test_the_template_decides_whether_bos_is_added(loaded: LoadedModel) -> None:
    assert chat_metadata(loaded).adds_bos is False
    assert chat_metadata(with_template(loaded, "{{ bos_token }}" + CHATML)).adds_bos is True
    assert chat_metadata(with_template(loaded, None)).adds_bos is False


def test_the_end_of_a_turn_and_of_a_text_are_both_there(loaded: LoadedModel) -> None:
    found = chat_metadata(loaded)
    assert found.template == CHATML
    assert found.token_ids == {"bos": 0, "eos": 1, "eot": 3}  # <|begin|>, <|end|>, <|im_end|>
    assert stop_token_ids(with_template(loaded, None), None) == [1]
