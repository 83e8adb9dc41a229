import json
from pathlib import Path

import pytest

from tests import small
from upbring.errors import InputError
from upbring.settings.commands.label import LabelSettings
from upbring.stages.collection.generate_ahead import generate, select_prompts
from upbring.stages.collection.response_file import RESPONSES_FILE


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    small.make_model(folder / "m")
    rows = [{"prompt": f"What is the {thing} like?"} for thing in small.THINGS]
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def label_settings(home: Path, **more: object) -> LabelSettings:
    given = {"do": (str(home / "p.jsonl"),), "models": (str(home / "m"),), **more}
    return LabelSettings.model_validate(
        {"limit": 5, "max_tokens": 6, "threads": 1, "dtype": "float32", **given}
    )


def test_an_interrupted_generation_continues_with_equal_responses(
    home: Path, tmp_path: Path
) -> None:
    texts = {}
    for name in ("whole", "cut"):
        folder = tmp_path / name
        folder.mkdir()
        path = folder / RESPONSES_FILE
        if name == "cut":  # a kill in the middle of the third line
            lines = texts["whole"].splitlines(keepends=True)
            path.write_text("".join(lines[:2]) + lines[2][:30])
        generate(label_settings(home), folder, log=lambda _: None)
        texts[name] = path.read_text()
    assert texts["whole"] == texts["cut"]
    rows = [json.loads(line) for line in texts["whole"].splitlines()]
    assert len(rows) == 5
    assert all(len(row["models"]) == len(row["responses"]) <= 4 for row in rows)
    assert json.loads(rows[0]["row"])["prompt"] == rows[0]["prompt"][0]["content"]


def test_each_model_gives_its_share_of_the_responses(home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    small.make_model(other)
    models = (str(home / "m"), str(other))
    settings = label_settings(home, models=models, num_responses=3, limit=2, seed=3)
    generate(settings, tmp_path, log=lambda _: None)
    lines = (tmp_path / RESPONSES_FILE).read_text().splitlines()
    for row in map(json.loads, lines):
        assert set(row["models"]) <= set(models)
        assert row["models"].count(str(other)) <= 1


def test_prompts_are_spread_over_the_files(home: Path) -> None:
    every = select_prompts(label_settings(home, limit=1000))
    some = select_prompts(label_settings(home, limit=2))
    assert [prompt for prompt, _ in some] == [every[0][0], every[len(every) // 2][0]]
    with pytest.raises(InputError):
        select_prompts(label_settings(home, do=(str(home / "none.jsonl"),)))
