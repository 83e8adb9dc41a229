import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.judge.scripted_judge import ScriptedJudge, choose
from tests.remote.scripted_server import Body, Scripted, ScriptedServer, chat
from tests.stages.feedback.conversing import PRINCIPLES, converse, read_rows, settings, write_rows
from tests.stages.feedback.test_best_of_n import lowest
from upbring import durable
from upbring.data.read import formats
from upbring.data.read.records import Comparison, Demonstration
from upbring.errors import InputError
from upbring.feedback.principles import read_principles
from upbring.runs.results import read_results
from upbring.stages.feedback.constitution import collect_by_principles
from upbring.stages.open_client import CALLS_FILE


def no_log(_: str) -> None:
    """Log nothing."""


def test_comparisons_and_demonstrations_are_written_with_their_provenance(
    server: ScriptedServer, tmp_path: Path
) -> None:
    config, to = settings(tmp_path, server.url), tmp_path / "out"
    found = collect_by_principles(config, to, log=no_log)
    assert found.comparisons is not None
    assert found.demonstrations is not None
    rows = read_rows(found.comparisons)
    assert len(rows) == 12  # each of 2 samples against the kinder revision; the samples tie
    for row in rows:
        assert row["chosen"].startswith("Dear friend, Number ")
        assert row["rejected"].startswith("Number ")
        assert row["probability"] == pytest.approx(7 / 9, abs=1e-5)
        assert row["weight"] == pytest.approx(0.9)
        provenance = row["provenance"]
        assert provenance["principles_sha256"] == read_principles(config.principles).sha256
        assert provenance["principles"][0]["id"] == "kind"
        assert (provenance["chosen"], provenance["rejected"]) == ("revised", "sampled")
        assert provenance["judge"] == server.url
    (demonstration, *_) = read_rows(found.demonstrations)
    assert demonstration["provenance"]["rounds"][0]["critique"] == "It is not kind."


def test_the_readers_of_training_data_read_the_labels(
    server: ScriptedServer, tmp_path: Path
) -> None:
    found = collect_by_principles(settings(tmp_path, server.url), tmp_path / "out", log=no_log)
    assert found.comparisons is not None
    assert found.demonstrations is not None
    (first, *_) = formats.read_records(found.comparisons, Comparison)
    assert first.probability == pytest.approx(7 / 9, abs=1e-5)
    assert first.weight == pytest.approx(0.9)
    assert len(list(formats.read_records(found.demonstrations, Demonstration))) == 6


def test_the_output_has_the_figures_of_judge_and_guards(
    server: ScriptedServer, tmp_path: Path
) -> None:
    collect_by_principles(settings(tmp_path, server.url), tmp_path / "out", log=no_log)
    results = {each.name: each for each in read_results(tmp_path / "out")}
    agreement = results["judge/agreement"]
    assert (agreement.value, agreement.count) == (1.0, 30)
    assert agreement.judge is not None
    assert agreement.judge.verdict == "fit"
    assert results["judge/self_preference"].count == 30
    assert results["pairs/labeled"].value == pytest.approx(12 / 18)
    assert results["words/chosen"].value == 4
    assert results["chosen_longer"].value == 1.0
    assert results["over_refusal/sampled"].count == 3  # the rows labeled safe
    assert results["over_refusal/revised_change"].value == 0
    assert results["pairs/labeled"].judge == agreement.judge


def test_a_second_run_makes_no_call_and_writes_the_same(
    server: ScriptedServer, tmp_path: Path
) -> None:
    config, to = settings(tmp_path, server.url), tmp_path / "out"
    collect_by_principles(config, to, log=no_log)
    count, before = len(server.requests), (to / "comparisons.jsonl").read_bytes()
    collect_by_principles(config, to, log=no_log)
    assert len(server.requests) == count
    assert (to / "comparisons.jsonl").read_bytes() == before


