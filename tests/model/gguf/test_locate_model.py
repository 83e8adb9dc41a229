from pathlib import Path

import pytest

from tests.gguf_models import make_gguf, make_kind
from upbring.model.gguf.locate_model import convert_once, locate_model

pytest.importorskip("gguf")


def test_a_file_is_converted_once_and_again_after_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPBRING_CACHE", str(tmp_path / "cache"))
    file = make_gguf(tmp_path / "m.gguf", make_kind(tmp_path / "m", "qwen2"))
    logged: list[str] = []
    folder = locate_model(str(file), log=logged.append)
    assert folder.parent == tmp_path / "cache" / "gguf"
    assert (folder / "model.safetensors").is_file()
    assert [line.partition(" (")[0] for line in logged] == [f"{file}: is converted to {folder}"]
    assert convert_once(file, log=logged.append) == folder
    assert len(logged) == 1

    make_gguf(file, tmp_path / "m", "float16")
    other = convert_once(file, log=logged.append)
    assert other != folder
    assert folder.is_dir()
    moved = file.rename(tmp_path / "other-name.gguf")
    assert convert_once(moved).name.partition("-")[0] == "other"


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert locate_model(str(make_kind(tmp_path / "m", "llama"))) == tmp_path / "m"
