from pathlib import Path

from tests import small
from upbring.data.read.prompt_rows import PromptRow
from upbring.data.read.records import Message
from upbring.evaluate.facts import Question
from upbring.runs.trained_rows import row_hash, write_trained_rows
from upbring.stages.contamination.measure_contamination import measure_contamination
from upbring.stages.evaluation.eval_data import EvalData


def test_prompts_that_a_model_was_trained_on_are_counted(tmp_path: Path) -> None:
    model = small.make_model(tmp_path / "m")
    write_trained_rows(model, [row_hash("What is 2?"), row_hash("something else")])
    unknown = small.make_model(tmp_path / "n")
    system = Message("system", "Be brief.")
    questions = tuple(
        Question((system, Message("user", f"what  is {i}?")), ("yes",)) for i in range(4)
    )
    models = {"sft": str(model), "base": str(unknown), "far": "http://localhost:9/v1"}
    (found,) = measure_contamination(models, ["facts", "refusals"], EvalData(questions))
    assert (found.suite, found.model, found.name) == ("contamination", "sft", "facts")
    assert (found.value, found.count) == (0.25, 4)
    assert found.note == "1 of 4 prompts was in its training data"


def test_rows_of_own_metrics_are_counted(tmp_path: Path) -> None:
    model = small.make_model(tmp_path / "m")
    write_trained_rows(model, [row_hash("What is 2?")])
    rows = tuple(
        PromptRow(f"r.jsonl:{i}", "{}", (Message("user", f"What is {i}?"),)) for i in range(4)
    )
    (found,) = measure_contamination({"sft": str(model)}, ["custom"], EvalData(metric_rows=rows))
    assert (found.name, found.value, found.count) == ("custom", 0.25, 4)
