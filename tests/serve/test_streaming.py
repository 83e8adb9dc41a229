from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.model.load import LoadedModel, load
from upbring.model.sampling import StopConditions
from upbring.runs.contract import Contract
from upbring.serve import streaming
from upbring.serve.streaming import ChatModel, make_chat_model, response_key
from upbring.settings.sampling import SampleSettings

HELLO = [Message("user", "hello")]
HOW = SampleSettings(temperature=1.0, max_tokens=40)


@pytest.fixture(scope="module")
def loaded(model_folder: Path) -> LoadedModel:
    cpu = torch.device("cpu")
    return load(str(model_folder), device=cpu, compute_dtype=torch.float32, log=lambda _: None)


def said(who: ChatModel, how: SampleSettings = HOW, *, key: int = 7) -> list[str]:
    return list(who.stream_response(HELLO, how, key=key))


def test_the_pieces_are_the_text_and_the_same_key_says_the_same(loaded: LoadedModel) -> None:
    who = make_chat_model(loaded)
    pieces = said(who)
    assert len(pieces) > 5
    assert "".join(said(who)) == "".join(pieces)
    assert "".join(said(who, key=8)) != "".join(pieces)


def test_the_likeliest_answer_needs_no_key(loaded: LoadedModel) -> None:
    how = HOW.model_copy(update={"temperature": 0.0})
    assert said(make_chat_model(loaded), how, key=1) == said(make_chat_model(loaded), how, key=2)


@dataclass
class Response:
    tokens: list[int]
    finish_reason: str | None


def scripted(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, text: str) -> ChatModel:
    """Return a speaker whose model says `text`, token by token."""
    assert loaded.tokenizer is not None
    tokens = loaded.tokenizer.encode(text, is_continuation=True)

    def stream(*_: object, stopping: StopConditions) -> Iterator[tuple[Response, None]]:
        for count in range(1, len(tokens) + 1):
            assert stopping.ends_sequence is not None
            ends = stopping.ends_sequence(tokens[:count])
            reason = "string" if ends else "length" if count == len(tokens) else None
            yield Response(tokens[:count], reason), None
            if reason:
                return

    monkeypatch.setattr(streaming, "stream", stream)
    return make_chat_model(loaded)


def test_a_character_is_never_split(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a 🦉 and 中文 é"
    pieces = said(scripted(loaded, monkeypatch, text))
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert "🦉" in "".join(p for p in pieces if len(p.encode()) >= 4)


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (("world",), "Hello "),
        (("wor", "world"), "Hello "),
        (("lo w", "Hel"), ""),
        (("never", ""), "Hello world, hello"),
        (("o",), "Hell"),
    ],
)
def test_nothing_of_a_stop_string_is_ever_shown(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, stop: tuple[str, ...], expected: str
) -> None:
    who = scripted(loaded, monkeypatch, "Hello world, hello")
    assert "".join(said(who, HOW.model_copy(update={"stop": stop}))) == expected


def test_what_may_be_a_stop_string_is_shown_once_it_is_none(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = scripted(loaded, monkeypatch, "Hello wor")
    assert "".join(said(who, HOW.model_copy(update={"stop": ("world",)}))) == "Hello wor"


def test_an_answer_ends_where_the_model_ends(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = loaded.model.max_positions
    assert limit is not None
    who = make_chat_model(loaded)
    long = [Message("user", "red " * 100)]
    room = limit - len(who.chat.encode_prompt(long))
    asked: list[SampleSettings] = []

    def stream(*given: object, **_: object) -> Iterator[tuple[Response, None]]:
        asked.extend(how for how in given if isinstance(how, SampleSettings))
        yield Response([], "length"), None

    monkeypatch.setattr(streaming, "stream", stream)
    assert 0 < room < HOW.max_tokens
    assert list(who.stream_response(long, HOW, key=1)) == []
    assert [how.max_tokens for how in asked] == [room]


def test_a_dialogue_that_is_too_long_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(InputError, match=r"the dialogue has \d+ tokens and the model reads 256; "):
        list(make_chat_model(loaded).stream_response([Message("user", "word " * 300)], HOW, key=1))


def test_the_contracts_template_is_used_and_another_may_be_given(loaded: LoadedModel) -> None:
    contract = Contract(
        base="b",
        base_sha256="",
        tokenizer="",
        template="<{{ messages[0].content }}>",
        stops=(),
        bos=None,
        eos=0,
        kind="sft",
        tune="lora",
    )
    agreed = replace(loaded, contract=contract)
    assert make_chat_model(agreed).chat.template == contract.template
    assert make_chat_model(agreed, template="!").chat.template == "!"


@pytest.mark.parametrize("kind", ["reward", "value"])
def test_who_only_scores_does_not_speak(loaded: LoadedModel, kind: str) -> None:
    contract = Contract(
        base="b",
        base_sha256="",
        tokenizer="",
        template=None,
        stops=(),
        bos=None,
        eos=0,
        kind=kind,
        tune="lora",  # type: ignore[arg-type] -- one of its words
    )
    with pytest.raises(InputError, match=f"is a {kind} model, which scores and does not speak"):
        make_chat_model(replace(loaded, contract=contract))


def test_without_a_tokenizer_nobody_speaks(loaded: LoadedModel) -> None:
    with pytest.raises(InputError, match=r"has no tokenizer; put tokenizer\.json beside the model"):
        make_chat_model(replace(loaded, tokenizer=None))


def test_each_turn_has_draws_of_its_own() -> None:
    assert len({response_key(seed, turn) for seed in range(3) for turn in range(4)}) == 12
