import pytest

from tests.votes.counted import counted, vote
from upbring.votes.counted_votes import ItemVotes
from upbring.votes.records import LabelFlag
from upbring.votes.training_rows import (
    ExportOptions,
    JsonRow,
    Purpose,
    RowUse,
    TrainingRows,
    make_training_rows,
)

PROMPT = [{"role": "user", "content": "Q"}]


def made(
    votes: ItemVotes, purpose: Purpose, use: RowUse, *, min_agreement: float | None = None
) -> TrainingRows:
    return make_training_rows([votes], ExportOptions(purpose, use, min_agreement))


def short(rows: list[JsonRow]) -> list[JsonRow]:
    assert all(row["prompt"] == PROMPT for row in rows)
    return [{name: value for name, value in row.items() if name != "prompt"} for row in rows]


def test_each_vote_is_a_ranking_with_ties_and_its_annotator() -> None:
    votes = counted(
        vote("ann", 1, 2, 2),
        vote("bob", 3, 1, 2),
        vote("eve", 1, 1, 1),
        vote("sim", 1, 2, 3, simulated=True),
        vote("non"),
        num_responses=3,
        weights={"bob": 0.5},
    )
    found = made(votes, "reward", "votes")
    responses = ["a", "b", "c"]
    assert short(found.rows) == [
        {"responses": responses, "ranks": [1, 2, 2], "annotator": "ann"},
        {"responses": responses, "ranks": [3, 1, 2], "annotator": "bob", "weight": 0.5},
        {"responses": responses, "ranks": [1, 2, 3], "annotator": "synthetic-sim"},
    ]
    assert found.left_out == {"rankings of only ties": 1, "votes that rank nothing": 1}


def test_a_tie_of_two_responses_has_probability_one_half() -> None:
    found = made(counted(vote("ann", 1, 1)), "reward", "votes")
    assert short(found.rows) == [
        {"responses": ["a", "b"], "ranks": [1, 2], "annotator": "ann", "probability": 0.5}
    ]


def test_a_pair_has_the_share_of_votes_as_its_soft_label() -> None:
    votes = counted(vote("ann", 2, 1), vote("bob", 2, 1), vote("eve", 1, 2), vote("ivy", 1, 1))
    found = made(votes, "dpo", "consensus")
    assert short(found.rows) == [
        {
            "chosen": "b",
            "rejected": "a",
            "probability": 2.5 / 4,
            "annotators": ["ann", "bob", "eve", "ivy"],
        }
    ]


def test_all_pairs_of_an_item_have_weight_1_together() -> None:
    found = made(counted(vote("ann", 1, 3, 2), num_responses=3), "dpo", "consensus")
    pairs = [(r["chosen"], r["rejected"], r["probability"], r["weight"]) for r in found.rows]
    assert pairs == [("a", "b", 1, 0.333333), ("a", "c", 1, 0.333333), ("c", "b", 1, 0.333333)]


def test_the_best_response_is_good_the_worst_is_bad_and_a_flagged_one_never_good() -> None:
    votes = counted(
        vote("ann", 1, 2, 3), vote("bob", 1, 3, 2), vote("eve", 1, 2, 3), num_responses=3
    )
    rows = made(votes, "kto", "consensus").rows
    assert short(rows) == [{"response": "a", "label": True}, {"response": "c", "label": False}]
    flag = (LabelFlag(0, "false"),)
    flagged = made(counted(vote("ann", 1, 2, flags=flag)), "kto", "consensus")
    assert short(flagged.rows) == [{"response": "b", "label": False}]
    assert flagged.left_out == {"best responses that are flagged as harmful or false": 1}


def test_all_responses_are_bad_if_most_votes_say_so() -> None:
    found = made(counted(vote("ann", 1, 1, all_bad=True)), "kto", "consensus")
    assert [row["label"] for row in found.rows] == [False, False]
    tied = made(counted(vote("ann", 1, 1)), "kto", "consensus")
    assert (tied.rows, tied.left_out) == ([], {"items without a best response": 1})


def test_written_responses_are_demonstrations() -> None:
    votes = counted(vote("ann", 1, 2, demonstration="Ideal."), vote("bob", 1, 2))
    found = made(votes, "sft", "votes")
    assert short(found.rows) == [{"response": "Ideal.", "annotator": "ann"}]
    assert found.left_out == {"votes without a written response": 1}


@pytest.mark.parametrize("purpose", ["reward", "dpo", "kto", "sft"])
def test_nothing_that_is_flagged_as_private_is_written(purpose: Purpose) -> None:
    flags = (LabelFlag(1, "private"),)
    votes = counted(vote("ann", 1, 2, demonstration="x"), vote("bob", 1, 2, flags=flags))
    found = made(votes, purpose, "votes")
    assert (found.rows, found.left_out) == ([], {"items flagged as private data": 1})


def test_items_with_a_low_or_unknown_agreement_are_left_out() -> None:
    split = counted(vote("ann", 1, 2), vote("bob", 2, 1), vote("eve", 1, 2))  # 1 of 3 pairs agree
    assert len(made(split, "dpo", "consensus", min_agreement=0.33).rows) == 1
    low = made(split, "dpo", "consensus", min_agreement=0.5)
    assert (low.rows, low.left_out) == ([], {"items with an agreement below 0.5": 1})
    alone = made(counted(vote("ann", 1, 2)), "dpo", "consensus", min_agreement=0.5)
    assert alone.left_out == {"items with a single ranking, whose agreement is unknown": 1}
    nothing = made(counted(vote("ann")), "dpo", "consensus")
    assert nothing.left_out == {"items that nobody ranked": 1}


def test_lines_are_json_with_the_text_as_it_is() -> None:
    found = made(counted(vote("ann", 1, 2, demonstration="Grüße, “Q”\n")), "sft", "votes")
    assert found.to_jsonl() == (
        '{"prompt": [{"role": "user", "content": "Q"}], "response": "Grüße, “Q”\\n", '
        '"annotator": "ann"}\n'
    )
