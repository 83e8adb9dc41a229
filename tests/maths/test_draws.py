import torch
from scipy import stats

from upbring.maths import draws


def test_a_draw_is_a_pure_function_of_its_row_and_its_key() -> None:
    keys = torch.arange(50)
    shares = torch.rand(50, 300, generator=draws.generator("rows"))
    alone = [
        draws.choice(row.unsqueeze(0), key.unsqueeze(0))
        for row, key in zip(shares, keys, strict=True)
    ]
    assert torch.equal(draws.choice(shares, keys), torch.cat(alone))


def test_keys_tell_their_parts_apart() -> None:
    assert len({draws.key(1, 23), draws.key(12, 3), draws.key("1", 23), draws.key(1, "23")}) == 4


def _parts(keys: torch.Tensor) -> torch.Tensor:
    """Return a number in (0, 1) of each key, as fine as 10,000 places of one share can tell."""
    flat = torch.ones(1, 10_000).expand(len(keys), -1) / 10_000
    return (draws.choice(flat, keys).double() + 0.5) / 10_000


def test_draws_are_uniform() -> None:
    assert (
        stats.kstest(_parts(torch.arange(4_000) + draws.key("u")).numpy(), "uniform").pvalue > 1e-3
    )


def test_neighbouring_keys_do_not_correlate() -> None:
    drawn = _parts(torch.arange(8_000))
    assert abs(torch.corrcoef(torch.stack([drawn[:-1], drawn[1:]]))[0, 1]) < 0.056  # 5σ of 1/√8,000


def test_each_input_bit_flips_half_of_the_output_bits() -> None:
    values = torch.arange(2_000)
    for bit in (0, 1, 17, 40, 62):
        changed = draws.mix(values) ^ draws.mix(values ^ (1 << bit))
        flipped = sum(((changed >> i) & 1).double().mean() for i in range(64))
        assert 31 < float(flipped) < 33


def test_a_choice_is_drawn_in_proportion_to_the_shares() -> None:
    shares = torch.tensor([0.1, 0.0, 0.6, 0.3], dtype=torch.float64)
    counts = torch.bincount(draws.choice(shares.expand(40_000, -1), torch.arange(40_000)))
    assert counts[1] == 0
    expected = 40_000 * shares[[0, 2, 3]].numpy()
    assert stats.chisquare(counts[[0, 2, 3]], expected).pvalue > 1e-3


def test_a_rare_place_among_many_is_drawn_as_rarely_as_it_should_be() -> None:
    """In float32 the sum of 100,000 shares would lose places of 1e-8, or give them the others'."""
    shares = torch.full((1, 100_001), 1e-8)
    shares[0, 0] = 1 - 1e-3
    drawn = torch.cat([draws.choice(shares, torch.tensor([key])) for key in range(10_000)])
    rare = drawn[drawn > 0]
    assert stats.binomtest(len(rare), 10_000, 1e-3).pvalue > 1e-3
    assert len(rare.unique()) == len(rare)


def test_every_place_is_within_the_row_whatever_the_shares_add_up_to() -> None:
    for shares in ([0.0, 1e-12], [3.0, 5.0], [float("nan"), 1.0]):
        drawn = draws.choice(torch.tensor([shares]).expand(1_000, -1), torch.arange(1_000))
        assert set(drawn.tolist()) <= {0, 1}
    assert set(draws.choice(torch.tensor([[0.0, 1.0, 0.0]]), torch.arange(1)).tolist()) == {1}


def test_an_order_is_a_permutation_of_its_own() -> None:
    one, other = draws.order(draws.key(0), 1_000), draws.order(draws.key(1), 1_000)
    assert sorted(one.tolist()) == list(range(1_000))
    assert not torch.equal(one, other)
    assert torch.equal(one, draws.order(draws.key(0), 1_000))
