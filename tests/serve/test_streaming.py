from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from upbring.data.read.records import Message
from upbring.errors import InputError
from upbring.model.load import Loaded, load
from upbring.model.sampling import Stopping
from upbring.runs.contract import Contract
from upbring.serve import streaming
from upbring.serve.streaming import Speaker, answer_key, speaker
from upbring.settings.sampling import SampleSettings

HELLO = [Message("user", "hello")]
HOW = SampleSettings(temperature=1.0, max_tokens=40)


@pytest.fixture(scope="module")
def loaded(model_folder: Path) -> Loaded:
    cpu = torch.device("cpu")
    return load(str(model_folder), device=cpu, compute=torch.float32, notice=lambda _: None)


def said(who: Speaker, how: SampleSettings = HOW, *, key: int = 7) -> list[str]:
    return list(who.say(HELLO, how, key=key))


def test_the_pieces_are_the_text_and_the_same_key_says_the_same(loaded: Loaded) -> None:
    who = speaker(loaded)
    pieces = said(who)
    assert len(pieces) > 5
    assert "".join(said(who)) == "".join(pieces)
    assert "".join(said(who, key=8)) != "".join(pieces)


def test_the_likeliest_answer_needs_no_key(loaded: Loaded) -> None:
    how = HOW.model_copy(update={"temperature": 0.0})
    assert said(speaker(loaded), how, key=1) == said(speaker(loaded), how, key=2)


@dataclass
class Response:
    tokens: list[int]
    reason: str | None


def scripted(loaded: Loaded, monkeypatch: pytest.MonkeyPatch, text: str) -> Speaker:
    """Return a speaker whose model says `text`, token by token."""
    assert loaded.tokenizer is not None
    tokens = loaded.tokenizer.encode(text, inside=True)

    def stream(*_: object, stopping: Stopping) -> Iterator[tuple[Response, None]]:
        for count in range(1, len(tokens) + 1):
            assert stopping.is_end is not None
            ends = stopping.is_end(tokens[:count])
            reason = "string" if ends else "length" if count == len(tokens) else None
            yield Response(tokens[:count], reason), None
            if reason:
                return

    monkeypatch.setattr(streaming, "stream", stream)
    return speaker(loaded)


def test_a_character_is_never_split(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
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
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, stop: tuple[str, ...], expected: str
) -> None:
    who = scripted(loaded, monkeypatch, "Hello world, hello")
    assert "".join(said(who, HOW.model_copy(update={"stop": stop}))) == expected


def test_what_may_be_a_stop_string_is_shown_once_it_is_none(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = scripted(loaded, monkeypatch, "Hello wor")
    assert "".join(said(who, HOW.model_copy(update={"stop": ("world",)}))) == "Hello wor"


def test_an_answer_ends_where_the_model_ends(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = loaded.model.longest
    assert limit is not None
    who = speaker(loaded)
    long = [Message("user", "red " * 100)]
    room = limit - len(who.chat.prompt(long))
    asked: list[SampleSettings] = []

    def stream(*given: object, **_: object) -> Iterator[tuple[Response, None]]:
        asked.extend(how for how in given if isinstance(how, SampleSettings))
        yield Response([], "length"), None

    monkeypatch.setattr(streaming, "stream", stream)
    assert 0 < room < HOW.max_tokens
    assert list(who.say(long, HOW, key=1)) == []
    assert [how.max_tokens for how in asked] == [room]


def test_a_dialogue_that_is_too_long_is_refused(loaded: Loaded) -> None:
    with pytest.raises(InputError, match=r"the dialogue has \d+ tokens and the model reads 256; "):
        list(speaker(loaded).say([Message("user", "word " * 300)], HOW, key=1))


def test_the_contracts_template_is_used_and_another_may_be_given(loaded: Loaded) -> None:
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
    assert speaker(agreed).chat.template == contract.template
    assert speaker(agreed, template="!").chat.template == "!"


@pytest.mark.parametrize("kind", ["reward", "value"])
def test_who_only_scores_does_not_speak(loaded: Loaded, kind: str) -> None:
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
        speaker(replace(loaded, contract=contract))


def test_without_a_tokenizer_nobody_speaks(loaded: Loaded) -> None:
    with pytest.raises(InputError, match=r"has no tokenizer; put tokenizer\.json beside the model"):
        speaker(replace(loaded, tokenizer=None))


def test_each_turn_has_draws_of_its_own() -> None:
    assert len({answer_key(seed, turn) for seed in range(3) for turn in range(4)}) == 12
