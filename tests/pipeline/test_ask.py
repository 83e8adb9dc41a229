import json
from pathlib import Path

from tests import small
from upbring.pipeline.ask import PipelinePrompts, format_answers


def test_answers_are_saved_under_the_models_name(model_folder: Path, tmp_path: Path) -> None:
    asking = PipelinePrompts(("What is snow?", "And grass?"), tmp_path / "out")
    assert asking.read_answers() == {}
    given = asking.ask("base", str(model_folder), log=lambda _: None)
    again = asking.ask("sft", str(model_folder), log=lambda _: None)
    assert given == again
    assert list(given) == ["What is snow?", "And grass?"]
    names = [key.partition(" ")[0] for key in asking.read_answers()]
    assert names == ["base", "sft"]
    assert json.loads((tmp_path / "out" / "asked.json").read_text()) == asking.read_answers()


def test_another_model_of_the_same_name_answers_for_itself(tmp_path: Path) -> None:
    first, second = (small.make_model(tmp_path / str(seed), seed=seed) for seed in (0, 1))
    asking = PipelinePrompts(("What is snow?",), tmp_path / "out")
    answers = [asking.ask("base", str(m), log=lambda _: None) for m in (first, second, first)]
    assert answers[0] == answers[2] != answers[1]
    assert len(asking.read_answers()) == 2


def test_each_answer_is_one_line() -> None:
    text = format_answers("sft", {"Give\nbullets": "- a\n- b", "long": "x" * 400})
    assert text.splitlines()[:3] == ["sft answers:", "  > Give / bullets", "    - a / - b"]
    assert max(map(len, text.splitlines())) < 160
