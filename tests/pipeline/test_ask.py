import json
from pathlib import Path

from upbring.pipeline.ask import PipelinePrompts, format_answers


def test_answers_are_kept_under_the_model_s_name(model_folder: Path, tmp_path: Path) -> None:
    asking = PipelinePrompts(("What is snow?", "And grass?"), tmp_path / "road")
    assert asking.read_answers() == {}
    given = asking.ask("base", str(model_folder), log=lambda _: None)
    again = asking.ask("sft", str(model_folder), log=lambda _: None)
    assert given == again
    assert list(given) == ["What is snow?", "And grass?"]
    assert asking.read_answers() == {"base": given, "sft": given}
    assert json.loads((tmp_path / "road" / "asked.json").read_text()) == asking.read_answers()


def test_they_are_told_on_a_line_each() -> None:
    text = format_answers("sft", {"Give\nbullets": "- a\n- b", "long": "x" * 400})
    assert text.splitlines()[:3] == ["sft answers:", "  > Give / bullets", "    - a / - b"]
    assert max(map(len, text.splitlines())) < 160
