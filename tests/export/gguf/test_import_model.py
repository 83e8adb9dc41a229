"""The check of an imported folder."""

from pathlib import Path

import pytest

from tests.gguf_models import make_gguf, make_kind
from upbring.errors import UpbringError
from upbring.export.gguf import import_model as module
from upbring.export.gguf.compare import LlamaCppComparison
from upbring.settings.commands.export import ImportSettings

pytest.importorskip("gguf")


def test_a_folder_whose_tokens_differ_from_llama_cpp_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_gguf(tmp_path / "m.gguf", make_kind(tmp_path / "m", "gemma3"))
    found = LlamaCppComparison(199, "12", 8, 0, None, 256, 0.1, 0.01, 200, 8)
    monkeypatch.setattr(module, "is_installed", lambda: True)
    monkeypatch.setattr(module, "compare_with_llama_cpp", lambda *_: found)
    logged: list[str] = []
    with pytest.raises(UpbringError, match=r"'12' has other tokens in llama\.cpp, so nothing was"):
        module.import_model(ImportSettings(file=file, to=tmp_path / "out"), log=logged.append)
    assert not (tmp_path / "out").exists()
    assert logged[1].startswith("greedy text after 'The capital of France is': '")
    assert logged[2] == found.describe()
