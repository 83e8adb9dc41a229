"""`upbring import`, and GGUF files as models of other commands."""

import shutil
from pathlib import Path

import pytest

import upbring as ub
from tests.commands import QUICK, done, upbring
from tests.gguf_models import make_gguf, make_kind
from tests.small import make_demonstrations
from upbring.export.gguf import import_model as module
from upbring.runs.contract import read_contract

pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    make_gguf(folder / "m.gguf", make_kind(folder / "original", "llama"))
    make_demonstrations(folder / "d.jsonl", 12)
    (folder / "notes.txt").write_text("no model")
    return folder


@pytest.fixture
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as without llama.cpp, whether it is installed here or not."""
    monkeypatch.setattr(module, "is_installed", lambda: False)


@pytest.mark.usefixtures("_alone")
def test_the_file_becomes_a_folder_and_its_text_is_printed(home: Path) -> None:
    answer = done(home, "import", "m.gguf", "--to", "base")
    assert "base: llama, 94,528 weights (stored as 20 F32), tokenizer with its chat" in answer.err
    assert "greedy text after 'What is the capital of France?': '" in answer.err
    assert "not compared with llama.cpp, because xllamacpp is not installed" in answer.err
    names = {path.name for path in (home / "base").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    card = (home / "base" / "README.md").read_text()
    assert "license: apache-2.0" in card
    assert "Converted by upbring from `m.gguf` (SHA-256 " in card
    assert str(home) not in card


@pytest.mark.usefixtures("_alone")
def test_the_function_does_the_same(home: Path) -> None:
    folder = ub.import_gguf(home / "m.gguf", home / "half", dtype="bfloat16")
    assert folder == home / "half"
    assert (folder / "model.safetensors").stat().st_size < 250_000


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nothing.gguf", "--to", "x"), "nothing.gguf: no such file; give the path of a GGUF file"),
        (
            ("notes.txt", "--to", "x"),
            "notes.txt: is no GGUF file; a folder needs no import",
        ),
        (("m.gguf", "--to", "original"), "original: already exists; choose another --to"),
    ],
)
def test_a_wrong_path_is_reported(home: Path, words: tuple[str, ...], expected: str) -> None:
    answer = upbring(home, "import", *words)
    assert (answer.code, answer.err) == (2, f"{expected}\n")
    assert not (home / "x").exists()


def test_a_damaged_file_leaves_nothing(home: Path) -> None:
    (home / "cut.gguf").write_bytes((home / "m.gguf").read_bytes()[:90_000])
    answer = upbring(home, "import", "cut.gguf", "--to", "cut")
    assert answer.code == 2
    assert answer.err.startswith("cut.gguf: is a damaged GGUF file: ")
    assert answer.err.count("\n") == 1
    assert not (home / "cut").exists()
    assert upbring(home, "chat", "cut.gguf", "--prompt", "Hi").code == 2


def test_a_file_is_a_model_for_every_command_and_is_converted_once(home: Path) -> None:
    first = done(home, "sft", "d.jsonl", "--model", "m.gguf", "--name", "tuned", *QUICK)
    assert "m.gguf: is converted to " in first.err
    second = done(home, "chat", "m.gguf", "--prompt", "Hi", "--max-tokens", "3")
    assert "is converted to" not in second.err
    (folder,) = [path for path in (home / "cache" / "gguf").iterdir() if path.is_dir()]
    assert folder.name.startswith("m-")
    contract = read_contract(home / "runs" / "tuned" / "model" / "contract.json")
    assert contract.base == "m.gguf"
    done(home, "chat", "runs/tuned", "--prompt", "Hi", "--max-tokens", "3")

    shutil.move(folder, home / "aside")
    gone = upbring(home, "chat", "runs/tuned", "--prompt", "Hi")
    assert gone.code == 2
    assert f"{folder}: no such directory; it was converted from a GGUF file" in gone.err
    done(home, "import", "m.gguf", "--to", str(folder))
    done(home, "chat", "runs/tuned", "--prompt", "Hi", "--max-tokens", "3")
