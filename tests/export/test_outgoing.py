"""`export` checks what it wrote, as others load it, before it says that it did."""

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
def test_an_export_is_the_model_that_was_trained(exported: Exported, name: str) -> None:
    run = name.partition("/")[2]
    assert exported.theirs(name) == pytest.approx(exported.ours(run), abs=LOGPROBS)


def test_in_bfloat16_it_is_so_but_for_rounding(exported: Exported) -> None:
    assert exported.theirs("bfloat16/one") == pytest.approx(exported.ours("one"), abs=0.02)
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
def test_what_exists_is_never_overwritten(
    exported: Exported, tmp_path: Path, write: object
) -> None:
    (tmp_path / "there").mkdir()
    more = {"dtype": torch.float32} if write is export_merged else {}
    with pytest.raises(InputError, match="there: exists already; choose another --to"):
        write(  # type: ignore[operator] -- one of the two above
            str(exported.folder / "runs" / "one"), tmp_path / "there", log=silent, **more
        )


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ("full", "is a whole model without an adapter; export it with --kind merged"),
        ("dora", "its adapter is a DoRA, which peft loads as it stands from "),
    ],
)
def test_where_there_is_no_adapter_to_export_it_says_what_to_do(
    exported: Exported, tmp_path: Path, run: str, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        export_adapter(str(exported.folder / "runs" / run), tmp_path / "x", log=silent)


def test_a_foreign_model_needs_no_export(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was not made by upbring and needs no export"):
        export_merged(str(exported.folder / "m"), tmp_path / "x", dtype=torch.float32, log=silent)
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_differs_is_not_kept(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = outgoing.write_network

    def wrong(*given: object, **named: object) -> None:
        given[0].model.network.lm_head.weight.data[7] += 1  # type: ignore[attr-defined] -- a Loaded
        write(*given, **named)  # type: ignore[arg-type] -- passed through

    monkeypatch.setattr(outgoing, "write_network", wrong)
    with pytest.raises(UpbringError, match=r"differs from the run's by .* so it was not kept"):
        export_merged(
            str(exported.folder / "runs" / "one"),
            tmp_path / "x",
            dtype=torch.float32,
            log=silent,
        )
    assert list(tmp_path.iterdir()) == []
