from pathlib import Path

from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers

from tests.checking import checked, found, write_rows
from upbring.data.chat.encode_records import RecordEncoder
from upbring.data.chat.tokenizer import make_tokenizer

WORDS = ["<unk>", "<s>", "</s>", "what", "that", "is", "?", ".", "user", "assistant", "#"]
TEMPLATE = (
    "{% for m in messages %}{{ m.role }} {{ m.content }} </s> {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)
ROWS = [
    {"prompt": "what is that ?", "response": "that is that ."},
    {"prompt": "what is naïve ?", "response": "that is unheard of ."},
]


def encoder(model: models.Model) -> RecordEncoder:
    backend = Backend(model)
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {"bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = make_tokenizer(backend, special_tokens_map=names)
    return RecordEncoder(tokenizer=tokenizer, template=TEMPLATE, turns="all", max_length=100)


def word_level() -> RecordEncoder:
    vocabulary = {word: k for k, word in enumerate(WORDS)}
    return encoder(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106 -- no password


def test_unknown_tokens_are_counted_and_shown(tmp_path: Path) -> None:
    result = checked(write_rows(tmp_path / "a.jsonl", ROWS), word_level())
    (finding,) = found(result, "unknown")
    assert finding.level == "warning"
    # naïve, unheard and of
    assert finding.message.startswith("in 1 of 2 rows, 3 tokens are unknown to the tokenizer")
    assert finding.message.endswith("'naïve', 'unheard', 'of'")
    assert finding.examples == (f"{tmp_path / 'a.jsonl'}:2",)


def test_known_text_is_no_finding(tmp_path: Path) -> None:
    result = checked(write_rows(tmp_path / "a.jsonl", ROWS[:1]), word_level())
    assert found(result, "unknown") == []


def test_characters_that_the_tokenizer_drops_are_shown(tmp_path: Path) -> None:
    letters = sorted({*"".join(WORDS), *"naveuhrdof", "</s>", "<s>"})
    model = models.BPE({letter: k for k, letter in enumerate(letters)}, [])
    result = checked(write_rows(tmp_path / "a.jsonl", ROWS), encoder(model))
    (finding,) = found(result, "unknown")
    assert finding.message == "1 character is not in the tokenizer and left out"
    assert finding.examples == (f"{tmp_path / 'a.jsonl'}:2: 'ï'",)
