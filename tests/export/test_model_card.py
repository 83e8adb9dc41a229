"""The card of an export: its code runs, it says what is known, and no path of this machine."""

import contextlib
import io
import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.commands import QUICK, done
from tests.export.exports import Exported, write_export
from upbring.data.chat.tokenizer_files import load_tokenizer
from upbring.export.load_run import load_run, require_contract
from upbring.export.model_card import CardSource, write_export_card

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@pytest.mark.parametrize("name", ["merged-two", "adapter-two"])
def test_the_code_of_a_card_runs(exported: Exported, name: str) -> None:
    folder = exported.folder / "out" / name
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    working = exported.folder if name.startswith("adapter") else folder  # the base is beside it
    code = code.replace('FOLDER = "."', f"FOLDER = {str(folder)!r}")
    printed = io.StringIO()
    with contextlib.chdir(working), contextlib.redirect_stdout(printed):
        exec(compile(code, "card", "exec"), {})  # noqa: S102 -- as a reader would
    assert "Hello!" in printed.getvalue()


@pytest.mark.parametrize(
    ("folder", "library", "loader"),
    [
        ("merged-two", "transformers", "AutoModelForCausalLM.from_pretrained(FOLDER)"),
        ("adapter-two", "peft", "AutoPeftModelForCausalLM.from_pretrained(FOLDER)"),
        ("mlx-two", "mlx", "mlx_lm.generate --model m --adapter-path . --prompt Hello"),
    ],
)
def test_an_export_has_the_card_of_its_run(
    exported: Exported, folder: str, library: str, loader: str
) -> None:
    card = (exported.folder / "out" / folder / "README.md").read_text()
    metadata = yaml.safe_load(card.split("---")[1])
    assert (metadata["library_name"], metadata["base_model"]) == (library, "m")
    assert metadata["tags"] == ["upbring", "sft"]
    for text in ("| held-out nll | ", "| 2. sft | 6 | d.jsonl | 40 | `", "## Limits", loader):
        assert text in card
    assert card.count("## Limits") == 1


@pytest.mark.parametrize("card", [None, b"\xff\xfe", b"no metadata", b"---\n[1\n---\nx\n"])
def test_a_model_without_the_card_of_a_run_gets_its_history(
    exported: Exported, tmp_path: Path, card: bytes | None
) -> None:
    shutil.copytree(exported.folder / "out" / "merged-two", tmp_path / "copy" / "model")
    if card is not None:
        (tmp_path / "copy" / "README.md").write_bytes(card)
    loaded = load_run(str(tmp_path / "copy" / "model"), log=lambda _: None)
    source = CardSource("copy", "mine", "transformers")
    write_export_card(tmp_path, loaded, require_contract(loaded), source=source)
    text = (tmp_path / "README.md").read_text()
    assert "# mine\n\n## Training\n\n| stage" in text
    assert "| 1. sft | 6 | d.jsonl | 40 | `" in text
    assert "## Limits" in text


def test_no_file_of_an_export_names_a_folder_of_this_machine(tmp_path: Path) -> None:
    shutil.copytree(Path("upbring/builtin/sprout").absolute(), tmp_path / "base")
    (tmp_path / "base" / "manifest.json").unlink()
    (tmp_path / "d.jsonl").write_text('{"prompt": "a", "response": "b"}\n' * 8)
    data, base = str(tmp_path / "d.jsonl"), str(tmp_path / "base")
    done(tmp_path, "sft", data, *QUICK[2:], "--steps", "1", "--model", base, "--name", "a")
    for as_ in ("merged", "peft", "mlx-adapter"):
        folder = tmp_path / "out" / as_
        write_export(tmp_path, "a", str(folder), as_=as_)
        for file in folder.iterdir():
            content = file.read_bytes()
            for machine in (tmp_path, Path.home(), Path.cwd()):
                assert len(str(machine)) < 2 or str(machine).encode() not in content, file
        card = (folder / "README.md").read_text()
        assert yaml.safe_load(card.split("---")[1])["license"] == "apache-2.0"
        for name in TOKENIZER_FILES:
            if (tmp_path / "base" / name).is_file():
                assert (folder / name).read_bytes() == (tmp_path / "base" / name).read_bytes()
        assert load_tokenizer(folder).fingerprint == load_tokenizer(tmp_path / "base").fingerprint
