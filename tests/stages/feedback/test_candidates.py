from pathlib import Path

from tests.stages.feedback.conversing import settings
from upbring.data.read.records import Message
from upbring.stages.feedback.candidates import Candidates, Revision

PROMPT = (Message("user", "Q"),)


def candidates(*samples: str, revised: str | None = None, index: int = 0) -> Candidates:
    rounds = [] if revised is None else [Revision("p", "critique", revised)]
    return Candidates(index, PROMPT, "", samples, rounds)


def test_the_texts_are_distinct_and_end_with_the_revision() -> None:
    found = candidates("a", "b", "a", revised="c")
    assert found.texts == ("a", "b", "c")
    assert (found.current, found.source("c"), found.source("b")) == ("c", "revised", "sampled")
    assert candidates("a", "b").current == "a"
    assert candidates("a", revised="a").texts == ("a",)


def test_pairs_are_seeded_and_limited(tmp_path: Path) -> None:
    config = settings(tmp_path, "http://localhost:1/v1", pairs_per_prompt=4)
    found = candidates("a", "b", "c", "d")
    assert found.pairs(config) == found.pairs(config)
    assert len(set(found.pairs(config))) == 4
    orders = {tuple(candidates("a", "b", "c", index=i).pairs(config)) for i in range(20)}
    assert len(orders) > 1
    assert candidates("a", "a").pairs(config) == []
