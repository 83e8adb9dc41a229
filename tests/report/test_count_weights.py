from pathlib import Path

import torch
from safetensors.torch import save_file

from upbring.report.count_weights import num_weights


def test_weights_are_counted_from_the_heads_of_all_files(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5)}, tmp_path / "one.safetensors")
    save_file({"c": torch.zeros(2, 2, 2)}, tmp_path / "two.safetensors", {"format": "pt"})
    assert num_weights(tmp_path) == 12 + 5 + 8


def test_what_cannot_be_read_has_no_number(tmp_path: Path) -> None:
    assert num_weights(tmp_path) is None
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 20)  # a head of 1.8e19 bytes
    assert num_weights(tmp_path) is None
    (tmp_path / "x.safetensors").write_bytes((5).to_bytes(8, "little") + b"{nono")
    assert num_weights(tmp_path) is None
