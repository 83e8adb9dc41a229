import json
import signal
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from tests import small
from upbring.errors import InputError, Interrupted
from upbring.evaluate.model_protocol import Dialogue
from upbring.evaluate.preference import Comparer, Scorer
from upbring.runs.results import EvalResult, read_results
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.stages.evaluation.eval_data import load_eval_data
from upbring.stages.evaluation.evaluate import evaluate, make_judge, select_suites
from upbring.stages.evaluation.suites import SUITES

T = TypeVar("T")

QUESTIONS = [
    {"prompt": "What is the sky like?", "answer": "blue"},
    {"prompt": "The apple is", "answer": "red", "alternatives": ["blue"]},
]


@pytest.fixture(scope="module")
def models(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    other = small.make_model(tmp_path_factory.mktemp("other"), seed=1)
    return str(model_folder), str(other)


def written(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def settings(folder: Path, models: tuple[str, ...], **more: object) -> EvaluateSettings:
    usual: dict[str, object] = {"max_tokens": 6, "threads": 1, "dtype": "float32"}
    return EvaluateSettings.model_validate(
        {"models": models, "to": folder / "evaluation", **usual, **more}
    )


def measure(config: EvaluateSettings, **more: object) -> tuple[list[EvalResult], list[str]]:
    """Return the results, and what was computed: the labels of the progress."""
    labels: list[str] = []

    def track(items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
        yield from items
        if total is not None and label.startswith(tuple(SUITES)):
            labels.append(label)

    return evaluate(config, log=print, track=track, **more), labels  # type: ignore[arg-type]


def test_a_second_evaluation_reuses_the_answers_in_its_folder(
    tmp_path: Path, models: tuple[str, str]
) -> None:
    data = written(tmp_path / "q.jsonl", QUESTIONS)
    config = settings(tmp_path, models, data=(data,))
    found, notices = measure(config)
    assert {n.suite for n in found} == {"facts"}
    assert read_results(config.to) == found
    rows = [json.loads(line) for line in (config.to / "answers.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert all(row["verdicts"] for row in rows)
    assert len(notices) == 4
    again, notices = measure(config)
    assert (again, notices) == (found, [])


def test_a_stopped_evaluation_continues_from_its_answers(
    tmp_path: Path, models: tuple[str, str]
) -> None:
    rows = [{"prompt": f"What is number {i}?", "answer": "red"} for i in range(40)]
    config = settings(tmp_path, models, data=(written(tmp_path / "q.jsonl", rows),))

    def stop(items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
        del total
        yield from items
        if label.startswith("facts"):  # the first model has answered
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(
        Interrupted, match=r"stopped; the answers so far are in .*answers\.jsonl; run "
    ):
        evaluate(config, log=print, track=stop)
    path = config.to / "answers.jsonl"
    assert path.read_bytes().count(b"\n") == 40
    assert not (config.to / "results.json").exists()
    found, notices = measure(config)
    assert [text.rpartition(", ")[0] for text in notices] == ["facts"]  # only the second model
    assert {n.count for n in found} == {40}


def test_results_of_other_suites_stay(tmp_path: Path, models: tuple[str, str]) -> None:
    data = written(tmp_path / "q.jsonl", QUESTIONS)
    texts = written(tmp_path / "t.jsonl", [{"text": "The sky is warm."}] * 3)
    measure(settings(tmp_path, models, data=(data,)))
    found, _ = measure(settings(tmp_path, models, data=(texts,)))
    assert {n.suite for n in found} == {"forgetting"}
    kept = read_results(tmp_path / "evaluation")
    assert {n.suite for n in kept} == {"facts", "forgetting"}


def test_models_have_the_names_that_the_caller_gives(
    tmp_path: Path, models: tuple[str, str]
) -> None:
    data = written(tmp_path / "q.jsonl", QUESTIONS[:1])
    found, _ = measure(settings(tmp_path, models, data=(data,)), names=["base", "sft"])
    assert {n.model for n in found} == {"base", "sft"}
    assert {n.against for n in found} == {None, "base"}


def answers(config: EvaluateSettings) -> list[dict[str, object]]:
    return [json.loads(line) for line in (config.to / "answers.jsonl").read_text().splitlines()]


def longest(name: str) -> Scorer:
    def scores(pairs: Sequence[tuple[Dialogue, str]]) -> list[float]:
        return [float(len(text)) for _, text in pairs]

    return Scorer(name, name, scores)


def test_a_reward_model_may_be_the_judge(tmp_path: Path, models: tuple[str, str]) -> None:
    data = written(tmp_path / "p.jsonl", [{"prompt": f"What is number {i}?"} for i in range(4)])
    config = settings(tmp_path, models, data=(data,), judge="rm")
    found, _ = measure(config, make_scorer=longest)
    assert {n.name for n in found} >= {"win_rate", "win_rate_length_controlled", "strength"}
    judge = next(n for n in found if n.name == "win_rate").judge
    assert judge is not None
    assert judge.text == "judged by rm (not measured)"


def test_without_data_the_toy_world_is_used(tmp_path: Path, models: tuple[str, str]) -> None:
    config = settings(tmp_path, models[:1], suite=("facts,instructions",), limit=2)
    found, _ = measure(config)
    assert {(n.suite, n.name) for n in found} == {
        ("facts", "accuracy"),
        ("facts", "graded"),
        ("instructions", "prompt_strict"),
    }
    assert all(n.is_synthetic for n in found)


def test_suites_follow_the_data_unless_they_are_named(tmp_path: Path) -> None:
    data = (
        written(tmp_path / "q.jsonl", QUESTIONS),
        written(tmp_path / "t.jsonl", [{"text": "a"}]),
    )
    config = settings(tmp_path, ("a",), data=data)
    assert select_suites(config, load_eval_data(config)) == ["facts", "forgetting"]
    named = settings(tmp_path, ("a",), data=data, suite=("forgetting, facts", "facts"))
    assert select_suites(named, load_eval_data(named)) == ["forgetting", "facts"]
    remote = settings(tmp_path, ("http://localhost:1/v1",), data=data)
    # endpoints return no log-probabilities
    assert select_suites(remote, load_eval_data(remote)) == ["facts"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"suite": ("fact",)}, "suite: 'fact' is not a suite; did you mean facts?"),
        ({"suite": ("zebra",)}, "suite: 'zebra' is not a suite; use one of preference, facts, "),
        ({"suite": ("reward_health",)}, "suite: reward_health is measured by `upbring reward`"),
        ({"suite": ("refusals",)}, "q.jsonl: no row for the suite refusals; give rows with"),
        ({"models": ("a", "a")}, "models: a is given twice; give each once"),
        ({"judge": "rm"}, "judge: rm is not a URL, and reward models cannot judge here; give the"),
    ],
)
def test_impossible_settings_are_refused_at_once(
    tmp_path: Path, more: dict[str, object], message: str
) -> None:
    data = written(tmp_path / "q.jsonl", QUESTIONS)
    config = settings(tmp_path, ("a",), data=(data,)).model_copy(update=more)
    with pytest.raises(InputError) as caught:
        measure(config)
    assert message in str(caught.value)
    assert not (tmp_path / "evaluation").exists()


def test_prompts_without_answers_fit_no_suite_of_one_model(tmp_path: Path) -> None:
    data = written(tmp_path / "p.jsonl", [{"prompt": "Hello"}])
    config = settings(tmp_path, ("a",), data=(data,))
    with pytest.raises(
        InputError, match=r"p\.jsonl: no row for any suite of these models; for preference"
    ):
        select_suites(config, load_eval_data(config))


def test_an_endpoint_compares_as_a_judge(tmp_path: Path) -> None:
    data = written(tmp_path / "p.jsonl", [{"prompt": "Hello"}])
    config = settings(tmp_path, ("a",), data=(data,), judge="http://localhost:1/v1")
    assert isinstance(make_judge(config, load_eval_data(config), None), Comparer)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"suite": ("harness",)}, "tasks: the suite harness needs at least one task; add --tasks"),
        ({"tasks": ("arc_easy",), "suite": ("facts",)}, "tasks: need the suite harness, which"),
        ({"tasks": ("nowhere.yaml",)}, "tasks: nowhere.yaml does not exist; give a YAML file"),
        ({"judge": "votes:v.jsonl"}, "judge: people compare 2 to 9 models, and 1 are given"),
    ],
)
def test_impossible_tasks_and_votes_are_refused_at_once(
    tmp_path: Path, more: dict[str, object], message: str
) -> None:
    data = written(tmp_path / "p.jsonl", [{"prompt": "Hello", "answer": "Hi"}])
    config = settings(tmp_path, ("a",), data=(data,)).model_copy(update=more)
    with pytest.raises(InputError) as caught:
        measure(config)
    assert message in str(caught.value)
    assert not (tmp_path / "evaluation").exists()


