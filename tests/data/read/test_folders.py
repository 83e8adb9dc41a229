from pathlib import Path

import pytest

from upbring.data.read.folders import expand_folders
from upbring.errors import InputError


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}", encoding="utf-8")
    return folder


def test_a_folder_is_its_data_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    make(tmp_path, "b.jsonl", "a.jsonl.gz", "README.txt", "LICENSE", ".hidden.jsonl")
    make(tmp_path, "dataset_info.json", "state.json", "sub/c.jsonl")
    file = tmp_path / "sub" / "c.jsonl"
    assert expand_folders([file, tmp_path]) == (
        file,
        tmp_path / "a.jsonl.gz",
        tmp_path / "b.jsonl",
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.csv", "b.jsonl"], "contains .csv and .jsonl files; name those that are meant"),
        (["train.jsonl", "test.jsonl"], r"for evaluation \(train.jsonl and test.jsonl\)"),
        (["data.jsonl", "data-eval.jsonl"], r"for evaluation \(data.jsonl and data-eval.jsonl\)"),
        (["dataset_dict.json", "train/data-0.arrow"], "name a folder in it that has some: .*train"),
        (["picture.png"], "is a folder without data files; name a data file"),
    ],
)
def test_a_folder_that_may_mean_several_things_is_refused(
    tmp_path: Path, names: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        expand_folders([make(tmp_path / "data", *names)])


def test_a_folder_of_evaluation_files_only_may_be_held_out(tmp_path: Path) -> None:
    make(tmp_path, "test-0.jsonl", "test-1.jsonl")
    assert len(expand_folders([tmp_path])) == 2
