"""`export --as`: which formats a run has."""

from pathlib import Path

import pytest

from tests.export.exports import Exported
from upbring.errors import InputError
from upbring.export.export_model import export_model
from upbring.settings.commands.export import ExportSettings


def test_a_policy_is_no_classifier(exported: Exported, tmp_path: Path) -> None:
    settings = ExportSettings(
        run=str(exported.folder / "runs" / "one"), to=tmp_path / "x", as_="classifier"
    )
    with pytest.raises(InputError, match=r"is not a reward model, .* with --as merged"):
        export_model(settings, log=lambda _: None)
    assert list(tmp_path.iterdir()) == []
