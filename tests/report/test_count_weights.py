from pathlib import Path

import torch
from safetensors.torch import save_file

from upbring.report.count_weights import num_weights


def test_weights_are_counted_from_the_headers_of_all_files(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3, 4), "b": torch.zeros(5)}, tmp_path / "one.safetensors")
    save_file({"c": torch.zeros(2, 2, 2)}, tmp_path / "two.safetensors", {"format": "pt"})
    assert num_weights(tmp_path) == 12 + 5 + 8


def test_unreadable_files_have_no_count(tmp_path: Path) -> None:
    assert num_weights(tmp_path) is None
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 20)  # a header of 1.8e19 bytes
    assert num_weights(tmp_path) is None
    (tmp_path / "x.safetensors").write_bytes((5).to_bytes(8, "little") + b"{nono")
    assert num_weights(tmp_path) is None
