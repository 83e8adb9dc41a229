import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import IS_NIGHTLY
from tests.judge.scripted_judge import ScriptedJudge
from tests.remote.scripted_server import ScriptedServer
from tests.rewarded import make_reward
from tests.stages.feedback.conversing import read_rows, settings, write_rows
from upbring import durable
from upbring.data.read import formats
from upbring.data.read.records import Demonstration
from upbring.errors import InputError
from upbring.judge.judgment import JudgeQuestion, OrderVerdict
from upbring.runs.results import EvalResult, JudgeQuality, read_results, write_results
from upbring.settings.commands.demonstrations import BestOfNSettings
from upbring.stages.feedback.best_of_n import collect_best_of_n
from upbring.stages.open_client import CALLS_FILE


def no_log(_: str) -> None:
    """Log nothing."""


def options(folder: Path, url: str, **changes: Any) -> BestOfNSettings:
    """Return settings with six prompts and thirty gold pairs, of which the kind one is better."""
    config = settings(folder, url)
    values: dict[str, Any] = {
        "model": url,
        "prompts": config.prompts,
        "gold": config.gold,
        "concurrency": 1,
        "num_responses": 3,
        "min_agreement": 0.5,
        **changes,
    }
    return BestOfNSettings(**values)


def highest(question: JudgeQuestion) -> OrderVerdict:
    """Prefer the kind answer, or else the one with the highest number."""
    values = [1000 if "kind" in each else _number(each) for each in question.responses]
    share = 1 / (len(values) + 1)
    best = values.index(max(values))
    return OrderVerdict(tuple(share * (1 + (i == best)) for i in range(len(values))))


def lowest(question: JudgeQuestion) -> OrderVerdict:
    """Prefer the one that `highest` likes least."""
    values = highest(question).choices
    assert values is not None
    return OrderVerdict(tuple(max(values) + min(values) - each for each in values))


def _number(text: str) -> int:
    digits = "".join(filter(str.isdigit, text))
    return int(digits) if digits else -1


def test_the_best_response_to_each_prompt_is_a_demonstration(
    server: ScriptedServer, tmp_path: Path
) -> None:
    judge = ScriptedJudge(highest)
    found = collect_best_of_n(
        options(tmp_path, server.url), tmp_path / "o", log=no_log, judge=judge
    )
    rows = read_rows(found.demonstrations)
    written: dict[str, list[int]] = {}
    for request in server.requests:
        prompt = request.body["messages"][-1]["content"]
        written.setdefault(prompt, []).append(request.body["seed"] % 1000)
    assert len(rows) == 6
    for row in rows:
        prompt, answer = (message["content"] for message in row["messages"])
        assert answer == f"Number {max(written[prompt])}."
        provenance = row["provenance"]
        assert provenance["source"] == "best of n"
        assert (provenance["judge"], provenance["num_responses"]) == ("scripted", 3)
        assert provenance["probability"] == pytest.approx(0.5)
        assert provenance["prompt"].startswith(str(tmp_path / "prompts.jsonl:"))
    assert len(list(formats.read_records(found.demonstrations, Demonstration))) == 6


def test_the_figures_have_the_judge_beside_them(server: ScriptedServer, tmp_path: Path) -> None:
    judge = ScriptedJudge(highest)
    collect_best_of_n(options(tmp_path, server.url), tmp_path / "o", log=no_log, judge=judge)
    results = {each.name: each for each in read_results(tmp_path / "o")}
    assert (results["judge/agreement"].value, results["judge/agreement"].count) == (1.0, 30)
    assert (results["prompts/chosen"].value, results["prompts/chosen"].count) == (1.0, 6)
    assert results["responses/usable"].count == 18
    assert results["words/best_minus_others"].value == 0
    assert results["refused/kept"].value == 0
    assert results["responses/usable"].judge is None  # the judge did not decide it
    quality = results["words/kept"].judge
    assert quality is not None
    assert quality.verdict == "fit"


def test_prompts_that_the_judge_cannot_decide_are_left_out(
    server: ScriptedServer, tmp_path: Path
) -> None:
    def first_place(question: JudgeQuestion) -> OrderVerdict:
        if len(question.responses) == 2:  # the gold pairs
            return highest(question)
        return OrderVerdict((0.6, 0.3, 0.1))

    config = options(tmp_path, server.url, on_flip="drop")
    judge = ScriptedJudge(first_place)
    with pytest.raises(InputError, match="no response can be a demonstration: 6 orders differ"):
        collect_best_of_n(config, tmp_path / "o", log=no_log, judge=judge)
    kept = config.model_copy(update={"on_flip": "average"})
    found = collect_best_of_n(kept, tmp_path / "p", log=no_log, judge=judge)
    assert all(row["provenance"]["is_flipped"] for row in read_rows(found.demonstrations))


