"""What is missing or changed in a finished stage is named."""

from pathlib import Path

import pytest

from upbring import durable
from upbring.errors import InputError
from upbring.pipeline.recipe import StageSpec
from upbring.pipeline.stage_output import find_damage
from upbring.settings.commands.collect import CollectSettings
from upbring.settings.resolve import Resolved


def stage(command: str, *, by: str = "judge") -> StageSpec:
    settings = CollectSettings.model_construct(by=by)
    return StageSpec("a", command, Resolved(settings, {}), (), 1)


@pytest.mark.parametrize(("command", "inner"), [("sft", "model"), ("toyworld", "")])
def test_damage_is_named_and_intact_output_is_not(tmp_path: Path, command: str, inner: str) -> None:
    assert find_damage(stage(command), tmp_path / "a") == "its output is incomplete"
    output = tmp_path / "a" / inner
    output.parent.mkdir(exist_ok=True)
    with durable.atomic_folder(output) as folder:
        (folder / "x.jsonl").write_text("{}")
    assert find_damage(stage(command), tmp_path / "a") is None
    (output / "x.jsonl").write_text("[]")
    damage = f"{output}/x.jsonl: differs from what was saved between bytes 0 and 4194304"
    assert find_damage(stage(command), tmp_path / "a") == damage
    (output / durable.MANIFEST).unlink()
    assert "manifest.json: cannot be read" in str(find_damage(stage(command), tmp_path / "a"))


def test_what_people_made_cannot_be_made_again(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    durable.seal(tmp_path, ["x"])
    assert find_damage(stage("collect", by="people"), tmp_path) is None
    (tmp_path / "x").write_text("2")
    assert find_damage(stage("collect"), tmp_path) is not None
    with pytest.raises(InputError, match="x: differs from what was saved"):
        find_damage(stage("collect", by="people"), tmp_path)
