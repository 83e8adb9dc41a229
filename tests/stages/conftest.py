"""Fixtures of the stage tests: a folder with a finished run."""

from pathlib import Path

import pytest

from tests.commands import SFT, done, prepare


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model, data and a finished run of SFT."""
    folder = prepare(tmp_path_factory.mktemp("home"))
    done(folder, *SFT, "--name", "a")
    return folder


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    """Return that run."""
    return home / "runs" / "a"
