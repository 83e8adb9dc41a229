import math
from collections import Counter

import numpy as np
import pytest
import torch

from upbring.serve.engine import next_tokens
from upbring.serve.engine.next_tokens import Draw, choose_tokens
from upbring.serve.engine.requests import TokenSampling

V = 40


def naive_probs(
    logits: np.ndarray, sampling: TokenSampling, prompt: list[int], generated: list[int]
) -> np.ndarray:
    """Return the distribution of the next token in float64, one token at a time."""
    scores = [float(x) for x in logits]
    for v in {*prompt, *generated}:
        r = sampling.repetition_penalty
        scores[v] = scores[v] / r if scores[v] > 0 else scores[v] * r
    for v, count in Counter(generated).items():
        scores[v] -= sampling.presence_penalty + count * sampling.frequency_penalty
    for v, bias in sampling.logit_bias.items():
        scores[v] += bias
    exponents = [math.exp(s / sampling.temperature) for s in scores]
    order = sorted(range(len(scores)), key=lambda v: -exponents[v])
    kept = order[: sampling.top_k or len(order)]
    total = sum(exponents[v] for v in kept)
    nucleus, mass = [], 0.0
    for v in kept:
        if mass >= sampling.top_p:
            break
        nucleus.append(v)
        mass += exponents[v] / total
    floor = sampling.min_p * exponents[order[0]]
    final = {v: exponents[v] for v in nucleus if exponents[v] >= floor}
    probs = np.zeros(len(scores))
    for v, e in final.items():
        probs[v] = e / sum(final.values())
    return probs


SETTINGS = {
    "plain": TokenSampling(),
    "temperature": TokenSampling(temperature=0.5),
    "top_k": TokenSampling(top_k=5),
    "top_p": TokenSampling(top_p=0.7),
    "both": TokenSampling(temperature=1.3, top_k=12, top_p=0.6),
    "min_p": TokenSampling(min_p=0.2),
    "penalties": TokenSampling(presence_penalty=0.7, frequency_penalty=0.4),
    "repetition": TokenSampling(repetition_penalty=1.5, top_p=0.9),
    "bias": TokenSampling(logit_bias={3: 2.0, 5: -100.0}),
}


@pytest.mark.parametrize("candidates", [8, 1024])
@pytest.mark.parametrize("name", SETTINGS)
def test_tokens_have_the_distribution_of_a_naive_sampler(
    name: str, candidates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_tokens, "NUM_CANDIDATES", candidates)
    sampling = SETTINGS[name]
    logits = torch.randn(V, generator=torch.Generator().manual_seed(1)) * 1.5
    prompt, generated = [1, 2, 3], [3, 3, 7]
    count = 4_000
    draws = [Draw(sampling, key, prompt, generated) for key in range(count)]
    chosen = choose_tokens(logits.expand(count, -1), draws)
    found = np.bincount([each.token for each in chosen], minlength=V)
    expected = naive_probs(logits.double().numpy(), sampling, prompt, generated)
    assert (found[expected == 0] == 0).all()
    likely = expected * count > 5
    deviation = (found - expected * count)[likely] / np.sqrt(expected * count)[likely]
    freedom = int(likely.sum()) - 1
    assert (deviation**2).sum() < freedom + 5 * math.sqrt(2 * freedom) + 1


def test_a_row_is_chosen_alike_whatever_shares_the_batch() -> None:
    logits = torch.randn(30, V, generator=torch.Generator().manual_seed(2))
    samplings = [*SETTINGS.values(), TokenSampling(temperature=0.0)]
    draws = [Draw(samplings[i % 10], i, [1], [2] * (i % 3), i % 4) for i in range(30)]
    together = choose_tokens(logits, draws)
    alone = [choose_tokens(logits[i : i + 1], [draws[i]])[0] for i in range(30)]
    assert [each.token for each in together] == [each.token for each in alone]


def test_logprobs_are_the_models_own_at_temperature_1() -> None:
    logits = torch.randn(1, V, generator=torch.Generator().manual_seed(3))
    sampling = TokenSampling(temperature=0.0, logit_bias={4: 50.0})
    (chosen,) = choose_tokens(logits, [Draw(sampling, 0, [], [], 2)])
    expected = logits[0].double() - logits[0].double().logsumexp(0)
    assert chosen.token == 4
    assert chosen.logprob == pytest.approx(float(expected[4]), abs=1e-6)
    best = expected.topk(2)
    assert [token for token, _ in chosen.top] == best.indices.tolist()
    assert [value for _, value in chosen.top] == pytest.approx(best.values.tolist(), abs=1e-6)


def test_the_likeliest_token_has_the_same_float_as_its_entry() -> None:
    logits = torch.randn(50, V, generator=torch.Generator().manual_seed(4))
    draws = [Draw(TokenSampling(temperature=0.0), 0, [], [], 1)] * 50
    for each in choose_tokens(logits, draws):
        assert each.top == ((each.token, each.logprob),)


def test_only_allowed_tokens_are_chosen() -> None:
    allowed = torch.zeros(V, dtype=torch.bool)
    allowed[[7, 9]] = True
    logits = torch.randn(V, generator=torch.Generator().manual_seed(5)).expand(200, -1)
    draws = [Draw(TokenSampling(), key, [], [], allowed=allowed) for key in range(200)]
    assert {each.token for each in choose_tokens(logits, draws)} == {7, 9}
