import json
from pathlib import Path

from upbring.pipeline.ask import PipelinePrompts, format_answers


def test_answers_are_saved_under_the_models_name(model_folder: Path, tmp_path: Path) -> None:
    asking = PipelinePrompts(("What is snow?", "And grass?"), tmp_path / "out")
    assert asking.read_answers() == {}
    given = asking.ask("base", str(model_folder), log=lambda _: None)
    again = asking.ask("sft", str(model_folder), log=lambda _: None)
    assert given == again
    assert list(given) == ["What is snow?", "And grass?"]
    assert asking.read_answers() == {"base": given, "sft": given}
    assert json.loads((tmp_path / "out" / "asked.json").read_text()) == asking.read_answers()


def test_each_answer_is_one_line() -> None:
    text = format_answers("sft", {"Give\nbullets": "- a\n- b", "long": "x" * 400})
    assert text.splitlines()[:3] == ["sft answers:", "  > Give / bullets", "    - a / - b"]
    assert max(map(len, text.splitlines())) < 160
