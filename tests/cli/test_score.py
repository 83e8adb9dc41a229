"""`upbring score`: from files to lines of scores."""

import json
from pathlib import Path

import pytest

from tests import small
from tests.commands import done, prepare, upbring
from tests.rankings import make_rankings
from tests.rewarded import make_reward

HOW = ("--threads", "1", "--dtype", "float32")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("home"))
    make_rankings(folder / "r.jsonl", 12)
    for seed in (1, 2):
        make_reward(folder / "m", folder / f"r{seed}", seed=seed)
    small.make_model(folder / "n", seed=3)
    make_reward(folder / "n", folder / "other", seed=4)
    return folder


def scores(home: Path, *words: str) -> list[float]:
    out = done(home, "score", "r.jsonl", *words, *HOW).out
    return [json.loads(line)["score"] for line in out.splitlines()]


def test_every_response_has_a_line_in_the_files_order(home: Path) -> None:
    answer = done(home, "score", "r.jsonl", "d.jsonl", "--model", "r1", "--to", "out/s.jsonl", *HOW)
    assert answer.out == ""
    rows = [json.loads(line) for line in (home / "out" / "s.jsonl").read_text().splitlines()]
    inputs = [json.loads(line) for line in (home / "r.jsonl").read_text().splitlines()]
    shown = [json.loads(line) for line in (home / "d.jsonl").read_text().splitlines()]
    texts = [text for row in inputs for text in row["responses"]]
    assert [row["text"] for row in rows] == [
        *texts,
        *(row["messages"][-1]["content"] for row in shown),
    ]
    assert rows[-1]["row"] == f"d.jsonl:{len(shown)}"
    assert f"{len(rows)} responses of 52 rows scored: mean " in answer.err
    assert " pairs as ranked" in answer.err


def test_without_a_file_lines_go_to_stdout(home: Path) -> None:
    rows = done(home, "score", "r.jsonl", "--model", "r1", *HOW).out.splitlines()
    assert rows == (home / "out" / "s.jsonl").read_text().splitlines()[: len(rows)]


def test_an_ensemble_is_one_setting_away(home: Path) -> None:
    one, two, three = (scores(home, "--model", name) for name in ("r1", "r2", "other"))
    more = ("--ensemble", "r2", "--ensemble", "other")
    mean = scores(home, "--model", "r1", *more)
    assert mean == pytest.approx(
        [sum(each) / 3 for each in zip(one, two, three, strict=True)], abs=1e-5
    )
    worst = scores(home, "--model", "r1", *more, "--combine", "worst")
    assert worst == pytest.approx([*map(min, one, two, three)], abs=1e-5)
    cautious = scores(home, "--model", "r1", "--ensemble", "r1", "--combine", "cautious")
    assert cautious == pytest.approx(one, abs=1e-5)  # a model never disagrees with itself


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("r.jsonl", "--model", "m"), "m: has no reward head, so it cannot score"),
        (("r.jsonl", "--model", "r1", "--ensemble", "m"), "m: has no reward head"),
        (
            ("r.jsonl", "--model", "r1", "--to", "d.jsonl"),
            "d.jsonl: already exists; choose another",
        ),
        (("none.jsonl", "--model", "r1"), "none.jsonl: "),
        (("t.jsonl", "--model", "r1"), "t.jsonl: "),
        (("bad.jsonl", "--model", "r1"), "bad.jsonl: 1 of 2 rows is malformed"),
        (("r.jsonl",), "--model: required and not given"),
    ],
)
def test_a_mistake_is_reported_and_nothing_is_written(
    home: Path, words: tuple[str, ...], message: str
) -> None:
    (home / "bad.jsonl").write_text('{"prompt": "p", "response": "r"}\n{"prompt": "p", "respons\n')
    before = (home / "d.jsonl").read_text()
    answer = upbring(home, "score", *words, *HOW)
    assert answer.code == 2
    assert message in answer.err
    assert answer.out == ""
    assert (home / "d.jsonl").read_text() == before
