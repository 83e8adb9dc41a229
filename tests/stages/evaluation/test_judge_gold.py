import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests import small
from tests.remote.scripted_server import ScriptedServer, serving
from tests.stages.feedback.conversing import converse
from upbring.errors import InputError
from upbring.evaluate.model_protocol import Dialogue
from upbring.evaluate.preference import Scorer
from upbring.report.findings import as_json, compute_findings
from upbring.report.read_folders import read_evidence
from upbring.report.sentences import judge_lines
from upbring.runs.results import EvalResult, read_results
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.evaluation.evaluate import evaluate
from upbring.stages.evaluation.scorecard import scorecard_text


@pytest.fixture(scope="module")
def models(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    other = small.make_model(tmp_path_factory.mktemp("other"), seed=1)
    return str(model_folder), str(other)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(converse) as found:
        yield found


def settings(folder: Path, models: tuple[str, ...], **more: object) -> EvaluateSettings:
    """Return settings with four prompts and thirty gold pairs, of which the kind one is better."""
    data, gold = folder / "p.jsonl", folder / "gold.jsonl"
    data.write_text("".join(f'{{"prompt": "What is number {i}?"}}\n' for i in range(4)))
    rows = [{"prompt": f"{i}?", "chosen": f"kind {i}", "rejected": f"bad {i}"} for i in range(30)]
    gold.write_text("".join(json.dumps(row) + "\n" for row in rows))
    usual: dict[str, object] = {"max_tokens": 6, "threads": 1, "dtype": "float32"}
    values = {"models": models, "to": folder / "e", "data": (data,), "gold": (gold,)}
    return EvaluateSettings.model_validate({**values, **usual, **more})


def by_name(results: Sequence[EvalResult], suite: str) -> dict[str, EvalResult]:
    return {each.name: each for each in results if each.suite == suite}


def test_a_server_that_judges_is_measured_and_its_figures_are_beside_its_numbers(
    server: ScriptedServer, tmp_path: Path, models: tuple[str, str]
) -> None:
    config = settings(tmp_path, models, judge=server.url)
    logged: list[tuple[int, str]] = []
    found = evaluate(config, log=lambda text: logged.append((len(server.requests), text)))
    figures = by_name(found, "judge")
    assert {each.model for each in figures.values()} == {server.url}
    assert (figures["agreement"].value, figures["agreement"].count) == (1.0, 30)
    assert figures["agreement"].low == pytest.approx(0.886, abs=1e-3)  # Wilson
    assert figures["flip_rate"].value == 0.0
    assert figures["first_position"].value == 0.5
    assert figures["self_preference"].count == 30
    quality = by_name(found, "preference")["win_rate"].judge
    assert quality is not None
    assert quality.verdict == "fit"
    for part in ("agrees with 100.0 % (88.6", "orders differ on 0.0 %", "to its own answers"):
        assert part in quality.text
        assert part in scorecard_text(found, models)
    # both orders of 4 prompts, 30 gold pairs and 30 own responses, and these responses
    assert logged[0][0] == 0
    assert f"{server.url}: at most 158 calls" in logged[0][1]


def test_the_report_shows_the_figures(
    server: ScriptedServer, tmp_path: Path, models: tuple[str, str]
) -> None:
    evaluate(settings(tmp_path, models, judge=server.url), log=print)
    evidence = read_evidence([tmp_path / "e"])
    findings = compute_findings(evidence)
    assert set(evidence.models) == set(models)
    assert [line for line in judge_lines(findings) if "agrees with 100.0 %" in line]
    shown = {each.name for each in findings.other_results if each.suite == "judge"}
    assert shown >= {"agreement", "flip_rate", "first_position", "self_preference"}
    exported = json.dumps(as_json(findings, verdict=None, advice=[]))
    assert "orders differ on 0.0 %" in exported


def test_a_second_evaluation_asks_nothing(
    server: ScriptedServer, tmp_path: Path, models: tuple[str, str]
) -> None:
    config = settings(tmp_path, models, judge=server.url)
    first = evaluate(config, log=print)
    count = len(server.requests)
    assert evaluate(config, log=print) == first
    assert len(server.requests) == count
    assert read_results(config.to) == first


def test_a_scorer_is_measured_too_and_an_unfit_one_is_no_evidence(
    tmp_path: Path, models: tuple[str, str]
) -> None:
    asked = 0

    def scores(pairs: Sequence[tuple[Dialogue, str]]) -> list[float]:
        nonlocal asked
        asked += len(pairs)
        return [-float("kind" in text) for _, text in pairs]

    def scorer(name: str) -> Scorer:
        return Scorer(name, name, scores)

    reward = tmp_path / "reward"
    reward.mkdir()
    (reward / "adapter_config.json").write_text('{"task_type": "SEQ_CLS"}')
    config = settings(tmp_path, models, judge=str(reward))
    found = evaluate(config, log=print, make_scorer=scorer)
    assert by_name(found, "judge")["agreement"].value == 0.0
    quality = by_name(found, "preference")["win_rate"].judge
    assert quality is not None
    assert not quality.is_fit
    assert "no better than chance" in quality.detail
    assert "no evidence" in scorecard_text(found, models)
    before = asked
    evaluate(config, log=print, make_scorer=scorer)
    assert asked == before


def test_gold_pairs_without_a_judge_are_refused(tmp_path: Path, models: tuple[str, str]) -> None:
    with pytest.raises(InputError, match="gold: no judge is named; leave it out, or name a model"):
        evaluate(settings(tmp_path, models), log=print)
    votes = settings(tmp_path, models, judge=f"votes:{tmp_path / 'votes.jsonl'}")
    with pytest.raises(InputError, match="gold: people judge, and their agreement is known"):
        evaluate(votes, log=print)
