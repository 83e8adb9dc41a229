"""The check of an export, in a process that does not import upbring."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.export.exports import Exported
from upbring.errors import ResourceError, UpbringError
from upbring.export import plain_outputs, verify
from upbring.export.export_merged import export_merged
from upbring.export.verify import ExpectedOutputs, check_export, compute_expected


@pytest.fixture(scope="module")
def expected(exported: Exported) -> ExpectedOutputs:
    return compute_expected(exported.load("two"))


def test_an_adapter_is_checked_on_the_original_base(
    exported: Exported, expected: ExpectedOutputs
) -> None:
    out = exported.folder / "out"
    difference = check_export(
        out / "adapter-two",
        expected,
        library="peft",
        base=exported.folder / "m",
        target=Path("two"),
    )
    assert 0 < difference < 1e-5


def test_the_eight_prompts_are_rendered_and_continued_with_random_tokens(
    expected: ExpectedOutputs,
) -> None:
    assert len(expected.sequences) == len(expected.prompts) == len(verify.PROMPTS) == 8
    for sequence, prompt, outputs in zip(
        expected.sequences, expected.prompts, expected.outputs, strict=True
    ):
        assert sequence[: -verify.NUM_RANDOM] == prompt[: verify.MAX_PROMPT]
        assert outputs.shape == (len(sequence) - 1 + 320,)
        assert float(outputs[-320:].exp().sum()) == pytest.approx(1)


def test_an_export_that_differs_is_not_kept(exported: Exported, tmp_path: Path) -> None:
    def damage_and_check(folder: Path, expected: ExpectedOutputs, **named: object) -> float:
        file = folder / "model.safetensors"
        tensors = load_file(file)
        tensors["lm_head.weight"] = tensors["lm_head.weight"].clone()
        tensors["lm_head.weight"][7] += 1
        save_file(tensors, file, metadata={"format": "pt"})
        return check_export(folder, expected, **named)  # type: ignore[arg-type]  # as it was called

    with pytest.raises(UpbringError, match=r"x: the export differs from the run's model by .* in "):
        export_merged(
            str(exported.folder / "runs" / "one"),
            tmp_path / "x",
            dtype=torch.float32,
            log=lambda _: None,
            check=damage_and_check,
        )
    assert list(tmp_path.iterdir()) == []


def outputs_in(folder: Path, expected: ExpectedOutputs, tokens: list[list[int]]) -> Path:
    outputs = {str(i): tensor.contiguous() for i, tensor in enumerate(expected.outputs)}
    save_file(outputs, folder / plain_outputs.TENSORS)
    (folder / plain_outputs.TOKENS).write_text(json.dumps(tokens))
    return folder


def test_other_tokens_of_a_prompt_fail_the_check(tmp_path: Path, expected: ExpectedOutputs) -> None:
    tokens = [list(each) for each in expected.prompts]
    folder = outputs_in(tmp_path, expected, tokens)
    compared = verify.compare(folder, expected, library="peft", target=Path("x"))
    assert compared == 0
    tokens[2][-1] += 1
    outputs_in(tmp_path, expected, tokens)
    with pytest.raises(UpbringError, match=r"x: '2 \+ 2 =' has the tokens .* so the export was"):
        verify.compare(folder, expected, library="peft", target=Path("x"))


def test_a_missing_output_is_no_success(tmp_path: Path, expected: ExpectedOutputs) -> None:
    folder = outputs_in(tmp_path, expected, expected.prompts)
    save_file({"0": torch.full_like(expected.outputs[0], torch.nan)}, folder / "nan")
    outputs = {str(i): each.clone() for i, each in enumerate(expected.outputs)}
    outputs["5"][3] = torch.nan
    save_file(outputs, folder / plain_outputs.TENSORS)
    with pytest.raises(UpbringError, match="differs from the run's model by nan"):
        verify.compare(folder, expected, library="peft", target=Path("x"))


@pytest.mark.parametrize(
    ("program", "kind", "message"),
    [
        ("import sys\nsys.exit('no such layer')", UpbringError, r"cannot load .*\(no such layer\)"),
        ("import os\nos.kill(os.getpid(), 9)", ResourceError, "was killed by signal 9 .* memory"),
    ],
)
def test_a_reader_that_fails_is_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expected: ExpectedOutputs,
    program: str,
    kind: type[UpbringError],
    message: str,
) -> None:
    (tmp_path / "program.py").write_text(program)
    monkeypatch.setattr(plain_outputs, "__file__", str(tmp_path / "program.py"))
    with pytest.raises(kind, match=message):
        check_export(tmp_path, expected, library="peft", target=Path("x"))
