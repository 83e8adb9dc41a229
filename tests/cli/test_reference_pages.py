from pathlib import Path

import pytest

from upbring.cli.reference_pages import replace_blocks, settings_page, write_pages

ROOT = Path(__file__).parents[2]
MARKS = "<!-- methods -->\n<!-- /methods -->\n"


def test_the_settings_page_is_what_the_code_declares() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == settings_page(), "out of date; run `make docs`"


def test_the_settings_page_has_every_setting_with_range_and_default() -> None:
    page = settings_page()
    assert "| `learning_rate` | a number above 0 | 0.0002 | Peak learning rate. |" in page
    assert "| `tune` | `lora`, `full` | lora |" in page
    assert "### sft: Supervised fine-tuning" in page
    assert "| `learning_rate` | `lr`, `peak_lr` |" in page
    assert "| `sft` | `train`, `finetune`" in page
    assert "`lora_dropout`" not in page  # it sets nothing


def test_blocks_are_replaced_between_their_marks_only() -> None:
    page = "a\n" + MARKS.replace("-->\n", "-->\nOUTDATED\n", 1) + "z"
    text = replace_blocks(page)
    head = "| command | learns from | makes a | |\n|---|---|---|---|\n| [`pretrain`]"
    assert text.startswith("a\n<!-- methods -->\n" + head)
    assert text.endswith(" |\n<!-- /methods -->\nz")
    assert "OUTDATED" not in text
    assert replace_blocks(text) == text
    with pytest.raises(AssertionError, match="0 blocks"):
        replace_blocks("nothing")


def test_the_pages_of_a_checkout_are_written(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(MARKS)
    write_pages(tmp_path)
    assert (tmp_path / "docs" / "settings.md").read_text(encoding="utf-8") == settings_page()
    assert "docs/algorithms/dpo.md" in (tmp_path / "README.md").read_text(encoding="utf-8")
