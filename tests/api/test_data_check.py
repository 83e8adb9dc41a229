import upbring as ub
from tests.api.quick import demonstrations


def test_a_check_prints_as_the_page_of_the_command() -> None:
    rows: list[dict[str, object]] = [*demonstrations(), {"messages": []}]
    check = ub.check(rows)
    text = str(check)
    assert "messages → demonstrations" in text
    assert "✗ rows" in text
    assert "\x1b" not in text
    assert repr(check) == text
    assert {each.level for each in check.findings} >= {"failure", "fine"}
