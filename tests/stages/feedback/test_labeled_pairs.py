from pathlib import Path

import pytest

from tests.judge.scripted_judge import ScriptedJudge, shorter
from tests.stages.feedback.conversing import settings
from upbring.data.read.records import Message
from upbring.feedback.principles import read_principles
from upbring.stages.feedback.candidates import Candidates
from upbring.stages.feedback.labeled_pairs import label_pairs, pair_row


def candidates(*samples: str) -> Candidates:
    return Candidates(0, (Message("user", "Q"),), "", samples)


def test_the_better_response_is_chosen_whatever_its_place(tmp_path: Path) -> None:
    config = settings(tmp_path, "http://localhost:1/v1")
    constitution, judge = read_principles(config.principles), ScriptedJudge(shorter)
    for samples in (("a", "long"), ("long", "a")):
        found = label_pairs([candidates(*samples)], constitution, config, judge)
        row = pair_row(found.pairs[0], constitution=constitution, judge=judge, model="m")
        assert (row["chosen"], row["rejected"]) == ("a", "long")
        assert row["probability"] == pytest.approx(0.9)
        assert row["provenance"]["principles"][0]["probability"] == pytest.approx(0.9)  # type: ignore[index,call-overload]  # JSON


def test_all_principles_that_apply_may_be_asked(tmp_path: Path) -> None:
    config = settings(tmp_path, "http://localhost:1/v1", principles=None, principles_per_pair=0)
    constitution, judge = read_principles(), ScriptedJudge(shorter)
    found = label_pairs([candidates("a", "long")], constitution, config, judge)
    assert len(found.pairs[0].judgments) == len(constitution.applicable("Q"))
    assert found.counts.asked == len(constitution.applicable("Q"))


def test_only_a_judge_that_reasons_is_clamped(tmp_path: Path) -> None:
    config = settings(tmp_path, "http://localhost:1/v1")
    constitution = read_principles(config.principles)
    plain = label_pairs([candidates("a", "long")], constitution, config, ScriptedJudge(shorter))
    judge = ScriptedJudge(shorter, has_reasoning=True)
    clamped = label_pairs([candidates("a", "long")], constitution, config, judge)
    assert plain.pairs[0].label.probability == pytest.approx(0.9)
    assert clamped.pairs[0].label.probability == 0.6


def test_pairs_without_a_label_are_counted_by_reason(tmp_path: Path) -> None:
    config = settings(tmp_path, "http://localhost:1/v1", max_length_ratio=0.1)
    constitution = read_principles(config.principles)
    found = label_pairs(
        [candidates("a", "b"), candidates("a", "long one")],
        constitution,
        config,
        ScriptedJudge(shorter),
    )
    assert found.pairs == ()
    assert found.outcomes == {"cannot say": 1, "too long": 1}
