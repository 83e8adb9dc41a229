import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checking import CHATML, adapter, dialogue, model, write_rows
from upbring.cli.main import main

ROOT = Path(__file__).parents[2]
GOOD = [dialogue(f"What is {k} + {k}?", f"{2 * k}") for k in range(1, 5)]
THINKING = CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the terminal be 80 columns wide and without color."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def test_good_rows_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(tmp_path / "a.jsonl", GOOD)
    assert main(["check", str(path), "--model", str(model(tmp_path / "base"))]) == 0
    output = capsys.readouterr()
    assert "messages → demonstrations" in output.out
    assert "«6<|im_end|>»" in output.out
    assert output.out.endswith("\nnothing prevents training; no warnings\n")
    assert not output.err


def test_warnings_do_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_rows(tmp_path / "a.jsonl", [*GOOD, GOOD[0]])
    assert main(["check", str(path)]) == 0
    output = capsys.readouterr().out
    assert "! duplicates" in output
    assert "a.jsonl:5 same as line 1" in output
    assert output.endswith("\nnothing prevents training; 1 warning\n")


def test_failures_are_one_error_with_their_locations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "a.jsonl", [*GOOD, {"messages": []}])
    template = tmp_path / "thinking.jinja"
    template.write_text(THINKING, encoding="utf-8", newline="")
    words = ["--model", str(model(tmp_path / "base")), "--chat-template", str(template)]
    assert main(["check", str(path), "--held-out", str(path), *words]) == 2
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert lines[0] == "check: 3 of 8 checks failed; fix them, then check again"
    titles = [line.partition(":")[0] for line in lines[1:] if not line.startswith("  ")]
    assert titles == ["rows", "inference", "held-out"]
    assert lines[2].startswith(f"  {path}:5: messages: is an empty list; ")
    assert f"  {path}:2 same as line 2" in lines
    assert output.out.count("✗") == 3


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.csv", "a.txt"])
def test_every_kind_of_file_is_checked_by_its_path_alone(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"prompt": "What?", "response": "That."}]
    texts = {".csv": "prompt,response\nWhat?,That.\n", ".txt": "What? That."}
    text = texts.get(Path(name).suffix, json.dumps(rows))
    data = text.encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    base = str(model(tmp_path / "base"))
    for words in ([], ["--model", base]):
        assert main(["check", str(path), *words]) == 0
        assert "That." in capsys.readouterr().out


def test_torch_is_not_imported(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", GOOD)
    words = ["check", str(path), "--model", str(model(tmp_path / "base"))]
    script = (
        "import sys; from upbring.cli.main import main; "
        f"assert main({words!r}) == 0; "
        "assert not {'torch', 'transformers', 'scipy'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_template_that_cannot_be_read_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "a.jsonl", GOOD)
    missing = tmp_path / "none.jinja"
    words = ["--model", str(model(tmp_path / "base")), "--chat-template", str(missing)]
    assert main(["check", str(path), *words]) == 2
    output = capsys.readouterr().err
    assert output.startswith(f"chat template {missing}: is not a file; give a Jinja file")
    assert output.count("\n") == 1


def small_context(folder: Path, positions: int) -> Path:
    """Return a model whose context has the given number of positions."""
    base = model(folder)
    config = {"model_type": "llama", "max_position_embeddings": positions, "vocab_size": 400}
    (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return base


def test_the_context_of_the_model_limits_the_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "a.jsonl", [*GOOD, dialogue("Hi", "word " * 100)])
    base = small_context(tmp_path / "base", 60)
    for top in (base, adapter(tmp_path / "top", str(base))):
        assert main(["check", str(path), "--model", str(top)]) == 0
        output = capsys.readouterr().out
        assert "max length  60 tokens, the model's context length" in output
        assert "1 of 5 rows would be truncated at 60 tokens" in output
        assert "lowered" not in output


def test_a_max_length_above_the_context_is_not_lowered_silently(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "a.jsonl", GOOD)
    base = str(small_context(tmp_path / "base", 60))
    assert main(["check", str(path), "--model", base, "--max-length", "500"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "! length max_length 500 is lowered to 60, the model's context length" in output


def test_rows_that_no_training_could_use_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "a.jsonl", [dialogue("word " * 100, "Yes.")])
    assert main(["check", str(path), "--model", str(small_context(tmp_path / "base", 60))]) == 2
    output = capsys.readouterr().err
    assert "length: 1 of 1 row would be dropped: no trained token is left" in output


def test_question_and_answer_are_read_as_demonstrations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "faq.csv"
    path.write_text("Question,Answer\nWhat?,That.\n", encoding="utf-8")
    assert main(["check", str(path)]) == 0
    output = capsys.readouterr().out
    assert "prompt-response (question=Question, answer=Answer) → demonstrations" in output
