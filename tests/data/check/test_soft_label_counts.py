from upbring.data.check.soft_label_counts import SoftLabelCounts
from upbring.data.read.records import Comparison, Message, Origin


def comparison(probability: float | None, weight: float | None) -> Comparison:
    return Comparison(
        (Message("user", "Q"),),
        ("a", "b"),
        (1, 2),
        Origin("f", 1),
        probability=probability,
        weight=weight,
    )


def test_the_mean_and_the_range_of_probabilities_and_weights_are_shown() -> None:
    counts = SoftLabelCounts()
    for probability, weight in ((0.5, None), (0.75, 2), (1.0, 5), (None, None)):
        counts.add(comparison(probability, weight))
    assert dict(counts.facts()) == {
        "soft labels": "3 comparisons, mean 0.75, from 0.5 to 1; 1 at ½",
        "weights": "2 comparisons, mean 3.5, from 2 to 5",
    }


def test_plain_comparisons_show_nothing() -> None:
    counts = SoftLabelCounts()
    counts.add(comparison(None, None))
    assert list(counts.facts()) == []
