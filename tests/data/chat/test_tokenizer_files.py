import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.data.chat_families import FAMILIES, KINDS, codec
from upbring.data.chat.tokenizer_files import (
    Tokenizer,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
)
from upbring.errors import InputError

TEXTS = ["Hello there", " Hello", "\n\nTwo  lines\n", "naïve 😀", "<s>a</s>", "", "2 + 2 = 4"]


def same(one: Tokenizer, two: Tokenizer) -> bool:
    attributes = (
        *("bos_token_id", "eos_token_id", "bos_token", "eos_token", "special_tokens_map"),
        *("size", "adds_bos", "fingerprint"),
    )
    return all(getattr(one, name) == getattr(two, name) for name in attributes) and all(
        one.encode(text) == two.encode(text) for text in TEXTS
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_saved_by_transformers_is_loaded_as_in_transformers(
    kind: str, tmp_path: Path
) -> None:
    ours = codec(FAMILIES["llama-2"], kind)
    hf_tokenizer = PreTrainedTokenizerFast(tokenizer_object=ours.backend, **ours.special_tokens_map)
    hf_tokenizer.chat_template = FAMILIES["llama-2"].template
    hf_tokenizer.save_pretrained(tmp_path)
    result = load_tokenizer(tmp_path)
    assert (result.bos_token, result.eos_token) == ("<s>", "</s>")
    assert result.chat_template == FAMILIES["llama-2"].template
    assert result.adds_bos
    assert result.size == len(hf_tokenizer)
    for text in TEXTS:
        tokens = hf_tokenizer.encode(text, add_special_tokens=False)
        assert result.encode(text) == tokens
        assert result.decode(tokens) == hf_tokenizer.decode(tokens, skip_special_tokens=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_tokenizer_is_loaded_by_upbring_and_by_transformers(
    kind: str, tmp_path: Path
) -> None:
    ours = codec(FAMILIES["llama-2"], kind)
    save_tokenizer(ours, tmp_path, template="{{ 1 }}")
    result = load_tokenizer(tmp_path)
    assert same(ours, result)
    assert result.chat_template == "{{ 1 }}"
    hf_tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert hf_tokenizer.chat_template == "{{ 1 }}"
    assert (hf_tokenizer.bos_token, hf_tokenizer.eos_token) == ("<s>", "</s>")
    for text in TEXTS:
        assert hf_tokenizer.encode(text, add_special_tokens=False) == ours.encode(text)


def test_files_are_copied_byte_for_byte_with_the_template_in_use(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    save_tokenizer(train_tokenizer(["a b c"], 260), one)
    odd = json.dumps(json.loads((one / "tokenizer.json").read_text()), indent=7) + "\n"
    (one / "tokenizer.json").write_text(odd)
    loaded = load_tokenizer(one)
    save_tokenizer(loaded, two, template="mine")
    assert (two / "tokenizer.json").read_text() == odd
    assert (two / "chat_template.jinja").read_text() == "mine"
    assert not (one / "chat_template.jinja").exists()
    assert same(loaded, load_tokenizer(two))


def test_a_trained_tokenizer_has_every_byte_and_an_end_of_text_token() -> None:
    tokenizer = train_tokenizer(["Hello there, how are you?"] * 3, 300)
    assert tokenizer.size <= 300
    assert (
        tokenizer.bos_token_id
        == tokenizer.eos_token_id
        == tokenizer.special_token_ids["<|endoftext|>"]
    )
    for text in [*TEXTS, "\x00\x7f日本語", "<|endoftext|>"]:
        assert tokenizer.decode(tokenizer.encode(text, trusted=False)) == text
    assert tokenizer.adds_bos
    assert same(tokenizer, train_tokenizer(["Hello there, how are you?"] * 3, 300))
    assert tokenizer.fingerprint != train_tokenizer(["Hello there"], 300).fingerprint
    with pytest.raises(
        InputError, match="a vocabulary of 200 tokens is too small for the 256 bytes; use 257"
    ):
        train_tokenizer(["a"], 200)


def test_gpt2_is_loaded_from_its_vocabulary_and_merges(tmp_path: Path) -> None:
    trained = train_tokenizer(["Hello there, how are you?"] * 3, 300)
    trained.backend.model.save(str(tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["merges.txt", "vocab.json"]
    result = load_tokenizer(tmp_path)
    assert result.eos_token == "<|endoftext|>"  # noqa: S105 -- not a password
    assert not result.adds_bos
    for text in TEXTS:
        assert result.encode(text) == trained.encode(text)
    (tmp_path / "merges.txt").write_text("#version: 0.2\nnot there\n")
    with pytest.raises(InputError, match=r"vocab.json: it cannot be read with merges.txt"):
        load_tokenizer(tmp_path)


def test_older_files_are_converted_without_running_code(tmp_path: Path) -> None:
    words = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "hello", "there"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "eos_token": "[SEP]"})
    )
    result = load_tokenizer(tmp_path)
    assert result.encode("Hello there") == [5, 6]
    saved = tmp_path / "saved"
    saved.mkdir()
    save_tokenizer(result, saved)
    assert load_tokenizer(saved).encode("Hello there") == [5, 6]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{", r"tokenizer.json: it cannot be read as a tokenizer"),
        ("tokenizer.json", '{"version": "9"}', r"tokenizer.json: it cannot be read as a tokenizer"),
        ("tokenizer.json", b"\xff\xfe", r"tokenizer.json: it cannot be read"),
        ("tokenizer_config.json", "[1]", r"tokenizer_config.json: it contains \[1\]"),
        ("tokenizer_config.json", "{'a'", r"tokenizer_config.json: it is not valid JSON"),
        ("tokenizer_config.json", "[" * 100_000, r"tokenizer_config.json: it is not valid JSON"),
        (
            "tokenizer_config.json",
            '{"auto_map": {"AutoTokenizer": ["x.T", null]}}',
            r"auto_map requires running the folder's own code, which upbring never does",
        ),
        (
            "tokenizer_config.json",
            '{"eos_token": "<nowhere>"}',
            r"eos_token is '<nowhere>', which is not in the vocabulary",
        ),
    ],
)
def test_broken_and_hostile_files_are_rejected_in_one_line(
    name: str, content: str | bytes, message: str, tmp_path: Path
) -> None:
    save_tokenizer(train_tokenizer(["a"], 257), tmp_path)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_of_gigabytes_is_rejected_without_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(2_000_000_000)  # takes no space on disk
    with pytest.raises(InputError, match=r"it has 2,000 MB, and the limit for this file is 200 MB"):
        load_tokenizer(tmp_path)


def test_the_error_for_a_missing_tokenizer_names_the_file_to_add(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"contains no readable tokenizer.*put tokenizer.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        load_tokenizer(tmp_path / "nowhere")


def test_a_template_is_loaded_from_each_possible_file(tmp_path: Path) -> None:
    save_tokenizer(train_tokenizer(["a"], 257), tmp_path)
    config = tmp_path / "tokenizer_config.json"
    plain = json.loads(config.read_text())

    def loaded_template() -> str | None:
        return load_tokenizer(tmp_path).chat_template

    assert loaded_template() is None
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    config.write_text(json.dumps(plain | {"chat_template": named}))
    assert loaded_template() == "d"
    config.write_text(json.dumps(plain | {"chat_template": "one"}))
    assert loaded_template() == "one"
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "json"}))
    assert loaded_template() == "json"
    (tmp_path / "chat_template.jinja").write_text("jinja")
    assert loaded_template() == "jinja"


def test_tokens_declared_special_only_in_the_config_are_special(tmp_path: Path) -> None:
    save_tokenizer(train_tokenizer(["<eot> x <eot> <eot>"] * 9, 270), tmp_path)
    spec = json.loads((tmp_path / "tokenizer.json").read_text())
    spec["model"]["vocab"]["<turn>"] = len(spec["model"]["vocab"])
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    config = tmp_path / "tokenizer_config.json"
    settings = json.loads(config.read_text())
    settings["added_tokens_decoder"] = {"7": {"content": "<turn>", "special": True}}
    config.write_text(json.dumps(settings | {"eos_token": {"content": "<turn>"}}))
    result = load_tokenizer(tmp_path)
    assert result.encode("a<turn>")[-1] == result.eos_token_id == result.special_token_ids["<turn>"]
    assert result.eos_token_id not in result.encode("a<turn>", trusted=False)
