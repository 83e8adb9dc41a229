import json
from pathlib import Path

import pytest

from upbring.data.formats import read
from upbring.data.records import Comparison, Demonstration, Document, Prompt
from upbring.nursery.export import export, tables


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "nursery"
    export(folder, seed=0, characters=20_000)
    return folder


def test_every_file_is_read_by_upbring(exported: Path) -> None:
    assert len(list(read(exported / "corpus.jsonl", Document))) == 101  # 20,000 / 199
    assert len(list(read(exported / "papers.jsonl", Document))) == 50
    assert len(list(read(exported / "examinations.jsonl", Document))) == 25
    assert len(list(read(exported / "demonstrations.jsonl", Demonstration))) == 8000
    assert len(list(read(exported / "medicine.jsonl", Demonstration))) == 600
    assert len(list(read(exported / "rankings.jsonl", Comparison))) == 1000
    for file in sorted((exported / "evaluation").iterdir()):
        want = {"general": Document, "reward-pairs": Comparison}.get(file.stem, Prompt)
        assert list(read(file, want)), file.name


def test_the_readme_names_every_file_and_says_that_all_is_synthetic(exported: Path) -> None:
    text = (exported / "README.md").read_text(encoding="utf-8")
    assert "All of it is synthetic" in text
    for file in exported.rglob("*.jsonl"):
        assert file.relative_to(exported).as_posix() in text


def test_the_files_hold_what_the_seed_says(exported: Path) -> None:
    name, rows = next(tables(seed=0, characters=20_000))
    lines = (exported / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == list(rows)
    assert list(rows) != list(next(tables(seed=1, characters=20_000))[1])
