from pathlib import Path

import pytest

from tests.export.exports import Exported
from upbring.errors import InputError
from upbring.export.load_run import load_run, new_folder, require_contract


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    with pytest.raises(ZeroDivisionError), new_folder(target) as folder:
        (folder / "x").write_text(str(1 // 0))
    assert list(target.parent.iterdir()) == []
    with new_folder(target) as folder:
        (folder / "x").write_text("x")
    with pytest.raises(InputError, match="already exists; choose another --to"):
        new_folder(target)


def test_a_model_of_another_tool_has_no_contract(exported: Exported) -> None:
    loaded = load_run(str(exported.folder / "m"), log=lambda _: None)
    with pytest.raises(InputError, match="m: was not trained by upbring and needs no export"):
        require_contract(loaded)
