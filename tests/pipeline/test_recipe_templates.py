import os
import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from tests import small
from upbring.data.read import formats
from upbring.data.read.records import Comparison, Demonstration
from upbring.errors import InputError
from upbring.pipeline.recipe import read_recipe
from upbring.pipeline.recipe_templates import (
    CASES,
    DATA_TEMPLATES,
    EXAMPLE_DATA,
    recipe_text,
    write_recipe,
)
from upbring.pipeline.runner import PipelineRunner
from upbring.settings.commands.init import InitSettings


@pytest.mark.parametrize("case", EXAMPLE_DATA)
def test_every_template_is_a_valid_recipe(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small.make_model(Path("m"))
    written = write_recipe(case, model="m", folder=Path("mine"))
    assert written[0] == Path("mine/recipe.yaml")
    read = read_recipe(written[0])
    assert read.stages
    assert read.model == "m"
    for path in written[1:]:
        kind = Comparison if path.name == "pairs.jsonl" else Demonstration
        assert len(list(formats.read_records(path, kind))) == 4


@pytest.mark.parametrize("case", ["domain", "json"])
def test_a_template_runs_as_it_is_written(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "UPBRING_CACHE", str(tmp_path / "cache"))
    small.make_model(Path("m"))
    recipe, *_ = write_recipe(case, model="m", folder=Path("mine"))
    quick = "  seed: 0\n  steps: 1\n  threads: 1\n  precision: float32\n  sample_tokens: 2\n"
    recipe.write_text(recipe.read_text().replace("  seed: 0\n", quick))
    runner = PipelineRunner(read_recipe(recipe), Path("out"), {}, lambda _: None)
    runner.run()
    assert {state["status"] for state in runner.stage_records.values()} == {"finished"}


def test_every_case_is_a_choice_of_the_setting() -> None:
    allowed = get_args(InitSettings.model_fields["case"].annotation)[0]
    assert get_args(allowed) == tuple(CASES)


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exists already; choose another --to"):
        write_recipe("persona", model="m", folder=tmp_path)


def test_a_folder_with_the_name_of_a_stage_is_refused(tmp_path: Path) -> None:
    """The recipe would take `safer/pairs.jsonl` for a file of the stage `safer`."""
    folder = Path("safer")
    with pytest.raises(InputError, match=r"--to safer: .* choose another name, such as safer-rec"):
        write_recipe("safer", model="m", folder=folder)
    assert not folder.exists()
    assert write_recipe("safer", model="m", folder=tmp_path / "safer")


def test_the_commands_of_the_docs_name_no_folder_like_a_stage() -> None:
    root = Path(__file__).parents[2]
    pages = [root / "README.md", *(root / "docs").rglob("*.md")]
    typed = re.compile(r"upbring init --case (\w+) --model \S+( --data \S+)? --to ([\w-]+)")
    found = [each for page in pages for each in typed.findall(page.read_text(encoding="utf-8"))]
    assert len(found) >= 5
    for case, data, folder in found:
        template = DATA_TEMPLATES[case] if data else case
        text = recipe_text(template, model="m", folder=folder)
        assert folder not in yaml.safe_load(text)["stages"], (case, folder)