def test_functions_of_the_user_are_measured_on_rows_with_all_their_columns(
    tmp_path: Path, models: tuple[str, str]
) -> None:
    rows = [{"question": f"{n}?", "answer": f"#### {n}", "level": n % 2} for n in range(6)]
    data = written(tmp_path / "q.jsonl", rows)
    (tmp_path / "books.txt").write_text("A text, not a prompt.")
    (tmp_path / "metrics.py").write_text(
        "def level(prompt, response, row):\n"
        "    assert prompt == str(row['answer'])[5:] + '?'\n"
        "    return row['level']\n"
    )
    function = f"{tmp_path}/metrics.py:level"
    files = (data, tmp_path / "books.txt")
    asked = settings(tmp_path, models, data=files, metric_function=(function,), suite=("custom",))

    def words(response: str) -> int:
        return len(response.split())

    found, _ = measure(asked, metrics=[words, "same_number"])
    values = {each.name: each for each in found if each.model == models[1]}
    assert {each.suite for each in found} == {"custom"}
    assert (values["level"].value, values["level"].count) == (0.5, 6)
    assert values["level_change"].value == 0.0
    assert {"words", "same_number", "same_number_change"} <= values.keys()
    answers = [json.loads(line) for line in (asked.to / "answers.jsonl").read_text().splitlines()]
    assert all(set(row["verdicts"]) == {"level", "words", "same_number"} for row in answers)
    more, _ = measure(settings(tmp_path, models, data=(data,), metric_function=(function,)))
    assert {each.suite for each in more} == {"facts", "custom"}
    with pytest.raises(InputError, match="metric_function: there is no row with a prompt; name a"):
        measure(settings(tmp_path, models, metric_function=("json",), suite=("facts",)))


