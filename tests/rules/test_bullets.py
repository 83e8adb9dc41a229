import pytest

from upbring.rules.bullets import is_list, list_items


@pytest.mark.parametrize("mark", ["-", "*", "+", "•", "1.", "12)"])
def test_every_common_mark_begins_an_item(mark: str) -> None:
    assert list_items(f"Shopping:\n  {mark} milk, eggs \nThat is all.") == ["milk, eggs"]


def test_a_hyphen_inside_a_line_or_without_a_space_is_no_bullet() -> None:
    assert list_items("well-known - yes\n-5 degrees\n3.5 metres") == []


def test_a_list_has_items_only_and_as_many_as_asked_for() -> None:
    text = "- a\n\n- b\n- c\n"
    assert is_list(text)
    assert is_list(text, count=3)
    assert not is_list(text, count=2)
    assert not is_list("Here:\n" + text)
    assert not is_list("")
