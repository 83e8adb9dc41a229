"""Errors of `upbring sft`: one message, exit code 2, and no folder is left."""

import json
from pathlib import Path

import pytest

from tests.commands import QUICK, done, prepare, upbring


def lines(path: Path, *rows: object) -> None:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    )


def dialogue(role: str = "assistant", text: str = "blue") -> dict[str, object]:
    return {"messages": [{"role": "user", "content": "sky?"}, {"role": role, "content": text}]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("home"))
    done(folder, "sft", "d.jsonl", "--model", "m", *QUICK, "--name", "a")
    lines(folder / "bad.jsonl", dialogue(), dialogue("bot"), "{", dialogue(text=""), dialogue())
    lines(folder / "pairs.jsonl", *[{"prompt": "p", "chosen": "a", "rejected": "b"}] * 3)
    lines(folder / "empty.jsonl")
    (folder / "unfinished" / "nothing").mkdir(parents=True)
    run = folder / "runs" / "a"
    unfinished = folder / "runs" / "begun"
    unfinished.mkdir()
    (unfinished / "run.json").write_text((run / "run.json").read_text())
    return folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none.jsonl", "--model", "m"), "none.jsonl: "),
        (("empty.jsonl", "--model", "m"), "empty.jsonl: "),
        (("d.jsonl",), "--model: required and not given"),
        (("--model", "m"), "upbring sft: FILE is required; for example: `upbring sft chat.jsonl"),
        (("d.jsonl", "--model", "none"), "none: no such directory"),
        (
            ("d.jsonl", "--model", "runs/begun"),
            "runs/begun: this run has no model yet; finish it with `upbring resume runs/begun`",
        ),
        (
            ("t.jsonl", "--model", "m"),
            "gives documents, not prompt-response pairs; use `upbring pretrain`",
        ),
        (
            ("pairs.jsonl", "--model", "m"),
            "pairs.jsonl: is in the format preference (prompt, chosen, rejected), which gives ",
        ),
        (("d.jsonl", "--model", "m", "--runs", "t.jsonl"), "t.jsonl already exists; move it"),
        (("d.jsonl", "--model", "m", "--name", "a"), "runs/a: already exists, a run that is"),
        (("d.jsonl", "--model", "m", "--name", "a/b"), "--name: 'a/b' is not a valid folder name"),
        (("d.jsonl", "--model", "m", "--format", "nonsense"), "nonsense"),
        (
            ("d.jsonl", "--model", "m", "--target-modules", "q_prj"),
            "target_modules: 'q_prj' is not a linear layer",
        ),
        (("d.jsonl", "--model", "m", "--mix", "d.jsonl"), "mix: 'd.jsonl' is not FILE=WEIGHT"),
        (("d.jsonl", "--model", "m", "--held-out", "none.jsonl"), "none.jsonl: "),
        (
            ("d.jsonl", "--model", "m", "--chat-template", "none.jinja"),
            "chat template none.jinja: is not a file; give a Jinja file",
        ),
        (("d.jsonl", "--model", "m", "--max-length", "3"), "no row to train on"),
        (("d.jsonl", "--model", "m", "--skip-bad", "d.jsonl"), "is the data file itself"),
        (("d.jsonl", "--model", "m", "--prompts", "none.jsonl"), "none.jsonl: "),
        (("d.jsonl", "--model", "m", "--save-total-limit", "1"), "--save-total-limit"),
    ],
)
def test_a_mistake_is_reported_and_no_run_is_created(
    home: Path, words: tuple[str, ...], message: str
) -> None:
    before = sorted((home / "runs").iterdir())
    answer = upbring(home, "sft", *QUICK, *words)
    assert answer.code == 2
    assert message in answer.err
    assert sorted((home / "runs").iterdir()) == before


def test_all_malformed_rows_are_counted_and_each_is_named(home: Path) -> None:
    answer = upbring(home, "sft", "bad.jsonl", "--model", "m", *QUICK)
    assert answer.code == 2
    assert "bad.jsonl:2: " in answer.err
    assert "'bot' is unknown; use system, user, assistant or tool\n" in answer.err
    assert "bad.jsonl:3: row: is not JSON" in answer.err
    assert "bad.jsonl:4: messages[1].content: is empty; fill it or delete the row" in answer.err
    assert answer.err.splitlines()[-1] == (
        "bad.jsonl: 3 of 5 rows are malformed; fix them, or skip them: --skip-bad rejects.jsonl"
    )


def test_malformed_rows_are_skipped_into_a_file_each_time(home: Path) -> None:
    words = ("sft", "bad.jsonl", "--model", "m", *QUICK, "--held-out", "d.jsonl", "--steps", "1")
    for _ in range(2):
        answer = done(home, *words, "--skip-bad", "rejects.jsonl")
        assert "3 of 5 rows are malformed and saved in rejects.jsonl" in answer.err
        rejects = [json.loads(x) for x in (home / "rejects.jsonl").read_text().splitlines()]
        assert [r["line"] for r in rejects] == [2, 3, 4]
        assert {r["file"] for r in rejects} == {"bad.jsonl"}
        (home / "rejects.jsonl").unlink()
    assert upbring(home, *words).code == 2  # a later run that reads the cache is rejected too


def test_a_new_run_has_the_next_number(home: Path) -> None:
    one = done(home, "sft", "d.jsonl", "--model", "m", *QUICK, "--steps", "1", "--runs", "more")
    two = done(home, "sft", "d.jsonl", "--model", "m", *QUICK, "--steps", "1", "--runs", "more")
    assert "more/sft-1: finished" in one.err
    assert "more/sft-2: finished" in two.err


def test_training_that_diverges_has_its_own_exit_code_and_names_the_reason(home: Path) -> None:
    wild = (
        "--learning-rate",
        "1e20",
        "--warmup",
        "0",
        "--max-grad-norm",
        "0",
        "--lr-scheduler",
        "constant",
    )
    answer = upbring(home, "sft", "d.jsonl", "--model", "m", *QUICK, *wild, "--name", "wild")
    assert answer.code == 5
    assert "the step was not taken. Lower learning_rate, or raise warmup" in answer.err


def test_settings_may_come_from_a_file(home: Path) -> None:
    (home / "s.yaml").write_text("sft:\n  model: m\n  data: [d.jsonl]\n  steps: 1\n  rank: 3\n")
    answer = done(home, "sft", "--settings", "s.yaml", "--name", "from-file", "--threads", "1")
    assert "runs/from-file: finished" in answer.err
    assert "rank: 3  # s.yaml:5" in (home / "runs" / "from-file" / "settings.yaml").read_text()