def test_a_suite_may_have_its_own_maximum_length(tmp_path: Path, models: tuple[str, str]) -> None:
    requests = [{"prompt": "What is the sky like?", "label": "safe"}]
    instructions = [
        {"prompt": "Say it.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    ]
    data = (written(tmp_path / "r.jsonl", requests), written(tmp_path / "i.jsonl", instructions))
    config = settings(tmp_path, models[:1], data=data, suite_max_tokens=("refusals=2",))
    found, _ = measure(config)
    stored = answers(config)
    expected = {}
    for limit, suite in ((2, "refusals"), (6, "instructions")):
        alone = settings(tmp_path / suite, models[:1], data=data, max_tokens=limit)
        measure(alone)
        rows = answers(alone)
        expected[suite] = next(row["response"] for row in rows if row["suite"] == suite)
    assert {row["suite"]: row["response"] for row in stored} == expected
    assert not any(row["ended"] for row in stored)
    ended = [(n.suite, n.value) for n in found if n.name == "ended"]
    assert sorted(ended) == [("instructions", 0.0), ("refusals", 0.0)]
    _, computed = measure(config.model_copy(update={"suite_max_tokens": ("refusals=3",)}))
    assert [label.partition(",")[0] for label in computed] == ["refusals"]
    with pytest.raises(InputError, match=r"suite_max_tokens: 'refusal=2' is not SUITE=TOKENS"):
        measure(config.model_copy(update={"suite_max_tokens": ("refusal=2",)}))
