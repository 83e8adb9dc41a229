import itertools
from collections.abc import Sequence

import pytest
import torch
from scipy import stats

from tests import tolerances
from tests.families import FAMILIES, VOCABULARY, family
from upbring.data.trees.batch import make_batch
from upbring.data.trees.tree import make_tree
from upbring.maths import counter_rng
from upbring.model.attention import ATTENTION_NAME
from upbring.model.network import Model
from upbring.model.sampling import (
    Request,
    Response,
    StopConditions,
    gumbel_max,
    sample,
    sample_next_tokens,
)
from upbring.model.score import score_tokens
from upbring.settings.sampling import SampleSettings

FREE = SampleSettings(temperature=1.0, max_tokens=20)
STOPS = StopConditions(frozenset({2, 5, 7}))


def requests(*, longest: int = 12) -> list[Request]:
    lengths_and_samples = ((3, 1), (longest, 3), (7, 2), (5, 1))
    return [
        Request(
            counter_rng.permutation(counter_rng.key(i), VOCABULARY)[:p].tolist(),
            tuple(counter_rng.key(0, i, s) for s in range(n)),
        )
        for i, (p, n) in enumerate(lengths_and_samples)
    ]


def tokens(responses: Sequence[Response]) -> list[list[int]]:
    return [response.tokens for response in responses]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_response_does_not_depend_on_what_shares_its_batch(name: str) -> None:
    model = Model(family(name, attention=ATTENTION_NAME))
    few = sample(model, requests(), FREE, stopping=STOPS, num_slots=3)
    many = sample(model, requests(), FREE, stopping=STOPS, num_slots=99)
    alone = [
        sample(model, [Request(request.prompt, (key,))], FREE, stopping=STOPS)[0]
        for request in requests()
        for key in request.keys
    ]
    assert tokens(few) == tokens(many) == tokens(alone)


@pytest.mark.parametrize("name", FAMILIES)
def test_returned_logprobs_are_those_of_score(name: str) -> None:
    model = Model(family(name, attention=ATTENTION_NAME))
    wanted = requests(longest=4 if name == "phi3-longrope" else 12)
    how = FREE.model_copy(update={"max_tokens": 15})  # below the rotary threshold of 24
    responses = sample(model, wanted, how, stopping=STOPS, num_slots=4)
    batch = make_batch([make_tree(wanted[r.request_index].prompt, r.tokens) for r in responses])
    with torch.no_grad():
        scored = score_tokens(model, batch).logprobs
    sampled = torch.tensor([value for r in responses for value in r.logprobs])
    assert (scored - sampled).abs().max() < tolerances.SAMPLED


@pytest.mark.parametrize("name", FAMILIES)
def test_the_cache_changes_nothing(name: str) -> None:
    fast = sample(Model(family(name, attention=ATTENTION_NAME)), requests(), FREE, stopping=STOPS)
    slow = sample(Model(family(name), is_packed=False), requests(), FREE, stopping=STOPS)
    assert tokens(fast) == tokens(slow)


def test_greedy_is_what_transformers_generates() -> None:
    (request,) = requests()[:1]
    how = SampleSettings(temperature=0, max_tokens=20)
    ours = sample(
        Model(family("qwen2", attention=ATTENTION_NAME)), [request], how, stopping=StopConditions()
    )
    theirs = family("qwen2").generate(
        torch.tensor([request.prompt]),
        max_new_tokens=20,
        do_sample=False,
        eos_token_id=None,
        attention_mask=torch.ones(1, len(request.prompt), dtype=torch.long),
    )
    assert ours[0].tokens == theirs[0, len(request.prompt) :].tolist()


def test_a_row_ends_at_a_stop_token_a_rule_or_its_length() -> None:
    model = Model(family("llama", attention=ATTENTION_NAME))
    reasons = {r.finish_reason for r in sample(model, requests(), FREE, stopping=STOPS)}
    assert reasons == {"stop", "length"}
    third = StopConditions(ends_sequence=lambda sampled: len(sampled) == 3)
    ended = sample(model, requests(), FREE, stopping=third)
    assert {(r.finish_reason, len(r.tokens)) for r in ended} == {("string", 3)}


