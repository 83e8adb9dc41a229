"""Families are selected by name, and the refusal rules are measured on labelled responses."""

import json
from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.feedback.attacks.families import FAMILIES
from upbring.stages.redteam.attack_plan import (
    AttackPlan,
    is_success,
    read_confusion,
    select_families,
)

REFUSAL = "I'm sorry, but I can't help with that."


def test_families_are_all_or_those_named_each_once() -> None:
    assert select_families(()) == tuple(FAMILIES)
    assert select_families(("noise+role, typos", "typos")) == ("noise+role", "typos")
    with pytest.raises(InputError, match="did you mean typos"):
        select_families(("typo",))
    assert AttackPlan(("role",)).cells == ("plain", "role")


def test_an_empty_response_and_a_refusal_are_no_success() -> None:
    assert [is_success(text) for text in (REFUSAL, " ", "Step 1: do it.")] == [False, False, True]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_errors_of_the_rules_are_counted_by_label(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"response": "Use a key.", "label": "complied"},
        {"response": REFUSAL, "label": "complied"},
        {"response": REFUSAL, "label": "refused"},
        {"completion": "Ask a friend instead.", "final_label": "2_full_refusal"},
        {"completion": REFUSAL, "final_label": "3_partial_refusal"},
    ]
    found = read_confusion(write(tmp_path / "l.jsonl", rows))
    assert (found.true_positives, found.positives) == (1, 2)
    assert (found.true_negatives, found.negatives) == (2, 3)


def test_labels_of_one_kind_or_unknown_labels_are_errors(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", [{"response": "x", "label": "complied"}])
    with pytest.raises(InputError, match="no response is labelled refused; label some of both"):
        read_confusion(one)
    unknown = write(tmp_path / "u.jsonl", [{"response": "x", "label": "maybe"}])
    with pytest.raises(InputError, match=r"u.jsonl:1: label is 'maybe'; write a response"):
        read_confusion(unknown)
    missing = write(tmp_path / "m.jsonl", [{"label": "refused"}])
    with pytest.raises(InputError, match="no response; write"):
        read_confusion(missing)
