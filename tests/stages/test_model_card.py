import json
from pathlib import Path

import pytest
import yaml

from tests.commands import SFT, done, prepare
from upbring.runs.contract import Contract, TrainingFile, TrainingStage
from upbring.runs.metrics import MetricsFile
from upbring.runs.results import EvalResult, JudgeQuality
from upbring.runs.run_folder import Run
from upbring.runs.source_results import VOTES
from upbring.stages.model_card import render_model_card, write_card

CONTRACT = Contract(
    base="./base",
    base_sha256="b" * 64,
    tokenizer="t" * 64,
    template=None,
    stops=(),
    bos=None,
    eos=None,
    kind="sft",
    tune="lora",
    history=(
        TrainingStage("pretrain", (TrainingFile("books.txt", "s", 9),), "x", 3),
        TrainingStage("sft", (TrainingFile("chat.jsonl", "s", 40),), "x", 4),
    ),
)


def card(folder: Path, *, measured: bool = True) -> str:
    run = Run.create(folder, "sft", name="mine")
    with MetricsFile(run.metrics_file) as metrics:
        for step, loss in enumerate((3.0, 1.0, 2.0), 1) if measured else ():
            metrics.write(step, {"loss": loss})
            metrics.write(step, {"nll": loss + 1}, kind="held_out")
    write_card(run, CONTRACT, method="sft", summary="It was taught.")
    return run.card_file.read_text()


def test_the_card_has_the_first_last_and_lowest_value_of_each_metric(tmp_path: Path) -> None:
    text = card(tmp_path)
    assert "# mine" in text
    assert "| steps | 3 |" in text
    assert "| training loss | 3.0000 → 2.0000 (lowest 1.0000) |" in text
    assert "| held-out nll | 4.0000 → 3.0000 (lowest 2.0000) |" in text


def test_the_card_names_the_data_of_its_own_stage(tmp_path: Path) -> None:
    text = card(tmp_path)
    assert "- chat.jsonl (40 rows)" in text
    assert "books.txt" not in text
    assert "base_model: ./base" in text


def test_the_card_says_who_labeled_the_data_and_how_well(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "reward", name="mine")
    judge = JudgeQuality("http://judge/v1", "use with care", "agrees with 66.0 % of 90 gold pairs")
    votes = [
        EvalResult(VOTES, "annotators", "agreement", 0.78, 0.7, 0.85, 90),
        EvalResult(VOTES, "annotators", "alpha", 0.52, unit="alpha"),
        EvalResult("constitution", "m", "words/chosen", 4.0, unit="words", judge=judge),
    ]
    write_card(run, CONTRACT, method="reward", summary="It.", judges=[judge], votes=votes)
    text = run.card_file.read_text()
    assert "| annotators who agree on a pair of the training data | 78.0 % (70.0 … 85.0) |" in text
    assert "| Krippendorff's alpha of their rankings | 0.52 |" in text
    assert "| quality of http://judge/v1 as a judge | use with care; agrees with 66.0 %" in text


def test_a_run_that_measured_nothing_has_a_card_without_numbers(tmp_path: Path) -> None:
    assert "Measured" not in card(tmp_path, measured=False)


@pytest.mark.parametrize("is_adapter", [True, False])
def test_the_library_is_the_one_that_loads_the_model(tmp_path: Path, *, is_adapter: bool) -> None:
    model = tmp_path / "mine" / "model"
    run = Run.create(tmp_path, "sft", name="mine")
    model.mkdir()
    if is_adapter:
        (model / "adapter_config.json").write_text("{}")
    write_card(run, CONTRACT, method="sft", summary="It was taught.")
    expected = "peft" if is_adapter else "transformers"
    assert f"library_name: {expected}\n" in run.card_file.read_text()


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


def test_the_card_and_the_report_tell_how_many_rows_were_dropped(tmp_path: Path) -> None:
    prepare(tmp_path)
    too_long = [{"role": "user", "content": "x" * 999}, {"role": "assistant", "content": "y"}]
    with (tmp_path / "d.jsonl").open("a") as file:
        file.write(json.dumps({"messages": too_long}) + "\n")
    text = done(tmp_path, *SFT, "--steps", "1", "--name", "cut").err
    notes = [line for line in text.splitlines() if "1 row is dropped" in line]
    assert len(notes) == 1
    card_text = (tmp_path / "runs" / "cut" / "README.md").read_text()
    for note in notes:
        assert f"- {note}" in card_text
    done(tmp_path, "report", "runs/cut")
    page = (tmp_path / "runs" / "cut" / "report.html").read_text()
    assert all(note.partition(": ")[2] in page for note in notes)
