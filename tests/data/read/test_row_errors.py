from upbring.data.read.row_errors import RowError


def test_a_problem_is_reported_in_three_parts() -> None:
    assert str(RowError("text", "is empty", "fill it")) == "text: is empty; fill it"
