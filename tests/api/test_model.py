from typing import Any

import numpy as np
import pytest
import torch

import upbring as ub

TEXTS = ("What is red?", "Where is the sea?")


@pytest.fixture(scope="module")
def model(finished: ub.Run) -> ub.Model:
    return ub.load(finished, dtype="float32", threads=1)


def test_greedy_text_is_that_of_transformers(model: ub.Model, finished: ub.Run) -> None:
    network, tokenizer = finished.load()
    (text,) = model.generate(["The apple"], max_tokens=6, temperature=0, raw=True)
    tokens = tokenizer("The apple")["input_ids"]
    generated = network.generate(
        torch.tensor([tokens]),
        attention_mask=torch.ones(1, len(tokens)),
        max_new_tokens=6,
        do_sample=False,
        pad_token_id=0,
    )
    assert text == tokenizer.decode(generated[0, len(tokens) :], skip_special_tokens=True)


def test_text_is_a_users_turn_and_a_list_is_a_dialogue(model: ub.Model) -> None:
    dialogue = [{"role": "user", "content": TEXTS[0]}]
    by_text, by_dialogue = model.generate([TEXTS[0], dialogue], max_tokens=6, temperature=0)
    assert by_text == by_dialogue
    template = "<|endoftext|>### User\nWhat is red?\n\n### Assistant\n"
    raw = model.logprobs([template], ["It is"], raw=True)
    # the template's own tokens are control tokens, which plain text does not become
    assert model.logprobs([TEXTS[0]], ["It is"]) != raw
    assert model.logprobs([TEXTS[0]], ["It is"]) == model.logprobs([dialogue], ["It is"])


def test_a_seed_gives_the_same_text_whatever_comes_after(model: ub.Model) -> None:
    first = model.generate([TEXTS[0]], max_tokens=8, seed=3)
    assert model.generate(TEXTS, max_tokens=8, seed=3)[:1] == first
    assert model.generate([TEXTS[0]], max_tokens=8, seed=4) != first
    same, other = model.generate([TEXTS[0]] * 2, max_tokens=8, seed=3)
    assert (same == first[0], same != other) == (True, True)
    assert model.chat(TEXTS[0], max_tokens=8, seed=3) == first[0]


def test_a_stop_string_ends_a_response(model: ub.Model) -> None:
    (whole,) = model.generate([TEXTS[0]], max_tokens=12, temperature=0)
    stop = whole[3:5]
    (cut,) = model.generate([TEXTS[0]], max_tokens=12, temperature=0, stop=[stop])
    assert cut == whole[: whole.index(stop)]


def test_log_probabilities_are_one_per_token(model: ub.Model) -> None:
    values = model.logprobs(TEXTS, ["It is red.", ""])
    assert len(values[0]) > 1
    assert values[1] == []
    assert np.all(np.array(values[0]) < 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompts": "Hi"}, "prompts: is one string; give a list, such as [prompt]"),
        (
            {"prompts": [{"role": "user", "content": "Hi"}]},
            "prompts: is one dialogue; give a list of dialogues, as [messages]",
        ),
        ({"prompts": [["Hi"]]}, "prompts[0][0]: 'Hi' is not a message; write it as"),
        ({"prompts": ["a", [{"role": "bot", "content": "b"}]]}, "prompts[1][0]: role 'bot'; use"),
        ({"prompts": [[{"role": "user", "content": 3}]]}, "prompts[0][0]: content is 3; give text"),
        ({"prompts": ["a " * 400]}, "prompts[0]: has "),
        ({"prompts": ["a"], "temperature": -1}, "temperature: -1 is out of range; give a number"),
        (
            {"prompts": [[{"role": "user", "content": "b"}]], "raw": True},
            "prompts[0]: is a dialogue; with raw=True give text",
        ),
    ],
)
def test_an_error_names_the_argument(
    model: ub.Model, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ub.InputError) as caught:
        model.generate(**arguments)
    assert str(caught.value).startswith(message)


def test_a_response_per_prompt_is_wanted(model: ub.Model) -> None:
    with pytest.raises(ub.InputError, match=r"^responses: 1 for 2 prompts; give one for each"):
        model.logprobs(TEXTS, ["a"])


def test_its_text_names_the_model(model: ub.Model, finished: ub.Run) -> None:
    assert repr(model) == f"Model({str(finished.path)!r})"
