import json
from pathlib import Path

from tests.evaluate.scripted import asked
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.evaluation.eval_data import Sheet, has_rows, sheet_of


def test_files_are_put_together(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text(json.dumps({"prompt": "Hi", "topic": "chat"}) + "\n")
    second.write_text(json.dumps({"prompt": "Yo", "topic": "chat"}) + "\n")
    found = sheet_of(EvaluateSettings(models=("a",), data=(first, second)))
    assert found.prompts == (asked("Hi"), asked("Yo"))
    assert found.topics == {"chat": (asked("Hi"), asked("Yo"))}
    assert found.gold is None


def test_without_files_the_nursery_asks() -> None:
    found = sheet_of(EvaluateSettings(models=("a",), most=4))
    assert found.gold is not None
    assert len(found.questions) == 4


def test_data_is_meant_for_fewer_suites_than_it_serves() -> None:
    texts = Sheet(documents=("one",))
    assert has_rows("forgetting", texts, 1, is_wished=False)
    assert not has_rows("memorisation", texts, 1, is_wished=False)
    assert has_rows("memorisation", texts, 1, is_wished=True)
    assert not has_rows("facts", texts, 1, is_wished=True)
    prompts = Sheet(prompts=(asked("Hi"),))
    assert not has_rows("preference", prompts, 1, is_wished=False)  # against whom?
    assert has_rows("preference", prompts, 2, is_wished=False)
