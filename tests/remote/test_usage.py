from upbring.remote.usage import Prices, Usage, estimate, read_usage


def test_usages_add_up() -> None:
    assert Usage(1, 2, 3) + Usage(4, 5, 6) == Usage(5, 7, 9)


def test_the_cost_is_shown_only_with_prices() -> None:
    assert Usage(2, 1_000_000, 500_000).text(Prices(input=3, output=8)).endswith("cost 7.00")
    assert "cost" not in Usage(2, 10, 5).text(Prices())


def test_each_text_is_one_call() -> None:
    assert estimate([], max_tokens=9) == Usage()
    assert estimate(["abcd" * 3, "abcd"], max_tokens=2) == Usage(2, 4, 4)


def test_a_usage_of_another_form_counts_as_a_call() -> None:
    assert read_usage({"usage": "many"}) == Usage(1)
    assert read_usage({"usage": {"prompt_tokens": None, "completion_tokens": 4}}) == Usage(1, 0, 4)
