from pathlib import Path

from upbring.settings.input_references import input_references
from upbring.settings.methods.sft import SftSettings


def test_models_and_files_are_references_and_output_paths_are_not() -> None:
    settings = SftSettings(
        model="base", data=(Path("a.jsonl"),), mix=("b.jsonl=0.2",), skip_bad=Path("bad.jsonl")
    )
    found = dict(input_references(settings))
    assert found == {"model": "base", "data": "a.jsonl", "mix": "b.jsonl"}
