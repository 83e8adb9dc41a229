from pathlib import Path

import pytest

from tests.stages.feedback.conversing import settings
from upbring.errors import InputError, Interrupted
from upbring.interruption import Interruption
from upbring.judge.endpoint_judge import EndpointJudge
from upbring.stages.feedback.open_models import (
    client_of,
    log_usage,
    open_judge,
    open_workplace,
    open_writer,
    own_responses,
)
from upbring.stages.feedback.stored_judge import StoredJudge
from upbring.stages.open_client import CALLS_FILE

URL = "http://127.0.0.1:1/v1"


def no_log(_: str) -> None:
    """Log nothing."""


def test_a_folder_is_used_by_one_process_at_a_time(tmp_path: Path) -> None:
    with open_workplace(tmp_path / "o", log=no_log) as workplace:
        assert workplace.folder == tmp_path / "o"
        with (
            pytest.raises(InputError, match="is using this folder"),
            open_workplace(tmp_path / "o", log=no_log),
        ):
            pass
    assert not (tmp_path / "o" / CALLS_FILE).exists()


def test_a_stop_says_that_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Interruption, "signal_number", 15)
    with (
        pytest.raises(Interrupted, match="stopped; what was written and judged so far is in"),
        open_workplace(tmp_path, log=no_log) as workplace,
    ):
        workplace.poll()


def test_only_a_judge_that_writes_has_own_responses(tmp_path: Path) -> None:
    with open_workplace(tmp_path / "o", log=no_log) as workplace:
        config = settings(tmp_path, URL)
        writer = open_writer(config, workplace)
        judge = open_judge(config, workplace, writer)
        assert isinstance(judge, EndpointJudge)
        assert judge.client is client_of(writer)  # one budget
        assert own_responses(config, judge, writer) is not None
        other = config.model_copy(update={"judge": "json"})
        rule = open_judge(other, workplace, writer)
        assert isinstance(rule, StoredJudge)
        assert own_responses(other, rule, writer) is None
        assert (client_of(judge), client_of(rule)) == (judge.client, None)


def test_what_was_paid_is_logged_for_servers_alone(tmp_path: Path) -> None:
    logged: list[str] = []
    with open_workplace(tmp_path / "o", log=no_log) as workplace:
        config = settings(tmp_path, URL, input_price=1.0)
        writer = open_writer(config, workplace)
        log_usage(config, [client_of(writer), None], logged.append)
    assert logged == [
        f"{URL}: 0 calls, 0 tokens in and 0 out, cost 0.00; stored replies cost nothing"
    ]
