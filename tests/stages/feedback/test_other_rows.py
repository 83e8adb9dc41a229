from pathlib import Path

import pytest

from tests.stages.feedback.conversing import write_rows
from upbring.data.read.records import Message
from upbring.feedback.principles import read_principles
from upbring.stages.feedback.candidates import Candidates, Revision
from upbring.stages.feedback.other_rows import demonstration_row, human_rows


@pytest.mark.parametrize(("share", "others", "expected"), [(0.5, 6, 6), (0.25, 9, 3), (0.9, 9, 10)])
def test_people_get_their_share_as_far_as_there_are_rows(
    tmp_path: Path, share: float, others: int, expected: int
) -> None:
    rows = [{"prompt": f"{i}?", "chosen": "a", "rejected": "b"} for i in range(10)]
    path = write_rows(tmp_path / "human.jsonl", rows)
    assert len(human_rows([path], share, others)) == expected
    assert human_rows([path], share, 0) == []


def test_soft_labels_of_people_are_kept(tmp_path: Path) -> None:
    row = {"prompt": "Q", "chosen": "a", "rejected": "b", "probability": 0.75, "weight": 2}
    (found,) = human_rows([write_rows(tmp_path / "human.jsonl", [row])], 0.5, 1)
    assert (found["probability"], found["weight"]) == (0.75, 2)


def test_a_response_that_no_round_changed_is_no_demonstration() -> None:
    constitution, prompt = read_principles(), (Message("user", "Q"),)
    same = Candidates(0, prompt, "", ("a",), [Revision("p", "c", "a")])
    assert demonstration_row(same, constitution=constitution, model="m") is None
    other = Candidates(0, prompt, "", ("a",), [Revision("p", "c", "b")])
    row = demonstration_row(other, constitution=constitution, model="m")
    assert row is not None
    assert row["messages"][-1] == {"role": "assistant", "content": "b"}  # type: ignore[index,call-overload]  # JSON
