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
SAMPLING = SampleSettings(temperature=1.0, max_tokens=40)


@pytest.fixture(scope="module")
def loaded(model_folder: Path) -> LoadedModel:
    cpu = torch.device("cpu")
    return load(str(model_folder), device=cpu, compute_dtype=torch.float32, log=lambda _: None)


def stream_pieces(
    chat_model: ChatModel, sampling: SampleSettings = SAMPLING, *, key: int = 7
) -> list[str]:
    return list(chat_model.stream_response(HELLO, sampling, key=key))


def test_the_same_key_streams_the_same_text(loaded: LoadedModel) -> None:
    chat_model = make_chat_model(loaded)
    pieces = stream_pieces(chat_model)
    assert len(pieces) > 5
    assert "".join(stream_pieces(chat_model)) == "".join(pieces)
    assert "".join(stream_pieces(chat_model, key=8)) != "".join(pieces)


def test_greedy_sampling_does_not_depend_on_the_key(loaded: LoadedModel) -> None:
    greedy = SAMPLING.model_copy(update={"temperature": 0.0})
    chat_model = make_chat_model(loaded)
    assert stream_pieces(chat_model, greedy, key=1) == stream_pieces(chat_model, greedy, key=2)


@dataclass
class Response:
    tokens: list[int]
    finish_reason: str | None


def scripted(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, text: str) -> ChatModel:
    """Return a chat model that generates `text`, token by token."""
    assert loaded.tokenizer is not None
    tokens = loaded.tokenizer.encode(text, is_continuation=True)

    def stream(
        *_: object, stopping: StopConditions, **__: object
    ) -> Iterator[tuple[Response, None]]:
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
    pieces = stream_pieces(scripted(loaded, monkeypatch, text))
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
def test_no_part_of_a_stop_string_is_streamed(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, stop: tuple[str, ...], expected: str
) -> None:
    chat_model = scripted(loaded, monkeypatch, "Hello world, hello")
    assert (
        "".join(stream_pieces(chat_model, SAMPLING.model_copy(update={"stop": stop}))) == expected
    )


def test_a_partial_stop_string_is_streamed_when_it_cannot_be_one(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat_model = scripted(loaded, monkeypatch, "Hello wor")
    assert (
        "".join(stream_pieces(chat_model, SAMPLING.model_copy(update={"stop": ("world",)})))
        == "Hello wor"
    )


def test_max_tokens_is_limited_by_the_context_length(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = loaded.model.max_positions
    assert limit is not None
    chat_model = make_chat_model(loaded)
    long = [Message("user", "red " * 100)]
    num_left = limit - len(chat_model.chat.encode_prompt(long))
    used: list[SampleSettings] = []

    def stream(*given: object, **_: object) -> Iterator[tuple[Response, None]]:
        used.extend(item for item in given if isinstance(item, SampleSettings))
        yield Response([], "length"), None

    monkeypatch.setattr(streaming, "stream", stream)
    assert 0 < num_left < SAMPLING.max_tokens
    assert list(chat_model.stream_response(long, SAMPLING, key=1)) == []
    assert [sampling.max_tokens for sampling in used] == [num_left]


def test_a_dialogue_that_is_too_long_is_rejected(loaded: LoadedModel) -> None:
    with pytest.raises(
        InputError, match=r"the dialogue has [\d,]+ tokens and the model's context length is 256; "
    ):
        list(
            make_chat_model(loaded).stream_response(
                [Message("user", "word " * 300)], SAMPLING, key=1
            )
        )


def test_the_contracts_template_is_used_unless_another_is_passed(loaded: LoadedModel) -> None:
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
    with_contract = replace(loaded, contract=contract)
    assert make_chat_model(with_contract).chat.template == contract.template
    assert make_chat_model(with_contract, template="!").chat.template == "!"


@pytest.mark.parametrize("kind", ["reward", "value"])
def test_reward_and_value_models_are_rejected(loaded: LoadedModel, kind: str) -> None:
    contract = Contract(
        base="b",
        base_sha256="",
        tokenizer="",
        template=None,
        stops=(),
        bos=None,
        eos=0,
        kind=kind,
        tune="lora",  # type: ignore[arg-type] -- a valid literal
    )
    with pytest.raises(
        InputError, match=f"is a {kind} model, which scores text and generates none"
    ):
        make_chat_model(replace(loaded, contract=contract))


def test_a_model_without_a_tokenizer_is_rejected(loaded: LoadedModel) -> None:
    with pytest.raises(InputError, match=r"has no tokenizer; put tokenizer\.json into the folder"):
        make_chat_model(replace(loaded, tokenizer=None))


def test_each_turn_has_its_own_key() -> None:
    assert len({response_key(seed, turn) for seed in range(3) for turn in range(4)}) == 12
