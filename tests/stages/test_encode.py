import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.small import make_demonstrations, make_documents
from upbring.data.chat.tokenizer_files import Tokenizer, load_tokenizer
from upbring.data.trees.tree import Tree
from upbring.errors import InputError
from upbring.model.load import locate_model_files
from upbring.settings.methods.pretrain import PretrainSettings
from upbring.settings.methods.sft import SftSettings
from upbring.stages.encode import (
    Preprocessor,
    clamp_max_length,
    make_dialogue_preprocessor,
    make_document_preprocessor,
)

PICKY = (
    "{% for m in messages %}{% if m.content == 'no' %}{{ raise_exception('I do not say no') }}"
    "{% endif %}<{{ m.role }}>{{ m.content }}{{ eos_token if m.role == 'assistant' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> Tokenizer:
    return load_tokenizer(model_folder)


def dialogues(tokenizer: Tokenizer, path: Path, **more: Any) -> Preprocessor:
    return make_dialogue_preprocessor(
        SftSettings(model="m", data=(path,), **more), tokenizer, log=lambda _: None
    )


def trees(
    preprocessor: Preprocessor, path: Path, notice: Callable[[str], None] = lambda _: None
) -> list[Tree]:
    return list(preprocessor.encoder.encode(path, notice)[0])


def learned(tree: Tree, tokenizer: Tokenizer) -> str:
    """Return the text of the weighted tokens."""
    (branch,) = tree.branches
    return tokenizer.decode(branch.tokens[branch.weight > 0].tolist(), with_special_tokens=True)


def rows(path: Path, *answers: str) -> Path:
    messages = [
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": text}]
        for text in answers
    ]
    path.write_text("".join(json.dumps({"messages": each}) + "\n" for each in messages))
    return path


def test_only_assistant_tokens_have_weight(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = make_demonstrations(tmp_path / "d.jsonl", 3)
    preprocessor = dialogues(tokenizer, path)
    found = trees(preprocessor, path)
    assert [t.key for t in found] == [f"{path}:{line}" for line in (1, 2, 3)]
    # the answers of rows 0, 1, 2: words 0, 3 and 6 of the list
    assert [learned(t, tokenizer).split("<")[0].strip() for t in found] == [
        "It is red.",
        "It is warm.",
        "It is round.",
    ]
    assert all(t.branches[0].tokens[-1] in preprocessor.stop_token_ids for t in found)


def test_a_sample_prompt_is_encoded_as_in_training(tokenizer: Tokenizer, tmp_path: Path) -> None:
    path = make_demonstrations(tmp_path / "d.jsonl", 1)
    preprocessor = dialogues(tokenizer, path, sample_prompts=("What is the apple like? (0)",))
    (tree,) = trees(preprocessor, path)
    assert [prompt.tokens for prompt in preprocessor.sample_prompts] == [tree.prompt.tolist()]


def test_all_answers_of_a_dialogue_have_weight_or_the_last(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "d.jsonl"
    words = ("one", "red", "two", "blue")
    messages = [
        {"role": "user" if i % 2 == 0 else "assistant", "content": word}
        for i, word in enumerate(words)
    ]
    path.write_text(json.dumps({"messages": messages}) + "\n")
    every = learned(trees(dialogues(tokenizer, path), path)[0], tokenizer)
    last = learned(trees(dialogues(tokenizer, path, turns="last"), path)[0], tokenizer)
    assert "red" in every
    assert "blue" in every
    assert "red" not in last
    assert "blue" in last
    assert "two" not in every


def test_rows_that_the_template_rejects_are_malformed_rows(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    template = tmp_path / "t.jinja"
    template.write_text(PICKY)
    path = rows(tmp_path / "d.jsonl", "yes", "no", "yes", "no")
    with pytest.raises(InputError) as caught:
        trees(dialogues(tokenizer, path, chat_template=template), path)
    text = str(caught.value)
    assert f"{path}:2: " in text
    assert "I do not say no" in text
    assert "2 of 4 rows are malformed" in text
    rejects = tmp_path / "rejects.jsonl"
    messages: list[str] = []
    skipping = dialogues(tokenizer, path, chat_template=template, skip_bad=rejects)
    assert not skipping.encoder.is_cacheable
    assert len(trees(skipping, path, messages.append)) == 2
    assert messages[-1] == (
        f"{path}: 2 of 4 rows are rejected by the chat template and written to {rejects}"
    )
    assert [json.loads(line)["line"] for line in rejects.read_text().splitlines()] == [2, 4]


def test_prompts_to_answer_come_from_the_settings_and_from_a_file(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = make_demonstrations(tmp_path / "d.jsonl", 1)
    prompts = tmp_path / "p.jsonl"
    talk = '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "When?"}]'
    prompts.write_text('{"prompt": "Who?"}\n{"prompt": ' + talk + "}\n")
    preprocessor = dialogues(tokenizer, path, sample_prompts=("Why?",), prompts=prompts)
    assert [prompt.text for prompt in preprocessor.sample_prompts] == ["Why?", "Who?", "When?"]
    assert "Be brief." in tokenizer.decode(preprocessor.sample_prompts[2].tokens)


@pytest.mark.parametrize("content", [None, b"\xff\xfe{{"])
def test_a_template_that_cannot_be_read_is_named(
    tokenizer: Tokenizer, tmp_path: Path, content: bytes | None
) -> None:
    template = tmp_path / "t.jinja"
    if content is not None:
        template.write_bytes(content)
    path = make_demonstrations(tmp_path / "d.jsonl", 1)
    with pytest.raises(
        InputError, match=r"chat template .*t\.jinja: (is not a file|cannot be read)"
    ):
        dialogues(tokenizer, path, chat_template=template)


def test_a_missing_template_is_logged(tokenizer: Tokenizer, tmp_path: Path) -> None:
    messages: list[str] = []
    path = make_demonstrations(tmp_path / "d.jsonl", 1)
    settings = SftSettings(model="m", data=(path,))
    preprocessor = make_dialogue_preprocessor(settings, tokenizer, log=messages.append)
    (message,) = messages
    assert message == (
        "the model has no chat template: turns are written below '### User' and '### Assistant'; "
        "set chat_template to use another"
    )
    make_dialogue_preprocessor(
        settings, tokenizer, log=messages.append, today=dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    )
    assert len(messages) == 1  # a resumed run does not repeat it
    assert preprocessor.chat_template


def test_all_tokens_of_a_document_have_weight_and_the_last_is_eos(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = make_documents(tmp_path / "t.jsonl", 2)
    prompt = ("The apple",)
    settings = PretrainSettings(model="m", data=(path,), sample_prompts=prompt)
    preprocessor = make_document_preprocessor(settings, tokenizer)
    found = trees(preprocessor, path)
    every = [[*t.prompt.tolist(), *t.branches[0].tokens.tolist()] for t in found]
    assert [tokenizer.decode(tokens) for tokens in every] == [
        "The apple is red and number 0.",
        "The sky is warm and number 1.",
    ]
    assert all(tokens[-1] == tokenizer.eos_token_id for tokens in every)
    assert all(t.branches[0].weight.all() for t in found)
    assert preprocessor.stop_token_ids == (tokenizer.eos_token_id,)
    assert tokenizer.adds_bos
    assert preprocessor.sample_prompts[0].tokens == [
        tokenizer.bos_token_id,
        *tokenizer.encode("The apple"),
    ]


def test_a_long_document_is_split_into_pieces_and_no_token_is_lost(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    text = " ".join(f"word {i}" for i in range(40))
    path.write_text(json.dumps({"text": text}) + "\n")
    settings = PretrainSettings(model="m", data=(path,), max_length=16)
    found = trees(make_document_preprocessor(settings, tokenizer), path)
    assert len(found) > 1
    assert all(t.longest_path <= 16 for t in found)
    weighted = sum(int(t.branches[0].weight.sum()) for t in found)
    # after BOS every token of the text is predicted once, and so is EOS
    assert weighted == len(tokenizer.encode(text)) + 1


def test_a_max_length_above_the_context_length_is_lowered_and_logged(model_folder: Path) -> None:
    files, logged = locate_model_files(str(model_folder)), list[str]()
    settings = SftSettings(model="m", data=(Path("a.jsonl"),), max_length=2048)
    lowered = clamp_max_length(settings, files, log=logged.append)
    assert lowered.max_length == 256
    assert logged == ["max_length: 2048 is lowered to 256, the model's context length"]
    assert clamp_max_length(lowered, files, log=logged.append) == lowered
    assert len(logged) == 1
