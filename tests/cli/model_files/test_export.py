from pathlib import Path

import pytest

from tests.commands import QUICK, done, prepare, upbring


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = prepare(tmp_path_factory.mktemp("home"))
    done(folder, "sft", "d.jsonl", "--model", "m", *QUICK, "--name", "a")
    return folder


def test_the_tool_that_loads_it_and_the_largest_difference_are_printed(home: Path) -> None:
    answer = done(home, "export", "runs/a", "--to", "out/mlx", "--as", "mlx", "--dtype", "float16")
    lines = answer.err.splitlines()
    assert lines[0].startswith("float16: rounding the weights changes log-probabilities by ")
    head = "out/mlx: verified with transformers; log-probabilities differ by at most "
    assert lines[-1].startswith(head)
    assert 0 < float(lines[-1].removeprefix(head)) < 1e-5
    assert (home / "out" / "mlx" / "model.safetensors").is_file()


def test_training_can_continue_from_an_export(home: Path) -> None:
    done(home, "export", "runs/a", "--to", "whole")
    done(home, "sft", "d.jsonl", "--model", "whole", *QUICK, "--name", "further")
    outputs = [
        done(
            home,
            "chat",
            model,
            "--prompt",
            "hi",
            "--temperature",
            "0",
            "--max-tokens",
            "5",
            "--threads",
            "1",
            "--dtype",
            "float32",
        ).out
        for model in ("runs/a", "whole")
    ]
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("runs/a", "--to", "m"), "m: already exists; choose another --to"),
        (("runs/none", "--to", "x"), "runs/none: no such directory; "),
        (("runs/a",), "--to: required and not given"),
        (("m", "--to", "x"), "m: was not trained by upbring and needs no export"),
        (("runs/a", "--to", "d.jsonl/x"), "d.jsonl"),
        (("runs/a", "--to", "x", "--shard-size", "5"), "--shard-size: '5' is no size"),
        (("runs/a", "--to", "x", "--as", "classifier"), "runs/a: is not a reward model"),
        (("runs/a", "--to", "x", "--evaluation", "m"), "--evaluation: m has no results of runs/a"),
    ],
)
def test_a_mistake_is_reported_and_nothing_is_written(
    home: Path, words: tuple[str, ...], message: str
) -> None:
    answer = upbring(home, "export", *words)
    assert answer.code == 2
    assert message in answer.err
    assert not (home / "x").exists()


def test_a_base_that_changed_below_its_adapter_is_refused(tmp_path: Path) -> None:
    prepare(tmp_path)
    done(tmp_path, "sft", "d.jsonl", "--model", "m", *QUICK, "--name", "a")
    weights = tmp_path / "m" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    answer = upbring(tmp_path, "export", "runs/a", "--to", "x")
    assert answer.code == 2
    assert "was trained on weights" in answer.err
    assert "restore the original base there" in answer.err
