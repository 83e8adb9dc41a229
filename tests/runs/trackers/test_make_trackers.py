"""Trackers by name, and a message for one that is not installed."""

import pytest

from upbring.errors import InputError
from upbring.runs.trackers import make_trackers as module
from upbring.runs.trackers.make_trackers import TRACKERS, make_trackers
from upbring.settings.schema import setting_specs
from upbring.settings.training import TrainSettings


def test_the_setting_has_every_tracker() -> None:
    assert setting_specs(TrainSettings)["track"].choices == tuple(TRACKERS)


def test_a_missing_package_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert make_trackers([]) == []
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    expected = r'track: mlflow is not installed; install it with: pip install "upbring\[mlflow\]"'
    with pytest.raises(InputError, match=expected):
        make_trackers(["mlflow"])
