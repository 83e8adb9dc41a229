"""What a callback is told about a run."""

from pathlib import Path

from upbring.runs.callback import Callback, RunStart


def test_a_subclass_overrides_what_it_needs() -> None:
    class Names(Callback):
        name = ""

        def on_start(self, run: RunStart) -> None:
            self.name = run.name

    names = Names()
    names.on_start(RunStart(Path("runs/sft-1"), "sft", {}, 3, 0))
    names.on_metrics(1, {"loss": 1.0}, "train")
    names.on_samples(1, [])
    names.on_end("finished")
    assert names.name == "sft-1"
