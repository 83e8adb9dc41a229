import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from upbring.data.read.formats import read_records
from upbring.data.read.records import Comparison, Demonstration, Document, Prompt
from upbring.rules.lengths import num_words
from upbring.toyworld import wording
from upbring.toyworld.export import BIASES, export, tables


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "toyworld"
    export(folder, seed=0, characters=20_000)
    return folder


def test_every_file_is_read_by_upbring(exported: Path) -> None:
    assert len(list(read_records(exported / "corpus.jsonl", Document))) == 101  # 20,000 / 199
    assert len(list(read_records(exported / "papers.jsonl", Document))) == 50
    assert len(list(read_records(exported / "examinations.jsonl", Document))) == 25
    assert len(list(read_records(exported / "demonstrations.jsonl", Demonstration))) == 8000
    assert len(list(read_records(exported / "medicine.jsonl", Demonstration))) == 600
    ranked = [
        exported / "rankings.jsonl",
        *(exported / f"rankings-{name}.jsonl" for name in BIASES),
    ]
    for file in ranked:
        assert len(list(read_records(file, Comparison))) == 1000
    for file in sorted((exported / "evaluation").iterdir()):
        want = {"general": Document, "reward-pairs": Comparison}.get(file.stem, Prompt)
        assert list(read_records(file, want)), file.name


def test_the_readme_names_every_file_and_that_all_is_synthetic(exported: Path) -> None:
    text = (exported / "README.md").read_text(encoding="utf-8")
    assert "All of it is synthetic" in text
    for file in exported.rglob("*.jsonl"):
        assert file.relative_to(exported).as_posix() in text


def test_the_files_are_a_function_of_the_seed(exported: Path) -> None:
    name, rows = next(tables(seed=0, characters=20_000))
    lines = (exported / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == list(rows)
    assert list(rows) != list(next(tables(seed=1, characters=20_000))[1])


# Hashes of the data that the built-in model was trained on. If they change, the model must be
# trained and all figures must be measured again (`make sprout`, bench/toyworld.py).
SHA256_PREFIXES = {
    "corpus": "cdc320eb4d7eee4a",
    "papers": "1dd73cb94e6aa1f8",
    "examinations": "ded9e6919a0b2b15",
    "demonstrations": "29edf1294ba92383",
    "rankings": "81d2900ebbf29001",
}


@pytest.mark.parametrize("name", SHA256_PREFIXES)
def test_the_data_is_the_same_as_for_the_built_in_model(exported: Path, name: str) -> None:
    assert (
        sha256((exported / f"{name}.jsonl").read_bytes()).hexdigest()[:16] == SHA256_PREFIXES[name]
    )


@pytest.mark.parametrize(
    ("name", "trait"),
    [
        ("likes-length", lambda responses: [num_words(each) for each in responses]),
        ("likes-politeness", lambda responses: [_is_courteous(each) for each in responses]),
        ("prefers-left", lambda responses: range(len(responses), 0, -1)),
    ],
)
def test_each_bias_moves_its_trait_to_the_front_of_the_same_answers(
    exported: Path, name: str, trait: Callable[[list[str]], Sequence[float]]
) -> None:
    plain, swayed = _rows(exported / "rankings.jsonl"), _rows(exported / f"rankings-{name}.jsonl")
    for kind in ("prompt", "responses", "annotator"):
        assert [row[kind] for row in plain] == [row[kind] for row in swayed]
    assert _preferred(swayed, trait) > _preferred(plain, trait) + 0.05


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _is_courteous(response: str) -> bool:
    return any(text in response for text in wording.phrasings("courtesy"))


def _preferred(rows: list[dict[str, Any]], trait: Callable[[list[str]], Sequence[float]]) -> float:
    """Return how often the response with more of a trait is preferred, if the trait differs."""
    wins = total = 0
    for row in rows:
        both = list(zip(trait(row["responses"]), row["ranks"], strict=True))
        for (more, rank), (less, other) in permutations(both, 2):
            wins += more > less and rank < other
            total += more > less
    return wins / total