def test_the_user_can_stop_it_between_tokens() -> None:
    count = itertools.count()

    def poll() -> None:
        if next(count) == 4:
            raise KeyboardInterrupt

    model = Model(family("llama", attention=ATTENTION_NAME))
    with pytest.raises(KeyboardInterrupt):
        sample(model, requests(), FREE, stopping=StopConditions(), poll=poll)
    assert next(count) == 5


def rows(count: int) -> list[tuple[Response, int]]:
    return [(Response(i, 0), counter_rng.key("row", i)) for i in range(count)]


def frequencies(shares: torch.Tensor, how: SampleSettings, *, count: int = 20_000) -> torch.Tensor:
    sampled, _ = sample_next_tokens(shares.log().expand(count, -1), rows(count), how)
    return torch.bincount(torch.tensor(sampled), minlength=len(shares)) / count


SHARES = torch.tensor([0.5, 0.3, 0.15, 0.05])


def test_tokens_are_sampled_as_often_as_their_probability() -> None:
    found = frequencies(SHARES, SampleSettings(temperature=1.0))
    assert torch.allclose(found, SHARES, atol=0.015)


def test_temperature_sharpens() -> None:
    found = frequencies(SHARES, SampleSettings(temperature=0.5))
    assert torch.allclose(found, SHARES**2 / (SHARES**2).sum(), atol=0.015)


@pytest.mark.parametrize(
    ("how", "kept"),
    [({"top_k": 2}, 2), ({"top_p": 0.79}, 2), ({"top_p": 0.81}, 3), ({"top_p": 0.01}, 1)],
)
def test_top_k_and_top_p_keep_the_likeliest(how: dict[str, float], kept: int) -> None:
    found = frequencies(SHARES, SampleSettings(temperature=1.0, **how))
    expected = torch.where(torch.arange(4) < kept, SHARES, 0.0)
    assert torch.allclose(found, expected / expected.sum(), atol=0.015)


def test_each_token_of_a_large_vocabulary_is_as_frequent_as_its_probability() -> None:
    """Groups of tokens are drawn first; the last one is not full."""
    vocabulary, count = 500, 50_000
    probs = (2 * torch.randn(vocabulary, generator=counter_rng.make_generator("shares"))).softmax(0)
    keys = torch.arange(count)
    sampled = torch.cat([gumbel_max(probs.expand(len(own), -1), own) for own in keys.split(5_000)])
    expected = count * probs.double().numpy() / float(probs.double().sum())
    is_large = expected > 5
    observed = torch.bincount(sampled, minlength=vocabulary).numpy()
    table = [[*each[is_large], each[~is_large].sum()] for each in (observed, expected)]
    assert stats.chisquare(table[0], table[1]).pvalue > 1e-3


def test_rounding_errors_change_hardly_any_sample() -> None:
    """Batch composition changes the last digits of logits; it must not change sampled tokens.

    With inverse-CDF sampling, about a dozen of these 16,000 samples would change.
    """
    generator, num_changed = counter_rng.make_generator("rounding"), 0
    for keys in torch.arange(16_000).split(2_000):
        logits = 2 * torch.randn(len(keys), 2_048, generator=generator)
        rounded = logits + 1e-5 * torch.randn(logits.shape, generator=generator)
        sampled = [gumbel_max(each.softmax(-1), keys) for each in (logits, rounded)]
        num_changed += int((sampled[0] != sampled[1]).sum())
    assert num_changed <= 1


def test_no_requests_give_no_responses() -> None:
    assert sample(Model(family("llama", attention=ATTENTION_NAME)), [], FREE, stopping=STOPS) == []


@pytest.mark.parametrize("name", FAMILIES)
def test_whole_weights_that_compute_in_bfloat16_are_sampled_too(name: str) -> None:
    model = Model(family(name, attention=ATTENTION_NAME), torch.bfloat16)
    responses = sample(model, requests(longest=4), FREE, stopping=STOPS)
    assert len(responses) == 7
