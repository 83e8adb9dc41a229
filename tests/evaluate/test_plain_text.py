from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests import small
from tests.plain import plain_logprobs
from upbring.data.chat.chat import make_chat
from upbring.data.trees.tree import make_tree
from upbring.evaluate.local_model import LocalModel
from upbring.evaluate.plain_text import (
    GenerationRequest,
    generate_texts,
    rolling_logprobs,
    score_continuations,
)
from upbring.model.load import load


@pytest.fixture(scope="module")
def local(model_folder: Path) -> LocalModel:
    cpu = torch.device("cpu")
    loaded = load(str(model_folder), device=cpu, compute_dtype=torch.float32, log=lambda _: None)
    assert loaded.tokenizer is not None
    return LocalModel("small", "small", loaded.model, make_chat(loaded.tokenizer), max_tokens=12)


@pytest.fixture(scope="module")
def network(model_folder: Path) -> torch.nn.Module:
    network: torch.nn.Module = AutoModelForCausalLM.from_pretrained(model_folder)
    return network.eval()


def encode_start(local: LocalModel, text: str) -> list[int]:
    tokenizer = local.chat.tokenizer
    assert tokenizer.bos_token_id is not None
    return [tokenizer.bos_token_id] * tokenizer.adds_bos + tokenizer.encode(text)


def logprob(network: torch.nn.Module, prompt: list[int], ending: list[int]) -> float:
    return float(plain_logprobs(network, [make_tree(prompt, ending)]).detach().sum())


def test_endings_are_scored_as_one_text_with_their_prompt(
    local: LocalModel, network: torch.nn.Module
) -> None:
    pairs = [("The sky is", " blue"), ("The sky is ", "warm and tall"), ("The sky is", " red")]
    for (text, ending), found in zip(pairs, score_continuations(local, pairs), strict=True):
        before = encode_start(local, text.rstrip())
        whole = encode_start(local, text + ending)
        assert whole[: len(before)] == before
        expected = logprob(network, before, whole[len(before) :])
        assert found.logprob == pytest.approx(expected, abs=1e-4)
        assert not found.is_greedy


def test_a_greedy_continuation_is_marked_as_greedy(
    local: LocalModel, network: torch.nn.Module
) -> None:
    tokenizer, num_found = local.chat.tokenizer, 0
    for thing in small.THINGS:
        text = f"The {thing} is"
        prompt = encode_start(local, text)
        with torch.no_grad():
            token = int(network(torch.tensor([prompt])).logits[0, -1].argmax())
        ending = tokenizer.decode([token])
        if encode_start(local, text + ending) == [*prompt, token]:  # its text has the same tokens
            num_found += 1
            first, second = score_continuations(local, [(text, ending), (text, ending + " tower")])
            assert first.is_greedy
            assert not second.is_greedy
    assert num_found


def test_the_prompt_or_the_ending_may_be_empty(local: LocalModel, network: torch.nn.Module) -> None:
    tokenizer = local.chat.tokenizer
    assert tokenizer.bos_token_id is not None
    alone, empty = score_continuations(local, [("", "The sky"), ("The sky", "")])
    expected = logprob(network, [tokenizer.bos_token_id], tokenizer.encode("The sky"))
    assert alone.logprob == pytest.approx(expected, abs=1e-4)
    assert (empty.logprob, empty.is_greedy) == (0.0, True)


def test_a_text_that_is_too_long_loses_its_beginning(
    local: LocalModel, network: torch.nn.Module
) -> None:
    long = " ".join(f"The sky is warm and number {i}." for i in range(60))
    (found,) = score_continuations(local, [(long, " blue")])
    before = encode_start(local, long)
    ending = encode_start(local, long + " blue")[len(before) :]
    assert len(before) > 256
    expected = logprob(network, before[-(256 - len(ending)) :], ending)
    assert found.logprob == pytest.approx(expected, abs=1e-4)


def test_each_token_of_a_whole_text_is_scored_once(
    local: LocalModel, network: torch.nn.Module
) -> None:
    short = "The sky is warm and number 1."
    long = " ".join(f"The sky is warm and number {i}." for i in range(30))
    tokenizer = local.chat.tokenizer
    found = rolling_logprobs(local, [short, long])
    assert tokenizer.bos_token_id is not None
    tokens = tokenizer.encode(long)
    assert 256 < len(tokens) < 2 * 255
    whole = [tokenizer.bos_token_id, *tokens]
    assert found[0] == pytest.approx(
        logprob(network, [tokenizer.bos_token_id], tokenizer.encode(short)), abs=1e-4
    )
    # 255 tokens after BOS; then the rest, with a full context
    first = logprob(network, whole[:1], tokens[:255])
    second = logprob(network, whole[len(whole) - 256 : 256], tokens[255:])
    assert found[1] == pytest.approx(first + second, abs=1e-3)


def test_a_continuation_ends_at_its_stop_string(local: LocalModel, model_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    wish = GenerationRequest("The sky is", (), 12, 0.0, 1.0, 0)
    (whole,) = generate_texts(local, [wish])
    ids = tokenizer("The sky is", return_tensors="pt").input_ids
    network = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    continuation = network.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    assert whole == tokenizer.decode(continuation, skip_special_tokens=True)
    end = whole[4:6]
    cut, drawn, again = generate_texts(
        local,
        [
            GenerationRequest("The sky is", (end, "zebra"), 12, 0.0, 1.0, 0),
            GenerationRequest("The sky is", (), 12, 1.0, 1.0, 1),
            GenerationRequest("The sky is", (), 12, 1.0, 1.0, 2),
        ],
    )
    assert cut == whole[: whole.index(end)]
    assert drawn != again


def test_a_long_prompt_leaves_room_for_the_continuation(local: LocalModel) -> None:
    long = " ".join(f"The sky is warm and number {i}." for i in range(60))
    (continuation,) = generate_texts(local, [GenerationRequest(long, (), 8, 0.0, 1.0, 0)])
    assert continuation
