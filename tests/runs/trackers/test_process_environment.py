"""The environment is as before after the block."""

import os

import pytest

from upbring.runs.trackers.process_environment import environment


def test_variables_are_set_in_the_block_only_and_never_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UPBRING_TEST_GIVEN", "kept")
    monkeypatch.delenv("UPBRING_TEST_NEW", raising=False)
    with environment({"UPBRING_TEST_GIVEN": "other", "UPBRING_TEST_NEW": "1"}):
        assert (os.environ["UPBRING_TEST_GIVEN"], os.environ["UPBRING_TEST_NEW"]) == ("kept", "1")
    assert os.environ["UPBRING_TEST_GIVEN"] == "kept"
    assert "UPBRING_TEST_NEW" not in os.environ
