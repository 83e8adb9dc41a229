from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.evaluate.scripted import user_prompt
from tests.plain import plain_logprobs
from tests.tolerances import LOGPROBS
from upbring.data.chat.chat import make_chat
from upbring.data.read.records import Message
from upbring.data.trees.tree import make_tree
from upbring.evaluate.local_model import LocalModel
from upbring.evaluate.model_protocol import LikelihoodRequest
from upbring.model.load import load
from upbring.model.sampling import Request
from upbring.settings.sampling import SampleSettings


@pytest.fixture(scope="module")
def local(model_folder: Path) -> LocalModel:
    cpu = torch.device("cpu")
    loaded = load(str(model_folder), device=cpu, compute_dtype=torch.float32, log=lambda _: None)
    assert loaded.tokenizer is not None
    return LocalModel("small", "small", loaded.model, make_chat(loaded.tokenizer), max_tokens=12)


def with_notices(local: LocalModel, notices: list[str]) -> LocalModel:
    return LocalModel("small", "s", local.model, local.chat, max_tokens=12, log=notices.append)


def plain(folder: Path, prompt: list[int], response: list[int]) -> float:
    """Return the log-probability of a response as transformers computes it."""
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    return float(plain_logprobs(network, [make_tree(prompt, response)]).detach().sum())


def test_likelihoods_are_those_of_the_plain_model(local: LocalModel, model_folder: Path) -> None:
    tokenizer = local.chat.tokenizer
    choices = [
        LikelihoodRequest("The sky is", (" blue", " very green")),
        LikelihoodRequest(user_prompt("What is the sky like?"), ("It is blue.",)),
    ]
    first, second = local.likelihoods(choices)
    assert tokenizer.bos_token_id is not None
    prefix = [tokenizer.bos_token_id, *tokenizer.encode("The sky is")]
    for found, text in zip(first, (" blue", " very green"), strict=True):
        ending = tokenizer.encode(text, is_continuation=True)
        expected = plain(model_folder, prefix, ending)
        assert found.logprob == pytest.approx(expected, abs=len(ending) * LOGPROBS)
        assert found.num_tokens == len(ending)
    ending = tokenizer.encode("It is blue.", is_continuation=True)
    prompt = local.chat.encode_prompt(user_prompt("What is the sky like?"))
    assert second[0].logprob == pytest.approx(plain(model_folder, prompt, ending), abs=1e-4)


def test_a_document_is_read_in_windows_without_losing_a_token(
    local: LocalModel, model_folder: Path
) -> None:
    short = "The sky is warm and number 1."
    long = " ".join(f"The sky is warm and number {i}." for i in range(40))
    found = local.document_likelihoods([short, long])
    tokenizer = local.chat.tokenizer
    assert [each.num_tokens for each in found] == [
        len(tokenizer.encode(text)) for text in (short, long)
    ]
    assert found[1].num_tokens > 256  # longer than the context
    assert tokenizer.bos_token_id is not None
    whole = plain(model_folder, [tokenizer.bos_token_id], tokenizer.encode(short))
    assert found[0].logprob == pytest.approx(whole, abs=1e-4)


def test_responses_are_greedy_and_do_not_depend_on_the_batch(local: LocalModel) -> None:
    prompts = [user_prompt(text) for text in ("What is red?", "What is the sea like?", "Hello")]
    together = local.generate(prompts)
    assert together == [local.generate([prompt])[0] for prompt in prompts]
    assert all(together)


def test_samples_depend_only_on_the_seed(local: LocalModel) -> None:
    prompts = [user_prompt("What is red?"), user_prompt("Hello")]
    first = local.sample(prompts, seed=1)
    assert local.sample(prompts[::-1], seed=1) == first[::-1]
    assert local.sample(prompts, seed=2) != first


def test_each_of_several_responses_is_sampled_with_its_own_key(local: LocalModel) -> None:
    prompts = [
        user_prompt("What is red?"),
        user_prompt("word " * 300),
        user_prompt("red " * 70),
    ]  # the second does not fit
    how = SampleSettings(temperature=1, max_tokens=12)
    red, unread, long = local.sample_with_keys(prompts, how, keys=[(1, 2, 1), (3, 4), (5,)])
    assert red[0] == red[2] != red[1]
    assert unread == ("", "")
    assert [(red[1],), long] == [
        *local.sample_with_keys([prompts[0]], how, keys=[(2,)]),
        *local.sample_with_keys([prompts[2]], how, keys=[(5,)]),
    ]


def test_plain_text_is_continued(local: LocalModel) -> None:
    (found,) = local.complete(["The sky is"], max_tokens=3)
    assert found
    assert len(local.chat.tokenizer.encode(found, is_continuation=True)) <= 6


def test_a_prompt_that_is_too_long_has_an_empty_response_and_is_counted(local: LocalModel) -> None:
    notices: list[str] = []
    found = with_notices(local, notices).generate(
        [user_prompt("word " * 300), user_prompt("Hello")]
    )
    assert found[0] == ""
    assert found[1] != ""
    assert notices == [
        "small: 1 prompt is longer than the context of 256 tokens; the response is empty"
    ]


def test_an_answer_ends_where_the_model_ends(local: LocalModel) -> None:
    text = "red " * 70
    room = 256 - len(local.chat.encode_prompt(user_prompt(text)))
    assert room > 0
    (found,) = local.generate([user_prompt(text)])
    assert len(local.chat.tokenizer.encode(found, is_continuation=True)) <= max(12, room) + 4


def test_a_long_prompt_loses_its_beginning(local: LocalModel) -> None:
    (found,) = local.likelihoods([LikelihoodRequest("word " * 400, (" blue",))])
    assert found[0].num_tokens >= 1


def test_a_last_assistant_message_is_the_beginning_of_the_response(local: LocalModel) -> None:
    tokenizer = local.chat.tokenizer
    question = user_prompt("What is the sky like?")
    prefilled = (*question, Message("assistant", "The sky is"))
    prompt = local.chat.encode_prompt(question)
    assert local.encode_dialogue(question) == prompt
    beginning = tokenizer.encode("The sky is", is_continuation=True)
    assert local.encode_dialogue(prefilled) == [*prompt, *beginning]
    settings = SampleSettings(temperature=0.0, max_tokens=12)
    ((expected,),) = local.sample_requests([Request([*prompt, *beginning], (0,))], settings)
    assert local.generate([prefilled]) == [expected]
