"""Which runs have adapters on the original base."""

from pathlib import Path

import pytest

from tests.commands import done
from tests.export.exports import Exported
from upbring.errors import InputError
from upbring.export.original_base import require_original_base
from upbring.model.load import locate_model_files

FEW = ("--steps", "1", "--batch-size", "2", "--dtype", "float32", "--threads", "1")


def require(folder: Path, run: str) -> None:
    require_original_base(locate_model_files(str(folder / "runs" / run)), f"runs/{run}")


@pytest.mark.parametrize("run", ["one", "two", "dora", "gpt-two"])
def test_adapters_on_a_model_of_another_tool_are_on_the_original_base(
    exported: Exported, run: str
) -> None:
    require(exported.folder, run)


def test_a_stage_that_wrote_whole_weights_is_named(exported: Exported) -> None:
    folder = exported.folder
    done(folder, "sft", "d.jsonl", *FEW, "--model", "runs/stacked", "--name", "later")
    with pytest.raises(InputError, match="'sft' wrote whole weights, because it trained on a DoRA"):
        require(folder, "later")


def test_a_run_from_random_weights_is_an_original_base(exported: Exported) -> None:
    folder = exported.folder
    (folder / "empty").mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / "empty" / name).write_bytes((folder / "m" / name).read_bytes())
    done(folder, "pretrain", "t.jsonl", *FEW, "--model", "empty", "--name", "first")
    done(folder, "sft", "d.jsonl", *FEW, "--model", "runs/first", "--name", "second")
    require(folder, "second")
    done(folder, "pretrain", "t.jsonl", *FEW, "--model", "m", "--tune", "full", "--name", "more")
    done(folder, "sft", "d.jsonl", *FEW, "--model", "runs/more", "--name", "third")
    with pytest.raises(InputError, match=r"stage 'pretrain' trained all weights \(tune: full\)"):
        require(folder, "third")
