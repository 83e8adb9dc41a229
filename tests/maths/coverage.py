"""Measures how often the 95 % intervals contain the true value, by simulation.

`python -m tests.maths.coverage` writes the table in docs/learn/evaluate.md.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special

from upbring.maths import statistics as st
from upbring.maths.statistics import Estimate, FloatArray
from upbring.maths.win_rates import length_controlled_win_rate

PAGE = Path(__file__).parents[2] / "docs/learn/evaluate.md"
START, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"
SIZES = (10, 20, 50, 200)
NUM_TRIALS = 4000

Draw = Callable[[np.random.Generator, int], Estimate]


@dataclass(frozen=True)
class Scenario:
    """An interval of data with a known true value."""

    family: str
    name: str
    truth: float
    draw: Draw


def share(p: float) -> Scenario:
    return Scenario(
        "proportions",
        f"share {p:g}",
        p,
        lambda rng, n: st.proportion(int(rng.binomial(n, p)), n),
    )


def mean_of(name: str, truth: float, draw: Callable[..., FloatArray]) -> Scenario:
    return Scenario("means", name, truth, lambda rng, n: st.mean(draw(rng, n)))


def beta_mean(p: float, total: float) -> Scenario:
    return mean_of(
        f"values from 0 to 1, mean {p:g}",
        p,
        lambda rng, n: rng.beta(p * total, (1 - p) * total, n),
    )


def pairs_ratio(p: float, correlation: float) -> Scenario:
    """Correct pairs of rankings with 1, 3 or 6 pairs, which are right or wrong together."""
    total = 1 / correlation - 1

    def draw(rng: np.random.Generator, n: int) -> Estimate:
        pairs = rng.choice([1, 3, 6], n)
        right = rng.binomial(pairs, rng.beta(p * total, (1 - p) * total, n))
        return st.ratio(right.astype(float), pairs.astype(float))

    return Scenario("ratios", f"pairs in rankings, share {p:g}", p, draw)


def loss_ratio() -> Scenario:
    def draw(rng: np.random.Generator, n: int) -> Estimate:
        tokens = np.round(rng.lognormal(5, 0.7, n)) + 1
        return st.ratio(tokens * rng.gamma(9, 2.5 / 9, n), tokens)

    return Scenario("ratios", "loss per token, mean 2.5", 2.5, draw)


def share_difference(before: float, after: float, changed_back: float) -> Scenario:
    """Items right before and after; `changed_back` of all items were right and became wrong."""
    both = before - changed_back
    cells = [both, changed_back, after - both, 1 - after - changed_back]

    def draw(rng: np.random.Generator, n: int) -> Estimate:
        kind = rng.choice(4, n, p=cells)
        was_right, is_right = kind < 2, (kind == 0) | (kind == 2)
        return st.proportion_difference(is_right.astype(float), was_right.astype(float))

    name = f"share {before:g} → {after:g}"
    return Scenario("paired differences", name, after - before, draw)


def mean_difference(name: str, noise: Callable[..., FloatArray]) -> Scenario:
    def draw(rng: np.random.Generator, n: int) -> Estimate:
        before = rng.normal(0, 5, n)
        return st.paired_difference(before + 0.5 + noise(rng, n), before)

    return Scenario("paired differences", name, 0.5, draw)


def win_rate(rate: float, ties: float) -> Scenario:
    wins = rate - ties / 2

    def draw(rng: np.random.Generator, n: int) -> Estimate:
        return st.share(rng.choice([1.0, 0.5, 0.0], n, p=[wins, ties, max(0, 1 - wins - ties)]))

    return Scenario("ties", f"win rate {rate:g}, ties {ties:g}", rate, draw)


def length_controlled(rate: float, ties: float = 0.0) -> Scenario:
    """Longer responses win more often; some wins and losses are ties with the same mean."""

    def draw(rng: np.random.Generator, n: int) -> Estimate:
        lengths = rng.normal(20, 50, n)
        p = special.expit(special.logit(rate) + np.tanh(lengths / lengths.std()))
        tied = rng.random(n) < ties * 2 * np.minimum(p, 1 - p)
        wins = rng.random(n) < (p - ties * np.minimum(p, 1 - p)) / (
            1 - 2 * ties * np.minimum(p, 1 - p)
        )
        outcome = np.where(tied, 0.5, wins.astype(float))
        return length_controlled_win_rate(outcome, lengths, np.zeros(n))

    name = f"win rate {rate:g}" + (f", ties {ties:g} of what is possible" if ties else "")
    return Scenario("length-controlled win rates", name, rate, draw)


SCENARIOS = (
    *(share(p) for p in (0.05, 0.5, 0.8, 0.9, 0.95)),
    mean_of("normal", 3.0, lambda rng, n: rng.normal(3, 2, n)),
    mean_of("exponential", 1.0, lambda rng, n: rng.exponential(1, n)),
    mean_of("word counts, mean 40", 40.0, lambda rng, n: rng.poisson(rng.gamma(4, 10, n)) * 1.0),
    *(beta_mean(p, total) for p, total in ((0.5, 4), (0.8, 4), (0.95, 10))),
    mean_of("0 or 1, mean 0.95", 0.95, lambda rng, n: (rng.random(n) < 0.95) * 1.0),
    *(pairs_ratio(p, 0.2) for p in (0.5, 0.8, 0.9, 0.95)),
    loss_ratio(),
    share_difference(0.5, 0.5, 0.2),
    share_difference(0.5, 0.6, 0.1),
    share_difference(0.8, 0.9, 0.05),
    share_difference(0.6, 0.95, 0.02),
    share_difference(0.95, 0.95, 0.04),
    share_difference(0.05, 0.95, 0.0),
    mean_difference("score +0.5, normal", lambda rng, n: rng.normal(0, 1, n)),
    mean_difference("score +0.5, skewed", lambda rng, n: rng.exponential(1, n) - 1),
    *(win_rate(r, t) for r, t in ((0.5, 0.2), (0.5, 0.8), (0.7, 0.4), (0.9, 0.1), (0.95, 0.05))),
    *(length_controlled(r) for r in (0.5, 0.8, 0.9, 0.95)),
    length_controlled(0.5, 0.5),
    length_controlled(0.8, 0.5),
)


def coverage(scenario: Scenario, n: int, *, num_trials: int = NUM_TRIALS) -> float | None:
    """Return how often the interval contains the true value; None if there is no interval."""
    rng = np.random.default_rng([zlib.crc32(f"{scenario.family}: {scenario.name}".encode()), n])
    held = 0
    for _ in range(num_trials):
        estimate = scenario.draw(rng, n)
        if estimate.too_few is not None:
            return None
        held += estimate.low - 1e-12 <= scenario.truth <= estimate.high + 1e-12
    return held / num_trials


def table() -> str:
    """Return the table of the documentation, in percent."""
    lines = ["| interval of | n = " + " | ".join(map(str, SIZES)) + " |", "|---|---|---|---|---|"]
    for scenario in SCENARIOS:
        shares = [coverage(scenario, n) for n in SIZES]
        cells = ["too few to say" if c is None else f"{100 * c:.1f}" for c in shares]
        lines.append(f"| {scenario.family}: {scenario.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    head, tail = text.split(START)[0], text.split(END)[1]
    PAGE.write_text(f"{head}{START}\n\n{table()}\n\n{END}{tail}", encoding="utf-8")
