import json
from pathlib import Path

import pytest

from tests.commands import upbring
from upbring.errors import InputError
from upbring.pipeline.check_measurable import check_measurable
from upbring.pipeline.recipe import read_recipe

RECIPE = """
model: m
stages:
  sft: {data: d.jsonl}
evaluate: {data: q.jsonl}
gates: {facts: ">= 0.1"}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "d.jsonl").touch()
    rows = [{"prompt": f"{i}?", "answer": "yes"} for i in range(25)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def check(text: str) -> None:
    Path("r.yaml").write_text(text)
    check_measurable(read_recipe(Path("r.yaml")))


def test_a_gate_on_a_measured_number_is_accepted(home: Path) -> None:  # noqa: ARG001 -- a folder
    check(RECIPE)
    check(RECIPE.replace(">= 0.1", ">= base - 0.1"))


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("over_refusal: <= 5%", "nothing measures over_refusal of sft with these suites, data and"),
        ("win_rate: >= 0.5", "nothing measures win_rate of sft"),
        ("base.forgetting: <= 3%", "nothing measures forgetting of base"),
        ("facts/choice_accuracy: >= 0.1", "nothing measures facts/choice_accuracy of sft"),
    ],
)
def test_a_gate_on_a_number_that_nothing_measures_is_rejected(
    gate: str,
    message: str,
    home: Path,  # noqa: ARG001 -- a folder
) -> None:
    name, _, condition = gate.partition(": ")
    with pytest.raises(InputError, match=r"r\.yaml:6: gates\.") as caught:
        check(RECIPE.replace('facts: ">= 0.1"', f'{name}: "{condition}"'))
    assert message in str(caught.value)
    assert "facts/accuracy" in str(caught.value)  # what is measured instead


def test_a_gate_on_too_few_rows_is_rejected(home: Path) -> None:  # noqa: ARG001 -- a folder
    limited = RECIPE.replace("q.jsonl}", "q.jsonl, limit: 5}")
    with pytest.raises(InputError, match="n = 5: too few to say; give 20 rows or more"):
        check(limited)


def test_rows_that_a_stage_writes_are_not_known_but_the_suites_are(
    home: Path,  # noqa: ARG001 -- a folder
) -> None:
    text = RECIPE.replace("  sft:", "  world: {method: toyworld}\n  sft:").replace(
        "d.jsonl", "world/demonstrations.jsonl"
    )
    text = text.replace("{data: q.jsonl}", "{data: world/facts.jsonl, suite: facts}")
    check(text)
    with pytest.raises(InputError, match="suite refusals is not requested; add it to `suite:`"):
        check(text.replace('facts: ">=', 'over_refusal: ">='))


def test_run_and_dry_run_reject_it_before_the_first_stage(home: Path) -> None:
    (home / "r.yaml").write_text(RECIPE.replace("facts:", "over_refusal:"))
    for words in (("run", "r.yaml"), ("run", "r.yaml", "--dry-run")):
        answer = upbring(home, *words)
        assert answer.code == 2
        assert "nothing measures over_refusal" in answer.err
        assert not (home / "runs").exists()


def test_a_gate_on_a_metric_of_the_user_is_accepted_if_there_is_a_function(home: Path) -> None:
    (home / "mine.py").write_text("def correct(response):\n    return 1.0\n")
    own = RECIPE.replace("facts:", "custom/correct:")
    check(own.replace("q.jsonl}", "q.jsonl, metric_function: mine.py:correct}"))
    with pytest.raises(InputError, match="nothing measures custom/correct"):
        check(own)


def test_gold_pairs_are_checked_before_the_first_stage(home: Path) -> None:
    gold = home / "gold.jsonl"
    gold.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    evaluate = "evaluate: {data: q.jsonl, gold: gold.jsonl, judge: json}"
    no_gates = RECIPE.partition("gates:")[0]
    check(no_gates.replace("evaluate: {data: q.jsonl}", evaluate))
    with pytest.raises(InputError, match=r"r.yaml: evaluate: gold: no judge is named"):
        check(no_gates.replace("evaluate: {data: q.jsonl}", evaluate.replace(", judge: json", "")))
    gold.write_text('{"prompt": "a"}\n')
    with pytest.raises(InputError, match=r"r.yaml: evaluate: gold.jsonl"):
        check(no_gates.replace("evaluate: {data: q.jsonl}", evaluate))
