import json
from pathlib import Path

from tests.evaluate.scripted import user_prompt
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.evaluation.eval_data import EvalData, has_rows, load_eval_data


def test_rows_of_several_files_are_combined(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text(json.dumps({"prompt": "Hi", "topic": "chat"}) + "\n")
    second.write_text(json.dumps({"prompt": "Yo", "topic": "chat"}) + "\n")
    found = load_eval_data(EvaluateSettings(models=("a",), data=(first, second)))
    assert found.prompts == (user_prompt("Hi"), user_prompt("Yo"))
    assert found.topics == {"chat": (user_prompt("Hi"), user_prompt("Yo"))}
    assert found.toyworld is None


def test_without_files_the_data_is_the_toy_world() -> None:
    found = load_eval_data(EvaluateSettings(models=("a",), limit=4))
    assert found.toyworld is not None
    assert len(found.questions) == 4


def test_by_default_data_is_used_for_fewer_suites_than_it_could_be() -> None:
    texts = EvalData(documents=("one",))
    assert has_rows("forgetting", texts, 1, is_requested=False)
    assert not has_rows("memorisation", texts, 1, is_requested=False)
    assert has_rows("memorisation", texts, 1, is_requested=True)
    assert not has_rows("facts", texts, 1, is_requested=True)
    prompts = EvalData(prompts=(user_prompt("Hi"),))
    assert not has_rows("preference", prompts, 1, is_requested=False)  # there is no other model
    assert has_rows("preference", prompts, 2, is_requested=False)


def test_documents_of_several_files_are_also_kept_apart(tmp_path: Path) -> None:
    for name in ("books", "code"):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"text": "{name} are read."}}\n')
    one = load_eval_data(EvaluateSettings(models=("m",), data=(tmp_path / "books.jsonl",)))
    assert one.documents_by_file == {}
    files = (tmp_path / "books.jsonl", tmp_path / "code.jsonl")
    both = load_eval_data(EvaluateSettings(models=("m",), data=files))
    assert both.documents == ("books are read.", "code are read.")
    assert both.documents_by_file == {"books": ("books are read.",), "code": ("code are read.",)}
