"""What all tests share: how many trials a property gets, a small model, a cache of their own."""

import os
import signal
from pathlib import Path

import pytest
import torch

from tests import small

# Started in the background, the tests would have Ctrl-C ignored, and so would all their children.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests run side by side: more threads than cores would spin at every small product.
torch.set_num_threads(1)

IS_NIGHTLY = os.environ.get("UPBRING_NIGHTLY") == "1"


def trials(few: int, many: int) -> int:
    """Return how often a property is tried: `few` in `make test`, `many` in `make nightly`."""
    return many if IS_NIGHTLY else few


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny Llama and its tokenizer."""
    return small.make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBRING_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
