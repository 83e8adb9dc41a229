"""What the Makefile does with folders: it may run again, and deletes nothing but its own."""

import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = (
    *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    *("generation_config.json", "contract.json", "manifest.json"),
)
EMPTY = sha256(b"").hexdigest()  # of the model that the program below makes
# As strict as the program: an existing world or run is an error, and so is a run whose base is
# missing.
UPBRING = f"""#!/bin/sh
set -e
if [ "$1" = toyworld ]; then mkdir "$3"; exit; fi
value() {{ sed -n "s/^  $1: //p" "$2"; }}
case $(value model "$3") in builtin:*) ;; *) cd "$(value model "$3")/model"; cd ../../..;; esac
run=runs/$(value name "$3")
mkdir -p runs; mkdir "$run" "$run/model"; cd "$run/model"
touch {" ".join(FILES)}
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make on this machine")
def test_sprout_is_made_twice_and_the_users_own_folders_stay(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "constraints.txt", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    program = tmp_path / ".venv" / "bin" / "upbring"
    for folder in (program.parent, tmp_path / "made"):
        folder.mkdir(parents=True)
    program.write_text(UPBRING, encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / ".venv" / ".installed").touch()
    own = [tmp_path / "world" / "mine.jsonl", tmp_path / "runs" / "sprout" / "mine.json"]
    for file in own:
        file.parent.mkdir(parents=True)
        file.touch()
    card = tmp_path / "made" / "README.md"
    for text, hint in (
        (EMPTY, "as the card says"),
        ("", "the card has the hash of another machine"),
    ):
        card.write_text(text, encoding="utf-8")
        words = ["make", "sprout", "SPROUT=made"]
        made = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True)
        assert f"sha256 {EMPTY}" in made.stdout
        assert hint in made.stdout
    assert {path.name for path in card.parent.iterdir()} == {*FILES, "README.md"}
    assert all(file.exists() for file in own)


def test_the_card_has_the_hash_of_the_model_next_to_it() -> None:
    folder = ROOT / "upbring" / "builtin" / "sprout"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert sha256((folder / "model.safetensors").read_bytes()).hexdigest() in card
