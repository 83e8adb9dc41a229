"""What the Makefile does with folders: it may run again, and deletes nothing but its own."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = (
    *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    *("generation_config.json", "contract.json"),
)
# As strict as the program: the world and a run are refused where they are already.
UPBRING = f"""#!/bin/sh
set -e
if [ "$1" = nursery ]; then mkdir "$3"; else
name=$(sed -n 's/^  name: //p' "$3")
mkdir -p runs; mkdir "runs/$name" "runs/$name/model"; cd "runs/$name/model"
touch {" ".join(FILES)}; fi
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
    for _ in range(2):
        subprocess.run(["make", "sprout", "SPROUT=made"], cwd=tmp_path, check=True)
    assert {path.name for path in (tmp_path / "made").iterdir()} == set(FILES)
    assert all(file.exists() for file in own)
