"""Settings files of other tools: the settings of one command, without a section."""

from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.settings.methods.sft import SftSettings
from upbring.settings.resolve import resolve


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_file_without_sections_has_the_settings_of_the_command() -> None:
    file = Path("axolotl.yaml")
    file.write_text("base_model: m\ndatasets: [d.jsonl]\nlora_r: 3\nwandb_project:\nlr: 1e-5\n")
    resolved = resolve(SftSettings, section="sft", file=file, flags={"lr": "2e-5"})
    assert resolved.settings.rank == 3
    assert resolved.settings.data == (Path("d.jsonl"),)
    assert resolved.settings.learning_rate == 2e-5
    assert resolved.origins["rank"] == "axolotl.yaml:3"
    assert resolved.origins["learning_rate"] == "flag"


def test_a_file_without_sections_is_checked_key_by_key() -> None:
    file = Path("mine.yaml")
    file.write_text(
        "base_model: m\ndatasets:\n  - path: d.jsonl\n"
        "bnb_4bit_quant_type: fp4\nmax_step: 3\nzzz: 1\n"
    )
    with pytest.raises(InputError) as caught:
        resolve(SftSettings, section="sft", file=file, flags={})
    lines = str(caught.value).splitlines()
    assert lines[0] == ("mine.yaml:2: sft.datasets: a mapping in a list; give a path for each item")
    assert lines[1].startswith("mine.yaml:4: sft.bnb_4bit_quant_type: 4-bit weights are")
    assert lines[2] == "mine.yaml:5: sft.max_step: no such setting; did you mean sft.max_steps?"
    assert lines[3] == "mine.yaml:6: sft.zzz: no such setting; see `upbring sft --help`"
    assert len(lines) == 4


def test_a_setting_next_to_a_section_is_reported_with_its_section() -> None:
    file = Path("settings.yaml")
    file.write_text("lora_r: 3\nsft:\n  model: m\n")
    with pytest.raises(InputError, match="lora_r: not within a command; put it under `sft:`"):
        resolve(SftSettings, section="sft", file=file, flags={})
