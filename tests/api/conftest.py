"""A folder with a tiny model, rows in memory and a finished run."""

import contextlib
from pathlib import Path

import pytest

import upbring as ub
from tests import small
from tests.api.quick import QUICK, demonstrations


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> ub.Run:
    """Return a run of fine-tuning, started in its own folder with a model `m`."""
    home = tmp_path_factory.mktemp("finished")
    small.make_model(home / "m")
    with contextlib.chdir(home):
        return ub.sft("m", demonstrations(), **QUICK)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with a model `m`."""
    small.make_model(tmp_path / "m")
    monkeypatch.chdir(tmp_path)
    return tmp_path
