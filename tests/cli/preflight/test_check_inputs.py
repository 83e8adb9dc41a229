"""Mistakes in paths, formats and names are reported before torch is imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import upbring
from upbring.cli.main import main
from upbring.runs import environment
from upbring.runs.run_folder import Run

PACKAGE_FOLDER = str(Path(upbring.__file__).parents[1])
HEAVY = ("torch", "transformers", "numpy")

# Runs one command line and prints its exit code, its message, and the heavy modules it imported.
PROGRAM = (
    "import contextlib, io, json, sys\n"
    "from upbring.cli.main import main\n"
    "found = []\n"
    "for words in json.loads(sys.argv[1]):\n"
    "    with contextlib.redirect_stderr(io.StringIO()) as text:\n"
    "        code = main(words)\n"
    f"    found.append([code, text.getvalue(), [n for n in {HEAVY!r} if n in sys.modules]])\n"
    "print(json.dumps(found))\n"
)

NO_MODEL = (
    "none: no such directory; give a directory, a run folder, or a Hugging Face Hub id (owner/name)"
)
MISTAKES = [
    ("sft chat.jsonl --settings none.yaml", 2, "none.yaml: cannot be read: no such file"),
    ("sft chat.jsonl --model ./none", 2, "none: no such directory"),
    ("sft none.jsonl --model builtin:sprout", 2, "none.jsonl: "),
    ("sft pairs.jsonl --model builtin:sprout", 2, "pairs.jsonl: is in the format preference"),
    ("sft bad.jsonl --model builtin:sprout", 2, "bad.jsonl:2: "),
    ("sft chat.jsonl --model weights.safetensors", 2, "weights.safetensors: is a file"),
    (
        "sft chat.jsonl --model builtin:sprout --chat-template chatml",
        2,
        "chat template chatml: is not a file; give a Jinja file",
    ),
    ("chat nosuchrun", 2, "nosuchrun: no such directory"),
    ("chat runs/sft-1", 2, "runs/sft-1: no such directory; list the runs with `upbring runs`"),
    ("evaluate runs/nothere", 2, "runs/nothere: no such directory"),
    ("evaluate builtin:sprout --data none.jsonl", 2, "none.jsonl: "),
    ("evaluate builtin:sprout --gold none.jsonl --judge json", 2, "none.jsonl: "),
    ("constitution prompts.jsonl --model ./none --judge none", 2, NO_MODEL),
    ("teacher none.jsonl --model http://127.0.0.1:1/v1", 2, "none.jsonl: "),
    ("best-of-n none.jsonl --model builtin:sprout --judge rules.py:brief", 2, "none.jsonl: "),
    ("resume runs/nothere", 2, "runs/nothere: does not exist"),
    ("resume out/done", 2, "out/done: is finished; its model is in out/done/model"),
    ("resume", 4, "runs: no runs, so there is nothing to resume"),
    ("plan chat.jsonl", 2, "upbring plan: chat.jsonl is not a command; name one first: `upbring"),
    ("plan sft none.jsonl --model builtin:sprout", 2, "none.jsonl: "),
    ("run none.yaml", 2, "none.yaml: cannot be read: no such file"),
    (
        "sft chat.jsonl --model builtin:sprout --output-dir out/done",
        2,
        "out/done: already exists, a run that is finished; choose another --name or --output-dir\n",
    ),
    ("export builtin:sprout --to out", 2, "out: already exists; choose another --to"),
    ("score pairs.jsonl --model builtin:sprout --to out", 2, "out: already exists"),
    ("grpo prompts.jsonl --model builtin:sprout", 2, "no reward is given; give --reward-model RUN"),
    (
        "sft none.jsonl --model ./none --mix absent.jsonl=0.1",
        2,
        f"{NO_MODEL}\nnone.jsonl: ",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data files, a finished run and a file of weights."""
    folder = tmp_path_factory.mktemp("inputs")
    chat = {"prompt": "Hi", "response": "Hello"}
    (folder / "chat.jsonl").write_text(json.dumps(chat) + "\n")
    (folder / "bad.jsonl").write_text(json.dumps(chat) + "\n{not JSON\n")
    (folder / "prompts.jsonl").write_text('{"prompt": "Hi"}\n')
    pair = {"prompt": "Hi", "chosen": "Hello", "rejected": "No"}
    (folder / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    (folder / "weights.safetensors").write_bytes(b"weights")
    Run.create(folder / "out", "sft", name="done").mark_finished()
    return folder


def test_mistakes_are_reported_without_torch(folder: Path) -> None:
    lines = [line.split() for line, _, _ in MISTAKES]
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(lines)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": PACKAGE_FOLDER},
        capture_output=True,
        text=True,
        check=True,
    )
    for (line, code, message), (found_code, text, heavy) in zip(
        MISTAKES, json.loads(found.stdout), strict=True
    ):
        assert (found_code, heavy) == (code, []), f"{line}: {text}"
        assert text.startswith(message), line


def test_a_gpu_is_missed_before_torch_only_where_no_device_file_exists(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(environment, "DEVICES", tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    assert main(["chat", "builtin:sprout", "--device", "cuda"]) == 2
    assert capsys.readouterr().err == (
        "device: cuda is requested and there is no GPU; use cpu or auto\n"
    )
    (tmp_path / "nvidiactl").touch()
    environment.reject_missing_gpu()
