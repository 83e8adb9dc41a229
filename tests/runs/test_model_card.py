"""A model card has YAML metadata for the Hub and a readable body."""

import yaml

from upbring.runs.model_card import render_model_card


def test_a_card_has_a_head_for_hubs_and_a_body_for_people() -> None:
    text = render_model_card(
        name="sft-1",
        base_model="org/seed",
        method="sft",
        library="peft",
        summary="Learned from 300 demonstrations.",
        numbers={"held-out loss": "1.20 → 0.90", "a|b": "two\nlines"},
        data=["chat.jsonl (300 rows)"],
        license_name="apache-2.0",
        languages=["de"],
        limits=["It has seen no code."],
    )
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "base_model": "org/seed",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "tags": ["upbring", "sft"],
        "license": "apache-2.0",
        "language": ["de"],
        "datasets": ["chat.jsonl (300 rows)"],
    }
    assert "# sft-1\n\nLearned from 300 demonstrations.\n" in body
    assert "| held-out loss | 1.20 → 0.90 |\n| a\\|b | two lines |\n" in body
    assert body.endswith("## Limits\n\n- It has seen no code.\n")


def test_unknown_values_are_omitted() -> None:
    text = render_model_card(
        name="a: b", base_model="x", method="pretrain", library="transformers", summary="S.",
        numbers={}, data=[],
    )  # fmt: skip
    assert "license" not in text
    assert text.endswith("# a: b\n\nS.\n")
