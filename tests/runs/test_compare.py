"""What differs between two runs."""

from dataclasses import replace
from pathlib import Path

from upbring.durable import write_json
from upbring.runs.compare import compare_runs, read_numbers, read_settings
from upbring.runs.contract import Contract, StopToken, TrainingStage
from upbring.runs.metrics import MetricsFile
from upbring.runs.run_folder import DataFile, Run

CONTRACT = Contract(
    base="base",
    base_sha256="aa",
    tokenizer="t",
    template="x",
    stops=(StopToken(0, "<end>"),),
    bos=None,
    eos=0,
    kind="sft",
    tune="lora",
    history=(TrainingStage("sft", (), "", 8),),
)


def make(folder: Path, name: str, *, rate: str, rows: int, contract: Contract, loss: float) -> Run:
    settings = f"sft:\n  model: base\n  learning_rate: {rate}\n  data: [a.jsonl, b.jsonl]\n"
    settings += f"  limit: null\n  name: {name}\n"
    run = Run.create(folder, "sft", name=name, settings=settings)
    run.write_data([DataFile("a.jsonl", f"{rows:064d}", rows, "messages")])
    run.write_contract(contract)
    run.set_num_steps(8)
    with MetricsFile(run.metrics_file) as metrics:
        for step in (1, 2):
            metrics.write(step, {"loss": loss / step, "seconds": 1.0 * rows})
        metrics.write(2, {"nll": loss}, kind="held_out")
    write_json(
        run.environment_file,
        {"threads": rows, "packages": {"torch": "2"}, "peak_memory_bytes": rows * 10**9},
    )
    return run


def test_only_what_differs_is_returned_with_both_values(tmp_path: Path) -> None:
    other = replace(CONTRACT, eos=7, tune="full", history=(*CONTRACT.history, *CONTRACT.history))
    a = make(tmp_path, "a", rate="1e-4", rows=1, contract=CONTRACT, loss=2.0)
    b = make(tmp_path, "b", rate="2e-4", rows=3, contract=other, loss=3.0)
    found = [(d.section, d.name, d.left, d.right) for d in compare_runs(a, b)]
    assert found == [
        ("settings", "learning_rate", "1e-4", "2e-4"),
        ("data", "train a.jsonl", "1 row, sha256 000000000000", "3 rows, sha256 000000000000"),
        ("numbers", "peak memory", "1.0 GB", "3.0 GB"),
        ("numbers", "last loss", "1", "1.5"),
        ("numbers", "held-out nll", "2", "3"),
        ("contract", "eos", "0", "7"),
        ("contract", "history", "sft (8 steps)", "sft (8 steps), sft (8 steps)"),
        ("contract", "tune", "lora", "full"),
        ("environment", "threads", "1", "3"),
    ]
    assert compare_runs(a, a) == []


def test_a_value_that_one_run_lacks_is_none(tmp_path: Path) -> None:
    a = make(tmp_path, "a", rate="1e-4", rows=1, contract=CONTRACT, loss=2.0)
    b = Run.create(tmp_path, "dpo", settings="dpo:\n  model: base\n  beta: 0.1\n")
    found = {(d.section, d.name): (d.left, d.right) for d in compare_runs(a, b)}
    assert found["settings", "method"] == ("sft", "dpo")
    assert found["settings", "beta"] == (None, "0.1")
    assert found["settings", "learning_rate"] == ("1e-4", None)
    assert found["data", "train a.jsonl"][1] is None
    assert found["contract", "tune"] == ("lora", None)
    assert ("settings", "model") not in found


def test_settings_and_numbers_read_as_they_are_written(tmp_path: Path) -> None:
    run = make(tmp_path, "a", rate="1e-4", rows=1, contract=CONTRACT, loss=2.0)
    assert read_settings(run) == {
        "method": "sft",
        "model": "base",
        "learning_rate": "1e-4",
        "data": "a.jsonl, b.jsonl",
        "limit": "unset",
    }
    assert read_numbers(run)["steps"] == "2 of 8"
    run.mark_finished()
    assert read_numbers(run)["duration"] == "0 s"