def test_a_killed_run_pays_for_at_most_one_call_again(
    server: ScriptedServer, tmp_path: Path
) -> None:
    """The process is killed by SIGKILL in the middle, and then runs again."""
    config = settings(tmp_path, server.url)
    options = (
        *("--judge", server.url, "--principles", str(config.principles)),
        *("--gold", str(config.gold[0]), "--concurrency", "1", "--to", str(tmp_path / "out")),
    )
    command = [sys.executable, "-m", "upbring", "constitution", str(config.prompts[0])]
    process = subprocess.Popen(
        [*command, "--model", server.url, *options],
        env={**os.environ, "no_proxy": "127.0.0.1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while len(server.requests) < 25 and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it was killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    collect_by_principles(
        config.model_copy(update={"judge": server.url}), tmp_path / "out", log=no_log
    )
    asked = [str(request.body) for request in server.requests]
    assert len(asked) - len(set(asked)) <= 1
    assert (tmp_path / "out" / "comparisons.jsonl").is_file()


def test_a_weak_judge_is_rejected_with_its_figures(server: ScriptedServer, tmp_path: Path) -> None:
    def always_first(body: Body) -> Scripted:
        text = body["messages"][-1]["content"]
        return chat("A", logprobs={"A": -0.1}) if "[Answer A]" in text else converse(body)

    server.answer = always_first
    config = settings(tmp_path, server.url)
    with pytest.raises(InputError) as error:
        collect_by_principles(config, tmp_path / "out", log=no_log)
    message = str(error.value)
    assert "agrees with 50.0 % (44.3 … 55.7) of 30 gold pairs, no better than chance" in message
    assert "its labels would teach noise. Name a larger model" in message
    results = {each.name: each for each in read_results(tmp_path / "out")}
    assert results["judge/flip_rate"].value == 1.0
    assert not (tmp_path / "out" / "comparisons.jsonl").exists()
    with pytest.raises(InputError, match="no pair has a label"):
        collect_by_principles(
            config.model_copy(update={"allow_weak_judge": True, "rounds": 0}),
            tmp_path / "out",
            log=no_log,
        )


def test_a_judge_that_is_rejected_in_a_second_run_leaves_no_damaged_folder(
    server: ScriptedServer, tmp_path: Path
) -> None:
    config, to = settings(tmp_path, server.url), tmp_path / "out"
    collect_by_principles(config, to, log=no_log)
    assert durable.verify_if_sealed(to) is not None
    with pytest.raises(InputError, match="its labels would teach noise"):
        collect_by_principles(config, to, log=no_log, judge=ScriptedJudge(lowest))
    results = {each.name: each for each in read_results(to)}
    assert results["judge/agreement"].value == 0
    assert durable.verify_if_sealed(to) is None


def test_a_judge_that_answers_in_prose_is_rejected(server: ScriptedServer, tmp_path: Path) -> None:
    def prose(body: Body) -> Scripted:
        is_question = "[Answer A]" in body["messages"][-1]["content"]
        return chat("A reasonable answer is B") if is_question else converse(body)

    server.answer = prose
    with pytest.raises(InputError, match="answers 30 of 30 questions with none of the labels"):
        collect_by_principles(settings(tmp_path, server.url), tmp_path / "out", log=no_log)


def test_without_a_judge_only_revisions_are_written(server: ScriptedServer, tmp_path: Path) -> None:
    config = settings(tmp_path, server.url, judge="none", rounds=2)
    found = collect_by_principles(config, tmp_path / "out", log=no_log)
    assert found.comparisons is None
    assert found.demonstrations is not None
    assert len(read_rows(found.demonstrations)[0]["provenance"]["rounds"]) == 2
    with pytest.raises(InputError, match="judge: none, and rounds is 0"):
        collect_by_principles(config.model_copy(update={"rounds": 0}), tmp_path / "out", log=no_log)


def test_pairs_that_are_too_long_are_dropped_and_counted(
    server: ScriptedServer, tmp_path: Path
) -> None:
    config = settings(tmp_path, server.url, max_length_ratio=1.5)
    found = collect_by_principles(config, tmp_path / "out", log=no_log)
    assert found.comparisons is None  # the kind answers have twice the words
    results = {each.name: each for each in found.results}
    assert results["pairs/too_long"].value == pytest.approx(12 / 18)


def test_comparisons_by_people_are_mixed_in(server: ScriptedServer, tmp_path: Path) -> None:
    human = write_rows(
        tmp_path / "human.jsonl",
        [{"prompt": f"{i}?", "responses": ["a", "b", "c"], "ranks": [2, 1, 3]} for i in range(20)],
    )
    config = settings(tmp_path, server.url, human=(human,), human_share=0.4)
    found = collect_by_principles(config, tmp_path / "out", log=no_log)
    assert found.comparisons is not None
    rows = [r for r in read_rows(found.comparisons) if r["provenance"]["source"] == "human"]
    assert len(rows) == 8  # 8 of 12 + 8
    assert (rows[0]["chosen"], rows[0]["rejected"]) == ("b", "c")
    assert rows[0]["provenance"]["row"].endswith("human.jsonl:1")


def test_a_local_model_writes_each_text_once(tmp_path: Path, server: ScriptedServer) -> None:
    config = settings(
        tmp_path,
        server.url,
        model="builtin:sprout",
        judge=server.url,
        rounds=0,
        max_tokens=4,
        threads=1,
        dtype="float32",
        min_agreement=0.5,
    )
    judge = ScriptedJudge(lambda q: choose(first=q.responses[0] > q.responses[1]))  # kind > bad
    for _ in range(2):
        collect_by_principles(config, tmp_path / "out", log=no_log, judge=judge)
    rows = read_rows(tmp_path / "out" / CALLS_FILE)
    assert len({row["key"] for row in rows}) == len(rows) == 12


def test_another_place_of_the_calls_is_used(server: ScriptedServer, tmp_path: Path) -> None:
    config = settings(tmp_path, server.url)
    calls = tmp_path / "paid.jsonl"
    collect_by_principles(config, tmp_path / "one", log=no_log, calls_file=calls)
    count = len(server.requests)
    collect_by_principles(config, tmp_path / "two", log=no_log, calls_file=calls)
    assert len(server.requests) == count
    assert not (tmp_path / "one" / CALLS_FILE).exists()


def test_a_principles_file_is_checked_before_anything_is_asked(
    server: ScriptedServer, tmp_path: Path
) -> None:
    config = settings(tmp_path, server.url)
    assert config.principles is not None
    config.principles.write_text(PRINCIPLES + "  - id: kind\n    text: again\n")
    with pytest.raises(InputError, match="id 'kind': given twice, first on line 3"):
        collect_by_principles(config, tmp_path / "out", log=no_log)
    assert not server.requests