def test_a_second_run_makes_no_call_and_writes_the_same(
    server: ScriptedServer, tmp_path: Path
) -> None:
    config, to = options(tmp_path, server.url), tmp_path / "o"
    collect_best_of_n(config, to, log=no_log)  # the server judges: kind, or the letter C
    count, before = len(server.requests), (to / "demonstrations.jsonl").read_bytes()
    collect_best_of_n(config, to, log=no_log)
    assert len(server.requests) == count
    assert (to / "demonstrations.jsonl").read_bytes() == before


def test_a_second_run_that_stops_leaves_no_damaged_folder(
    server: ScriptedServer, tmp_path: Path
) -> None:
    config, to = options(tmp_path, server.url), tmp_path / "o"
    collect_best_of_n(config, to, log=no_log, judge=ScriptedJudge(highest))
    assert durable.verify_if_sealed(to) is not None
    with pytest.raises(InputError):
        collect_best_of_n(config, to, log=no_log, judge=ScriptedJudge(lowest))
    assert read_results(to)
    assert durable.verify_if_sealed(to) is None


@pytest.mark.skipif(
    not IS_NIGHTLY, reason="nightly: starts a process; constitution shares the code"
)
def test_a_killed_run_pays_for_at_most_one_call_again(
    server: ScriptedServer, tmp_path: Path
) -> None:
    config = options(tmp_path, server.url)
    words = ("best-of-n", str(config.prompts[0]), "--model", server.url, "--num-responses", "3")
    more = ("--gold", str(config.gold[0]), "--concurrency", "1", "--to", str(tmp_path / "o"))
    process = subprocess.Popen(
        [sys.executable, "-m", "upbring", *words, *more],
        env={**os.environ, "no_proxy": "127.0.0.1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while len(server.requests) < 100 and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it was killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    collect_best_of_n(config, tmp_path / "o", log=no_log)
    asked = [str(request.body) for request in server.requests]
    assert len(asked) - len(set(asked)) <= 1


def test_what_it_may_cost_is_logged_before_the_first_call(
    server: ScriptedServer, tmp_path: Path
) -> None:
    logged: list[tuple[int, str]] = []
    config = options(tmp_path, server.url, max_calls=5, output_price=1e6)
    with pytest.raises(InputError, match=r"needs .* more calls?, and .* of max_calls 5 are left"):
        collect_best_of_n(
            config, tmp_path / "o", log=lambda text: logged.append((len(server.requests), text))
        )
    num_calls, text = logged[0]
    assert num_calls == 0
    # 18 samples, 30 own responses; both orders of 6 questions, 30 gold pairs, 30 own responses
    assert f"{server.url}: at most 180 calls, " in text
    # 256 tokens for each text and 4 for each judgment, at a price of 1 each
    assert f"out, cost {48 * 256 + 132 * 4:.2f}" in text
    assert text.endswith("; without log-probabilities, those of the judge × 5; max_calls allows 5")


def test_a_reward_model_chooses_as_its_scores_say_and_an_unfit_one_is_refused(
    model_folder: Path, tmp_path: Path
) -> None:
    reward = make_reward(model_folder, tmp_path / "reward")
    adapter = json.loads((reward / "adapter_config.json").read_text())
    (reward / "adapter_config.json").write_text(json.dumps({**adapter, "task_type": "SEQ_CLS"}))
    prompts = write_rows(tmp_path / "p.jsonl", [{"prompt": f"{i}?"} for i in range(3)])
    config = BestOfNSettings(
        model=str(model_folder),
        judge=str(reward),
        prompts=(prompts,),
        num_responses=3,
        max_tokens=4,
        keep_cut_off=True,
        threads=1,
        dtype="float32",
    )
    logged: list[str] = []
    found = collect_best_of_n(config, tmp_path / "o", log=logged.append)
    assert any("not measured" in line for line in logged)
    rows = read_rows(found.demonstrations)
    assert [row["provenance"]["is_flipped"] for row in rows] == [None] * len(rows)
    assert all(row["provenance"]["probability"] >= 1 / 3 for row in rows)
    stored = read_rows(tmp_path / "o" / CALLS_FILE)
    collect_best_of_n(config, tmp_path / "o", log=no_log)
    assert read_rows(tmp_path / "o" / CALLS_FILE) == stored
    quality = JudgeQuality("r", "not fit", "accuracy 51.0 %")
    write_results(reward, [EvalResult("reward_health", "r", "pair_accuracy", 0.51, judge=quality)])
    with pytest.raises(InputError, match=r"is not fit: accuracy 51.0 %; name another with --judge"):
        collect_best_of_n(config, tmp_path / "o", log=no_log)


def test_without_a_judge_nobody_chooses(server: ScriptedServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="judge: none, but someone must choose"):
        collect_best_of_n(options(tmp_path, server.url, judge="none"), tmp_path / "o", log=no_log)
    assert not server.requests
