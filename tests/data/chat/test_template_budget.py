import pytest

from upbring.data.chat.template_budget import (
    BASE_MAX_CHARACTERS,
    BudgetExceededError,
    RenderBudget,
    check_filter,
    check_operator,
    check_text_method,
    check_width,
)


@pytest.mark.parametrize(
    ("operator", "left", "right"),
    [
        ("*", "ab", 51),
        ("*", 51, "ab"),
        ("*", [1], 101),
        ("*", 2**4000, 2**4000),
        ("**", 10, 10_000),
        ("+", "a" * 60, "b" * 60),
        ("%", "%101s" * 99, 1),
        ("%", "%s%s", "a" * 60),
        ("%", "%12345d", 1),
        ("%", "%*d", (5, 1)),
    ],
)
def test_an_operator_with_a_too_large_result_is_rejected(
    operator: str, left: object, right: object
) -> None:
    with pytest.raises(BudgetExceededError):
        check_operator(operator, left, right=right, limit=100)


def test_ordinary_operators_are_allowed() -> None:
    for operator, left, right in [
        ("*", "ab", 50),
        ("*", 3, 4),
        ("*", 0.5, 4),
        ("**", 2, 10),
        ("+", "a" * 50, "b" * 50),
        ("+", 1, 2.5),
        ("%", "%s: %5d", ("x", 3)),
        ("%", 7, 3),
    ]:
        check_operator(operator, left, right=right, limit=100)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("center", (101,)),
        ("replace", ("a", "b" * 20)),
        ("replace", ("", "b" * 20)),
        ("join", (["a"] * 30,)),
        ("join", ({"a": "b" * 101},)),
    ],
)
def test_a_method_with_a_too_large_result_is_rejected(name: str, given: tuple[object, ...]) -> None:
    with pytest.raises(BudgetExceededError):
        check_text_method(name, "a" * 10, arguments=given, limit=100)


def test_a_slow_search_from_the_right_is_rejected() -> None:
    for name in ("strip", "rsplit", "rfind"):
        check_text_method(name, "a" * 10_000, arguments=("b" * 900,), limit=BASE_MAX_CHARACTERS)
        with pytest.raises(BudgetExceededError):
            check_text_method(
                name, "a" * 10_000, arguments=("b" * 1100,), limit=BASE_MAX_CHARACTERS
            )


@pytest.mark.parametrize(
    ("name", "value", "given"),
    [
        ("center", "a", (101,)),
        ("indent", "a\nb", (60,)),
        ("indent", "a\nb", ("  " * 30,)),
        ("join", ["a"] * 30, ("---",)),
        ("format", "%s", ("a" * 101,)),
        ("replace", "aaaaaaaaaa", ("a", "b" * 20)),
        ("round", 1, (1001, "ceil")),
        ("sum", [[1]], ([],)),
        ("tojson", [1], (17,)),
        ("tojson", [1], (" " * 17,)),
        ("batch", [1], (101,)),
        ("trim", "a", ("b" * 1001,)),
    ],
)
def test_a_filter_with_a_too_large_result_is_rejected(
    name: str, value: object, given: tuple[object, ...]
) -> None:
    with pytest.raises(BudgetExceededError):
        check_filter(
            name, value, arguments=given, limit=100 if name != "round" else BASE_MAX_CHARACTERS
        )


def test_a_width_of_five_digits_is_rejected() -> None:
    check_width("{:>9999}")
    with pytest.raises(BudgetExceededError, match="9,999"):
        check_width("{:>10000}")


def test_a_budget_counts_all_items_of_a_list() -> None:
    long = "a" * 900_000
    nested: list[object] = []
    for _ in range(40):
        nested = [long, nested, nested]  # 2^40 texts when rendered, one in memory
    with pytest.raises(BudgetExceededError, match="more than"):
        RenderBudget(0).charge(nested)


def test_a_budget_grows_with_the_dialogue() -> None:
    with pytest.raises(BudgetExceededError, match="1,000,000 characters"):
        RenderBudget(0).charge("a" * 1_000_001)
    RenderBudget(1).charge("a" * 1_000_008)
    budget = RenderBudget(0)
    for _ in range(95):
        budget.charge("a" * 1_000_000)
    with pytest.raises(BudgetExceededError, match="96 MB"):
        budget.charge("a" * 1_000_000)
