import torch
from scipy import stats

from upbring.maths import counter_rng


def test_a_number_is_a_pure_function_of_its_key_and_counter() -> None:
    keys, counters = torch.tensor([3, 4]).unsqueeze(1), torch.arange(50)
    alone = torch.cat([counter_rng.uniform(torch.tensor([[k]]), counters) for k in (3, 4)])
    assert torch.equal(counter_rng.uniform(keys, counters), alone)


def test_numbers_are_uniform_and_never_0_or_1() -> None:
    values = counter_rng.uniform(torch.tensor(counter_rng.key("u")), torch.arange(200_000))
    assert 0 < values.min() < values.max() < 1
    assert stats.kstest(values[:20_000].double().numpy(), "uniform").pvalue > 1e-3


def test_adjacent_keys_and_counters_do_not_correlate() -> None:
    a = counter_rng.uniform(torch.tensor(7), torch.arange(100_000)).double()
    b = counter_rng.uniform(torch.tensor(8), torch.arange(100_000)).double()
    for left, right in ((a, b), (a[:-1], a[1:]), (a, b.flip(0))):
        assert abs(torch.corrcoef(torch.stack([left, right]))[0, 1]) < 0.015  # 5σ of 1/√100,000


def test_each_input_bit_flips_half_of_the_output_bits() -> None:
    values = torch.arange(2_000)
    for bit in (0, 1, 17, 40, 62):
        changed = counter_rng.mix(values) ^ counter_rng.mix(values ^ (1 << bit))
        flipped = sum(((changed >> i) & 1).double().mean() for i in range(64))
        assert 31 < float(flipped) < 33


def test_gumbel_max_samples_from_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
    noise = counter_rng.gumbel(torch.arange(40_000).unsqueeze(1), torch.arange(4))
    counts = torch.bincount((logits + noise).argmax(1), minlength=4)
    assert stats.chisquare(counts, 40_000 * logits.double().softmax(0).numpy()).pvalue > 1e-3


def test_all_tokens_of_a_uniform_distribution_are_equally_frequent() -> None:
    keys, token_ids = torch.arange(50_000), torch.arange(500)
    sampled = torch.cat(
        [counter_rng.gumbel(k.unsqueeze(1), token_ids).argmax(1) for k in keys.split(5_000)]
    )
    assert stats.chisquare(torch.bincount(sampled, minlength=500)).pvalue > 1e-3
    differences = torch.bincount(
        (sampled[1:] - sampled[:-1]) % 500, minlength=500
    )  # of adjacent keys
    assert stats.chisquare(differences).pvalue > 1e-3


def test_numbers_of_a_large_vocabulary_equal_single_numbers() -> None:
    """Counters above 2¹⁶ and keys of both signs lose no information in 32-bit mixing."""
    keys = torch.tensor([[5], [-5], [2**62]])
    alone = [counter_rng.uniform(keys, torch.tensor([place])) for place in (0, 70_000, 151_935)]
    whole = counter_rng.uniform(keys, torch.arange(151_936))
    assert torch.equal(whole[:, [0, 70_000, 151_935]], torch.cat(alone, dim=1))
    assert len(whole[0].unique()) > 0.98 * 151_936  # some of the 2²³ numbers repeat


def test_each_key_gives_its_own_permutation() -> None:
    one, other = (
        counter_rng.permutation(counter_rng.key(0), 1_000),
        counter_rng.permutation(counter_rng.key(1), 1_000),
    )
    assert sorted(one.tolist()) == list(range(1_000))
    assert not torch.equal(one, other)
    assert torch.equal(one, counter_rng.permutation(counter_rng.key(0), 1_000))
