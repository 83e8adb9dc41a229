from pathlib import Path

import pytest

from upbring.data.chat.template_file import read_template_file
from upbring.errors import InputError


def test_a_template_file_is_read_and_no_file_is_no_template(tmp_path: Path) -> None:
    file = tmp_path / "t.jinja"
    file.write_text("{{ messages }}é", encoding="utf-8")
    assert read_template_file(file) == "{{ messages }}é"
    assert read_template_file(None) is None


def test_a_name_is_answered_with_what_is_expected() -> None:
    with pytest.raises(InputError) as caught:
        read_template_file(Path("chatml"))
    assert str(caught.value) == (
        "chat template chatml: is not a file; give a Jinja file (there are no named templates), or "
        "leave it out to use the model's own"
    )


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "t.jinja"
    file.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match=r"t\.jinja: cannot be read .*; give another file"):
        read_template_file(file)
