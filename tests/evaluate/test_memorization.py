import math

import numpy as np
import pytest

from tests.evaluate.scripted import Scripted
from upbring.evaluate.answer_cache import AnswerCache
from upbring.evaluate.memorization import (
    Canary,
    SplitLine,
    measure_exposure,
    measure_extraction,
    rank,
    split_line,
)
from upbring.runs.results import EvalResult


def numbers(found: list[EvalResult]) -> dict[str, EvalResult]:
    return {number.name: number for number in found}


def test_exposure_is_the_rank_among_all_candidates_in_bits() -> None:
    secrets = [f"{i:02}" for i in range(16)]
    logprobs = {f" {s}": -float(i) for i, s in enumerate(secrets)}
    canaries = [
        Canary("Code:", secrets[k], tuple(s for s in secrets if s != secrets[k]), times)
        for k, times in ((0, 64), (3, 64), (15, 0))
    ]
    found = numbers(
        measure_exposure([Scripted("sft", {}, logprobs)], canaries, cache=AnswerCache())
    )
    # ranks 1 and 4 of 16: 4 and 2 bits; rank 16: 0 bits
    assert found["exposure/repeated_64_times"].value == pytest.approx(3)
    assert found["exposure/repeated_0_times"].value == pytest.approx(0)
    assert found["exposure"].value == pytest.approx(3)  # of the canaries in the training data
    assert found["exposure"].note == "at most 4, 1.44 by chance"
    assert found["exposure"].is_higher_better is False


def test_a_model_that_knows_nothing_has_the_exposure_of_chance() -> None:
    rng = np.random.default_rng(0)
    found = [math.log2(256) - math.log2(rank(list(rng.normal(size=256)))) for _ in range(2000)]
    assert np.mean(found) == pytest.approx(1 / math.log(2), abs=0.1)


def test_a_tie_has_the_middle_rank() -> None:
    assert rank([0.0] * 5) == 3


def test_a_line_is_extracted_if_its_exact_rest_is_generated() -> None:
    lines = [SplitLine("It was", "the best of times"), SplitLine("Call me", "Ishmael now")]
    base = Scripted("base", {"It was": " the  best\nof times, it", "Call me": " Ishmael"})
    (found,) = measure_extraction([base], lines, cache=AnswerCache())
    assert (found.name, found.value, found.count) == ("extraction", 0.5, 2)


def test_models_are_compared() -> None:
    lines = [SplitLine("It was", "the best of times")]
    found = numbers(
        measure_extraction(
            [Scripted("base"), Scripted("sft", {"It was": "the best of times"})],
            lines,
            cache=AnswerCache(),
        )
    )
    assert found["extraction_change"].value == 1


def test_a_short_line_is_not_worth_splitting() -> None:
    assert split_line("too short to tell") is None
    found = split_line(" ".join("abcdefghi"))
    assert found == SplitLine("a b c d", "e f g h i")
