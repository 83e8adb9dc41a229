"""The cases with real data, on a few rows in the forms of the public data sets."""

import csv
import gzip
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import small
from upbring.errors import InputError
from upbring.pipeline.case_data import make_case_files, python_sources
from upbring.pipeline.recipe import read_recipe
from upbring.pipeline.recipe_templates import DATA_TEMPLATES, write_recipe
from upbring.pipeline.runner import PipelineRunner

WORDS = ("red", "green", "blue", "warm", "cold", "sweet", "round", "tall")


def lines(rows: Sequence[object]) -> bytes:
    return gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with invented rows in the forms of the real files."""
    folder = tmp_path / "data"
    for name in ("dolly", "hh_rlhf_harmless", "ifeval", "xstest", "gsm8k", "stories"):
        (folder / name).mkdir(parents=True)
    dolly = [
        {
            "instruction": f"What is thing {i} like?",
            "category": "open_qa",
            "input": "",
            "output": f"It is {WORDS[i % 8]}.",
        }
        for i in range(80)
    ]
    (folder / "dolly" / "dolly_3k.json.gz").write_bytes(gzip.compress(json.dumps(dolly).encode()))
    preferences = [
        {
            "chosen": f"\n\nHuman: Is thing {i} red?\n\nAssistant: I am not sure, but it may be.",
            "rejected": f"\n\nHuman: Is thing {i} red?\n\nAssistant: Go away {i}.",
        }
        for i in range(40)
    ]
    turns = "\n\nHuman: Is it red?\n\nAssistant: Yes.\n\nAssistant: "
    preferences[7:7] = [{"chosen": f"{turns}Or not.", "rejected": f"{turns}No."}]
    (folder / "hh_rlhf_harmless" / "part.jsonl.gz").write_bytes(lines(preferences))
    instructions = [
        {
            "key": i,
            "prompt": f"Write about {WORDS[i % 8]} without commas.",
            "instruction_id_list": ["punctuation:no_comma"],
            "kwargs": [{}],
        }
        for i in range(4)
    ]
    (folder / "ifeval" / "input_data.jsonl.gz").write_bytes(lines(instructions))
    with (folder / "xstest" / "xstest_prompts.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "prompt", "type", "label"])
        for i in range(4):
            writer.writerow([i, f"How do I paint it {WORDS[i]}?", "t", ["safe", "unsafe"][i % 2]])
    problems = [{"question": f"What is {i} + 1?", "answer": f"It is {i + 1}."} for i in range(4)]
    (folder / "gsm8k" / "test.jsonl.gz").write_bytes(lines(problems))
    (folder / "stories" / "stories.txt").write_text("Once there was a red ball. " * 400)
    return folder


def test_the_files_are_made_from_the_copies_and_split_without_overlap(data: Path) -> None:
    told: list[str] = []
    texts = make_case_files("assistant", data, log=told.append)
    path = data / "hh_rlhf_harmless" / "part.jsonl.gz"
    assert told == [f"{path}: 1 of 41 rows is malformed or of no use, and left out"]
    rows = {n: [json.loads(each) for each in text.splitlines()] for n, text in texts.items()}
    assert len(rows["demonstrations.jsonl"]) == 20
    assert len(rows["prompts.jsonl"]) == 60
    parts = [
        rows[f"{n}.jsonl"] for n in ("preferences", "judge_preferences", "held_out_preferences")
    ]
    assert [len(part) for part in parts] == [22, 12, 6]
    seen = [row["chosen"] for part in parts for row in part]
    assert len(set(seen)) == 40
    assert rows["gsm8k.jsonl"][1] == {"text": "What is 1 + 1?\nIt is 2."}
    assert len(rows["prose.jsonl"]) == 6  # 10,800 characters in passages of 2,000
    assert all(len(row["text"]) <= 2_000 for row in rows["prose.jsonl"])
    assert rows["xstest.jsonl"][1]["label"] == "unsafe"


def test_the_sources_are_those_of_the_running_python() -> None:
    sources = list(python_sources())
    assert len(sources) == 40
    assert sum("import " in text for text in sources) > 20


def test_missing_data_sets_are_named_all_at_once(data: Path) -> None:
    for file in (data / "gsm8k").iterdir():
        file.unlink()
    (data / "xstest" / "xstest_prompts.csv").unlink()
    with pytest.raises(InputError, match=r"lacks 2 data sets(.|\n)*XSTest(.|\n)*GSM8K"):
        make_case_files("safer", data)


@pytest.mark.parametrize("case", DATA_TEMPLATES)
def test_the_case_runs_to_its_gates_and_report(
    case: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "UPBRING_CACHE", str(tmp_path / "cache"))
    small.make_model(Path("m"))
    recipe, *_ = write_recipe(case, model="m", folder=Path("mine"), data=data)
    text = recipe.read_text()
    for name in ("steps", "eval_steps", "epochs"):
        text = _replace_setting(text, name, "1")
    for name in ("max_tokens", "max_response_length", "eval_prompts"):
        text = _replace_setting(text, name, "4")
    text = text.replace(
        "  seed: 0\n", "  seed: 0\n  threads: 1\n  dtype: float32\n  sample_tokens: 2\n"
    )
    recipe.write_text(text.replace("max_length: 512", "max_length: 128"))
    for name in ("prose", "python", "gsm8k", "ifeval", "xstest", "held_out_prompts"):
        file = recipe.parent / f"{name}.jsonl"
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:2]))
    runner = PipelineRunner(read_recipe(recipe), Path("out"), {}, lambda _: None)
    runner.run()
    assert {state["status"] for state in runner.stage_records.values()} == {"finished"}


def _replace_setting(text: str, name: str, value: str) -> str:
    return re.sub(rf"(\n +{name}:) [\d.]+", rf"\1 {value}", text)


def test_the_case_needs_the_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give --data, the folder with your copies"):
        write_recipe("assistant", model="m", folder=tmp_path / "a")
    with pytest.raises(InputError, match="persona has example data; use assistant or safer"):
        write_recipe("persona", model="m", folder=tmp_path / "a", data=tmp_path)
    assert not (tmp_path / "a").exists()
