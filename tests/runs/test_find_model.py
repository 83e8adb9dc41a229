from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.model.gguf.locate_model import locate_model
from upbring.runs import find_model as module


def model(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("config.json", *names):
        (folder / name).write_text("{}", encoding="utf-8")
    return folder


def refused(name: object) -> str:
    with pytest.raises(InputError) as caught:
        locate_model(str(name))
    return str(caught.value)


def test_a_directory_is_the_model(tmp_path: Path) -> None:
    folder = model(tmp_path / "base", "model.safetensors")
    assert locate_model(str(folder)) == folder


def test_a_run_means_the_model_in_it(tmp_path: Path) -> None:
    run = model(tmp_path / "sft-1", "run.json")
    found = f"{run}: this run has no model yet; finish it with `upbring resume {run}`"
    assert refused(run) == found
    assert locate_model(str(model(run / "model"))) == run / "model"


def test_a_builtin_is_named_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "files", lambda _: tmp_path)
    sprout = model(tmp_path / "builtin" / "sprout")
    model(tmp_path / "builtin" / "other")
    assert locate_model("builtin:sprout") == sprout
    assert refused("builtin:sprot") == (
        "builtin:sprot: no such builtin model; use builtin:other or builtin:sprout"
    )


def test_a_file_is_no_model(tmp_path: Path) -> None:
    file = model(tmp_path / "base") / "config.json"
    give = "give the directory that contains the model, or a .gguf file"
    assert refused(file) == f"{file}: is a file; {give}"


def test_a_missing_directory_is_reported_with_the_nearest_name(tmp_path: Path) -> None:
    folder = model(tmp_path / "sft-17")
    assert refused(tmp_path / "stf-17") == (
        f"{tmp_path / 'stf-17'}: no such directory; did you mean {folder}?"
    )
    other = tmp_path / "completely-different"
    give = "give a directory, a run folder, or a Hugging Face Hub id (owner/name)"
    assert refused(other) == f"{other}: no such directory; {give}"
    nowhere = tmp_path / "none" / "base"
    assert refused(nowhere) == f"{nowhere}: no such directory; {give}"


def test_a_failed_download_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    message = refused("owner/name")
    assert message.startswith(
        "owner/name: no such local directory, and the Hugging Face Hub download failed ("
    )
    assert message.endswith(
        "; check the spelling, or copy the model to this machine and give its directory"
    )


def test_a_message_is_logged_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.chdir(tmp_path)
    messages: list[str] = []
    with pytest.raises(InputError):
        locate_model("owner/name", log=messages.append)
    assert messages == [
        "owner/name: no such local directory, downloading from the Hugging Face Hub"
    ]
