from pathlib import Path

import pytest

from tests.judge.scripted_judge import ScriptedJudge
from tests.remote.scripted_server import Body, Scripted, ScriptedServer, chat
from tests.stages.feedback.conversing import read_rows
from tests.stages.feedback.test_best_of_n import highest, no_log, options
from upbring.stages.feedback.best_of_n import collect_best_of_n


def test_empty_cut_off_and_repeated_responses_are_left_out(
    server: ScriptedServer, tmp_path: Path
) -> None:
    def answer(body: Body) -> Scripted:
        prompt = body["messages"][-1]["content"]
        if prompt == "Question 0?":
            return chat("  ")
        reply = chat("Always this.")
        if prompt == "Question 1?":
            reply.content["choices"][0]["finish_reason"] = "length"  # type: ignore[index]  # JSON
        return reply

    server.answer = answer
    judge = ScriptedJudge(highest)
    config = options(tmp_path, server.url)
    found = collect_best_of_n(config, tmp_path / "o", log=no_log, judge=judge)
    results = {each.name: each.value for each in found.results}
    assert results["responses/empty"] == results["responses/cut_off"] == pytest.approx(3 / 18)
    assert results["responses/repeated"] == pytest.approx(8 / 18)
    assert results["prompts/only_one_response"] == 1.0
    assert len(read_rows(found.demonstrations)) == 4
    more = config.model_copy(update={"keep_cut_off": True})
    again = collect_best_of_n(more, tmp_path / "o", log=no_log, judge=judge)
    assert len(read_rows(again.demonstrations)) == 5
