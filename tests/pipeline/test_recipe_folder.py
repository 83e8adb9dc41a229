from pathlib import Path

import pytest

from upbring.pipeline.recipe_folder import default_folder


def test_recipes_of_one_name_have_different_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = default_folder(Path("a/road.yaml")), default_folder(Path("b/road.yaml"))
    assert first != second
    assert first.name.startswith("road-")
    assert default_folder(tmp_path / "a" / "road.yaml") == first  # however it is written
    assert default_folder(Path("b/../a/road.yaml")) == first


def test_the_folder_does_not_depend_on_where_the_project_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        found.append(default_folder(Path("a/road.yaml")))
    assert found[0] == found[1]
