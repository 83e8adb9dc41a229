"""Conversion of the harness's results; with `upbring[eval]` also a custom task."""

import json
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests import small
from tests.commands import upbring
from upbring.errors import InputError
from upbring.evaluate.benchmarks.harness import (
    change_results,
    check_tasks,
    resolve_tasks,
    task_results,
)
from upbring.runs.results import EvalResult

has_harness = pytest.mark.skipif(
    find_spec("lm_eval") is None, reason="lm-evaluation-harness is not installed: upbring[eval]"
)
strange_warnings = pytest.mark.filterwarnings("ignore")  # of the harness's own libraries


def results(right: list[int]) -> dict[str, Any]:
    """Return results in lm_eval's format: multiple choice, filtered generation, perplexity."""
    share = sum(right) / len(right)
    error = math.sqrt(share * (1 - share) / (len(right) - 1))
    return {
        "results": {
            "quiz": {"alias": "quiz", "acc,none": share, "acc_stderr,none": error},
            "sums": {"exact_match,strict": share, "exact_match_stderr,strict": error},
            "text": {"word_perplexity,none": 7.5, "word_perplexity_stderr,none": "N/A"},
        },
        "higher_is_better": {
            "quiz": {"acc": True},
            "sums": {"exact_match": True},
            "text": {"word_perplexity": False},
        },
        "n-samples": {
            name: {"original": 99, "effective": len(right)} for name in ("quiz", "sums", "text")
        },
        "samples": {
            "quiz": [{"doc_id": i, "filter": "none", "acc": r} for i, r in enumerate(right)][::-1],
            "sums": [
                {"doc_id": i, "filter": "strict", "exact_match": r} for i, r in enumerate(right)
            ],
            "text": [
                {"doc_id": i, "filter": "none", "word_perplexity": (-3.0, 2)}
                for i in range(len(right))
            ],
        },
    }


def named(found: list[EvalResult]) -> dict[str, EvalResult]:
    return {number.name: number for number in found}


def test_every_metric_is_a_number_with_its_standard_error() -> None:
    found = named(list(task_results("sft", results([1, 1, 1, 0, 0] * 4))))
    assert set(found) == {"quiz/acc", "sums/exact_match/strict", "text/word_perplexity"}
    acc = found["quiz/acc"]
    assert (acc.suite, acc.model, acc.unit, acc.count) == ("harness", "sft", "share", 20)
    assert acc.value == 0.6
    # Wilson, 12 of 20: (0.6 + 0.0960 ± 0.2357) / 1.1921
    assert (acc.low, acc.high) == pytest.approx((0.3866, 0.7812), abs=1e-3)
    assert acc.is_higher_better
    perplexity = found["text/word_perplexity"]
    assert (perplexity.value, perplexity.low, perplexity.unit) == (7.5, None, "word_perplexity")
    assert perplexity.is_higher_better is False


def test_an_accuracy_of_one_has_an_interval() -> None:
    acc = named(list(task_results("sft", results([1] * 20))))["quiz/acc"]
    # Wilson: 20 / (20 + 1.96²) = 0.839
    assert acc.low == pytest.approx(0.839, abs=1e-3)
    assert acc.high == 1.0


def test_changes_are_taken_item_by_item() -> None:
    before, after = results([0, 0, 0, 0, 1, 1]), results([1, 1, 1, 0, 0, 1])
    found = named(list(change_results({"base": before, "sft": after})))
    assert set(found) == {"quiz/acc_change", "sums/exact_match/strict_change"}
    change = found["quiz/acc_change"]
    assert change.value == pytest.approx(2 / 6)  # three gained, one lost
    assert (change.model, change.against) == ("sft", "base")
    # rows are paired by their number, not by their order; other rows have no pair
    after["samples"]["quiz"].reverse()
    assert named(list(change_results({"base": before, "sft": after})))["quiz/acc_change"] == change
    after["samples"]["quiz"].pop()
    assert "quiz/acc_change" not in named(list(change_results({"b": before, "s": after})))


