from pathlib import Path

import pytest

from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.serve.engine.text_stream import TextStream

TEXT = "The 🦉 says: naïve 中文, end."


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> Tokenizer:
    return load_tokenizer(model_folder)


def pieces(tokenizer: Tokenizer, text: str, *stops: str) -> tuple[list[str], TextStream]:
    stream = TextStream(tokenizer, tokenizer.encode("A prompt, then "), stops)
    found = []
    for token in tokenizer.encode(text, is_continuation=True):
        found.append(stream.push(token))
        if stream.is_stopped:
            break
    return [*found, stream.flush()], stream


def test_pieces_are_whole_characters_and_together_the_text(tokenizer: Tokenizer) -> None:
    found, stream = pieces(tokenizer, TEXT)
    assert "".join(found) == TEXT
    assert not any("\ufffd" in piece for piece in found)
    assert stream.num_released == len(TEXT)


def test_half_a_character_at_the_end_is_a_replacement_character(tokenizer: Tokenizer) -> None:
    stream = TextStream(tokenizer, [], ())
    tokens = tokenizer.encode("a🦉", is_continuation=True)
    assert "".join(stream.push(token) for token in tokens[:-1]) == "a"
    assert stream.flush() == "\ufffd"


@pytest.mark.parametrize("stop", ["🦉", "says", ": na", "end.", "中文, e"])
def test_no_part_of_a_stop_string_is_released(tokenizer: Tokenizer, stop: str) -> None:
    found, stream = pieces(tokenizer, TEXT, stop, "never")
    assert "".join(found) == TEXT[: TEXT.index(stop)]
    assert stream.is_stopped


def test_what_only_begins_like_a_stop_string_is_released_at_the_end(tokenizer: Tokenizer) -> None:
    found, stream = pieces(tokenizer, "the wor", "world")
    assert "".join(found) == "the wor"
    assert found[-1] == "wor"
    assert not stream.is_stopped


def test_a_prompt_that_ends_within_a_character_changes_nothing(tokenizer: Tokenizer) -> None:
    owl = tokenizer.encode("🦉", is_continuation=True)
    stream = TextStream(tokenizer, owl[:-1], ())
    text = "".join(stream.push(token) for token in tokenizer.encode("red", is_continuation=True))
    assert text + stream.flush() == "red"
