from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.evaluate.scripted import asked
from tests.plain import plain_logprobs
from tests.tolerances import LOGPROBS
from upbring.data.chat.chat import make_chat
from upbring.data.trees.tree import tree
from upbring.evaluate.local_model import Local
from upbring.evaluate.model_protocol import Choice
from upbring.model.load import load
from upbring.settings.sampling import SampleSettings


@pytest.fixture(scope="module")
def local(model_folder: Path) -> Local:
    cpu = torch.device("cpu")
    loaded = load(str(model_folder), device=cpu, compute=torch.float32, notice=lambda _: None)
    assert loaded.tokenizer is not None
    return Local("small", "small", loaded.model, make_chat(loaded.tokenizer), max_tokens=12)


def told(local: Local, notices: list[str]) -> Local:
    return Local("small", "s", local.model, local.chat, max_tokens=12, notice=notices.append)


def plain(folder: Path, prompt: list[int], response: list[int]) -> float:
    """Return the log-probability of a response as transformers computes it."""
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    return float(plain_logprobs(network, [tree(prompt, response)]).detach().sum())


def test_likelihoods_are_those_of_the_plain_model(local: Local, model_folder: Path) -> None:
    tokenizer = local.chat.tokenizer
    choices = [
        Choice("The sky is", (" blue", " very green")),
        Choice(asked("What is the sky like?"), ("It is blue.",)),
    ]
    first, second = local.likelihoods(choices)
    assert tokenizer.bos is not None
    begun = [tokenizer.bos, *tokenizer.encode("The sky is")]
    for found, text in zip(first, (" blue", " very green"), strict=True):
        ending = tokenizer.encode(text, inside=True)
        expected = plain(model_folder, begun, ending)
        assert found.logprob == pytest.approx(expected, abs=len(ending) * LOGPROBS)
        assert found.num_tokens == len(ending)
    ending = tokenizer.encode("It is blue.", inside=True)
    prompt = local.chat.prompt(asked("What is the sky like?"))
    assert second[0].logprob == pytest.approx(plain(model_folder, prompt, ending), abs=1e-4)


def test_a_document_is_read_in_windows_without_losing_a_token(
    local: Local, model_folder: Path
) -> None:
    short = "The sky is warm and number 1."
    long = " ".join(f"The sky is warm and number {i}." for i in range(40))
    found = local.read([short, long])
    tokenizer = local.chat.tokenizer
    assert [each.num_tokens for each in found] == [
        len(tokenizer.encode(text)) for text in (short, long)
    ]
    assert found[1].num_tokens > 256  # more than the model reads at once
    assert tokenizer.bos is not None
    whole = plain(model_folder, [tokenizer.bos], tokenizer.encode(short))
    assert found[0].logprob == pytest.approx(whole, abs=1e-4)


def test_answers_are_the_likeliest_and_do_not_depend_on_company(local: Local) -> None:
    prompts = [asked(text) for text in ("What is red?", "What is the sea like?", "Hello")]
    together = local.answers(prompts)
    assert together == [local.answers([prompt])[0] for prompt in prompts]
    assert all(together)


def test_draws_depend_on_the_seed_alone(local: Local) -> None:
    prompts = [asked("What is red?"), asked("Hello")]
    first = local.drawn(prompts, seed=1)
    assert local.drawn(prompts[::-1], seed=1) == first[::-1]
    assert local.drawn(prompts, seed=2) != first


def test_each_of_several_answers_is_drawn_by_its_own_key(local: Local) -> None:
    prompts = [asked("What is red?"), asked("word " * 300), asked("red " * 70)]  # 2nd has no room
    how = SampleSettings(temperature=1, max_tokens=12)
    red, unread, long = local.several(prompts, how, keys=[(1, 2, 1), (3, 4), (5,)])
    assert red[0] == red[2] != red[1]
    assert unread == ("", "")
    assert [(red[1],), long] == [
        *local.several([prompts[0]], how, keys=[(2,)]),
        *local.several([prompts[2]], how, keys=[(5,)]),
    ]


def test_plain_text_is_continued(local: Local) -> None:
    (found,) = local.continued(["The sky is"], most_tokens=3)
    assert found
    assert len(local.chat.tokenizer.encode(found, inside=True)) <= 6


def test_a_prompt_that_is_too_long_is_unanswered_and_counted(local: Local) -> None:
    notices: list[str] = []
    found = told(local, notices).answers([asked("word " * 300), asked("Hello")])
    assert found[0] == ""
    assert found[1] != ""
    assert notices == [
        "small: 1 prompts have more than the 256 tokens that it reads; they count as unanswered"
    ]


def test_an_answer_ends_where_the_model_ends(local: Local) -> None:
    text = "red " * 70
    room = 256 - len(local.chat.prompt(asked(text)))
    assert room > 0
    (found,) = local.answers([asked(text)])
    assert len(local.chat.tokenizer.encode(found, inside=True)) <= max(12, room) + 4


def test_the_end_of_a_long_prompt_is_what_an_ending_is_read_after(local: Local) -> None:
    (found,) = local.likelihoods([Choice("word " * 400, (" blue",))])
    assert found[0].num_tokens >= 1