def test_tasks_are_names_files_and_folders(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml", "_shared.yaml", "notes.txt"):
        (tmp_path / name).touch()
    wished = ("arc_easy, mmlu", str(tmp_path), str(tmp_path / "a.yaml"))
    paths = [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]
    assert resolve_tasks(wished) == ["arc_easy", "mmlu", *paths]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ((), "tasks: the suite harness needs at least one task; add --tasks arc_easy"),
        (("nowhere.yaml",), "tasks: nowhere.yaml does not exist; give a YAML file or a task"),
        (("empty/",), "tasks: empty/ contains no YAML file; give another folder"),
    ],
)
def test_tasks_that_cannot_be_measured_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tasks: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    with pytest.raises(InputError) as caught:
        check_tasks(tasks)
    assert str(caught.value) == message


@pytest.mark.skipif(find_spec("lm_eval") is not None, reason="lm-evaluation-harness is installed")
def test_without_the_extra_the_error_names_it(tmp_path: Path) -> None:
    answer = upbring(
        tmp_path, "evaluate", "builtin:sprout", "--suite", "harness", "--tasks", "arc_easy"
    )
    assert answer.code == 2
    assert answer.err == (
        'suite: harness needs lm-evaluation-harness; run `pip install "upbring[eval]"`\n'
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    small.make_model(tmp_path / "a")
    small.make_model(tmp_path / "b", seed=1)
    rows = [
        {"text": f"The {t} is", "choices": [" red", " green", " blue"], "label": i % 3}
        for i, t in enumerate(small.THINGS)
    ]
    data = tmp_path / "q.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    head = f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\n"
    kinds = {
        "choice": "output_type: multiple_choice\ndoc_to_target: label\ndoc_to_choice: choices\n"
        "metric_list: [{metric: acc}]\n",
        "answer": "output_type: generate_until\ndoc_to_target: '{{choices[label]}}'\n"
        "generation_kwargs: {until: ['.'], max_gen_toks: 4}\n"
        "metric_list: [{metric: exact_match}]\n",
        "whole": "output_type: loglikelihood_rolling\ndoc_to_target: text\n"
        "metric_list: [{metric: bits_per_byte}]\n",
    }
    (tmp_path / "tasks").mkdir()
    for name, text in kinds.items():
        asks = "''" if name == "whole" else "text"
        more = f"task: own_{name}\ntest_split: test\ndoc_to_text: {asks}\n"
        (tmp_path / "tasks" / f"{name}.yaml").write_text(head + more + text)
    return tmp_path


@has_harness
@strange_warnings
def test_custom_tasks_are_measured_and_nothing_is_computed_twice(home: Path) -> None:
    words = ("evaluate", "a", "b", "--suite", "harness", "--tasks", "tasks", "--to", "out")
    quick = ("--threads", "1", "--dtype", "float32", "--limit", "6")
    first = upbring(home, *words, *quick)
    assert first.code == 0, first.err
    found = json.loads((home / "out" / "results.json").read_text())["results"]
    names = {(each["model"], each["name"]) for each in found}
    wanted = {"own_choice/acc", "own_answer/exact_match", "own_whole/bits_per_byte"}
    assert names >= {(model, name) for model in "ab" for name in wanted}
    assert ("b", "own_choice/acc_change") in names
    assert {each["count"] for each in found} == {6}
    answers = (home / "out" / "answers.jsonl").read_text()
    assert [json.loads(line)["model"] for line in answers.splitlines()].count("a") == 18
    second = upbring(home, *words, *quick)
    assert second.code == 0, second.err
    assert (home / "out" / "answers.jsonl").read_text() == answers
    assert json.loads((home / "out" / "results.json").read_text())["results"] == found


@has_harness
@strange_warnings
def test_unknown_tasks_are_named(home: Path) -> None:
    (home / "bad.yaml").write_text("foo: 1\n")
    for name, message in (
        (
            "arc_esay",
            "'arc_esay' is not a task of lm-evaluation-harness; did you mean arc_easy?",
        ),
        ("bad.yaml", "bad.yaml cannot be loaded: "),
    ):
        answer = upbring(home, "evaluate", "a", "--tasks", name)
        assert answer.code == 2
        assert message in answer.err
    answer = upbring(
        home, "evaluate", "http://localhost:1/v1", "--tasks", "tasks", "--to", "remote"
    )
    assert answer.code == 2
    assert "is an endpoint, which returns no log-probabilities of given texts" in answer.err
