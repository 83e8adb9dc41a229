import re

import pytest

from upbring.report.svg import COLORS, figure, model_colors, svg


def drawn(name: str, label: str = "hello") -> str:
    with figure(2, 1) as fig:
        axes = fig.add_subplot()
        axes.plot([0, 1], [0, 1], color=COLORS["c1"], marker="o")
        axes.set_title(label)
        return str(svg(fig, name=name, title=f"about {label}"))


def test_an_svg_has_no_external_references() -> None:
    text = drawn("p")
    assert "http" not in text
    assert "xmlns" not in text
    assert "metadata" not in text
    assert "<script" not in text


def test_colors_are_css_variables() -> None:
    text = drawn("p")
    assert "var(--c1)" in text
    assert not [color for color in COLORS.values() if color in text]
    assert set(re.findall(r"#[0-9a-f]{6}", text)) == set()


def test_two_figures_share_no_id() -> None:
    first, second = (set(re.findall(r'\bid="([^"]+)"', drawn(name))) for name in ("a", "b"))
    assert first
    assert not first & second
    text = drawn("a")
    for used in re.findall(r'(?:href="#|url\(#)([^")]+)', text):
        assert f'id="{used}"' in text


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert drawn("p") == drawn("p")


@pytest.mark.parametrize("label", ["<b>&", "$x_1$", "$broken", "猫 🦊"])
def test_any_name_can_be_drawn(label: str) -> None:
    text = drawn("p", label)
    assert "<b>" not in text
    assert label.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in text


def test_text_stays_text_in_the_pages_font() -> None:
    text = drawn("p")
    assert ">hello</text>" in text
    assert "DejaVu" not in text


def test_the_first_model_is_gray_and_colors_repeat() -> None:
    found = model_colors(tuple("abcdefgh"))
    assert found["a"] == "base"
    assert found["b"] == found["g"] == "c1"
    assert model_colors(()) == {}
