"""Shared by all tests: numbers of examples, a table of figures, a small model, a private cache."""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from tests import small

# If the tests are started in the background, they and their children would ignore Ctrl-C, and with
# nohup also a closed terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Tests run side by side: more threads than cores would spin at every small product. The variable
# is for the commands that they start.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

# The speed and load of the machine must not decide whether a property test passes.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

IS_NIGHTLY = os.environ.get("UPBRING_NIGHTLY") == "1"
FIGURE = "figure"

Figure = Callable[[str, object], None]


def trials(few: int, many: int) -> int:
    """Return the number of examples: `few` in `make test`, `many` in `make nightly`."""
    return many if IS_NIGHTLY else few


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Return a function that adds a figure to the table at the end."""

    def note(name: str, found: object) -> None:
        request.node.user_properties.append((FIGURE, f"{name}\t{found}"))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of figures of all workers."""
    rows = sorted(set(_figures(terminalreporter)))
    if rows:
        width = max(len(name) for name, _ in rows)
        terminalreporter.section("figures")
        for name, found in rows:
            terminalreporter.write_line(f"{name:<{width}}  {found}")


def _figures(reporter: pytest.TerminalReporter) -> Iterator[tuple[str, str]]:
    for outcome in ("passed", "failed"):
        for report in reporter.stats.get(outcome, []):
            for key, value in report.user_properties:
                if key == FIGURE:
                    name, _, found = value.partition("\t")
                    yield name, found if outcome == "passed" else f"{found}  FAILED"


def pytest_collection_finish() -> None:
    """Keep what is imported out of every later garbage collection, which would read all of it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny Llama and its tokenizer."""
    return small.make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBRING_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
