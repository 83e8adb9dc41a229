from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.runs.results import EvalResult, read_results, write_results

SOME = [
    EvalResult("facts", "sft", "accuracy", 0.8, 0.7, 0.9, 100, is_higher_better=True),
    EvalResult("preference", "ppo", "win_rate", None, note="no judge", against="sft"),
]


def test_results_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    assert read_results(tmp_path) == []
    write_results(tmp_path, SOME)
    assert read_results(tmp_path) == SOME


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Invalid JSON"),
        ('{"results": [{"suite": "facts"}]}', "results.0.model: Field required"),
        ('{"results": [], "format": 99}', "has format 99"),
    ],
)
def test_an_invalid_file_is_rejected_with_its_location(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_results(tmp_path)
