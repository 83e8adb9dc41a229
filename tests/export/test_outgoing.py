"""`export` loads the written model in transformers or peft and compares it before success."""

from pathlib import Path

import pytest
import torch

from tests.export.exports import Exported
from tests.tolerances import LOGPROBS
from upbring.errors import InputError, UpbringError
from upbring.export import outgoing
from upbring.export.outgoing import export_adapter, export_merged


def silent(_: str) -> None:
    pass


@pytest.mark.parametrize(
    "name",
    [
        *(f"merged/{run}" for run in ("one", "two", "dora", "full", "gpt-two", "gpt-full")),
        *(f"adapter/{run}" for run in ("one", "two", "gpt-two")),
    ],
)
def test_an_export_has_the_log_probabilities_of_the_run(exported: Exported, name: str) -> None:
    run = name.partition("/")[2]
    assert exported.hf_logprobs(name) == pytest.approx(exported.upbring_logprobs(run), abs=LOGPROBS)


def test_a_bfloat16_export_differs_only_by_rounding(exported: Exported) -> None:
    assert exported.hf_logprobs("bfloat16/one") == pytest.approx(
        exported.upbring_logprobs("one"), abs=0.02
    )
    size = (exported.folder / "out" / "bf" / "model.safetensors").stat().st_size
    whole = (exported.folder / "out" / "merged-one" / "model.safetensors").stat().st_size
    assert size == pytest.approx(whole / 2, rel=0.05)


def test_a_tied_head_is_written_once(exported: Exported) -> None:
    name = "model.safetensors"
    before = (exported.folder / "g" / name).stat().st_size
    for run in ("gpt-two", "gpt-full"):
        after = (exported.folder / "out" / f"merged-{run}" / name).stat().st_size
        assert after == pytest.approx(before, rel=0.02)


@pytest.mark.parametrize("write", [export_adapter, export_merged])
def test_an_existing_folder_is_never_overwritten(
    exported: Exported, tmp_path: Path, write: object
) -> None:
    (tmp_path / "there").mkdir()
    more = {"dtype": torch.float32} if write is export_merged else {}
    with pytest.raises(InputError, match="there: already exists; choose another --to"):
        write(  # type: ignore[operator] -- one of the two above
            str(exported.folder / "runs" / "one"), tmp_path / "there", log=silent, **more
        )


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("full", "is a full model without an adapter; export it with --kind merged"),
        ("dora", "its adapter is a DoRA, which peft loads directly from "),
    ],
)
def test_a_run_without_an_exportable_adapter_is_rejected_with_advice(
    exported: Exported, tmp_path: Path, run: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export_adapter(str(exported.folder / "runs" / run), tmp_path / "x", log=silent)


def test_a_foreign_model_needs_no_export(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was not trained by upbring and needs no export"):
        export_merged(str(exported.folder / "m"), tmp_path / "x", dtype=torch.float32, log=silent)
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_differs_is_not_kept(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = outgoing.write_network

    def wrong(*given: object, **named: object) -> None:
        given[0].model.network.lm_head.weight.data[7] += 1  # type: ignore[attr-defined] -- a LoadedModel
        write(*given, **named)  # type: ignore[arg-type] -- passed through

    monkeypatch.setattr(outgoing, "write_network", wrong)
    with pytest.raises(
        UpbringError, match=r"differs from the run's model by .* so the export was deleted"
    ):
        export_merged(
            str(exported.folder / "runs" / "one"),
            tmp_path / "x",
            dtype=torch.float32,
            log=silent,
        )
    assert list(tmp_path.iterdir()) == []
