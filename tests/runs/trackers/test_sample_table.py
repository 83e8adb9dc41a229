from upbring.runs.trackers.sample_table import sample_markdown, sample_table


def test_a_sample_without_a_number_has_an_empty_cell() -> None:
    samples = [
        {"prompt": "a", "response": "b", "time": 1.5},
        {"prompt": "c", "response": "", "judge": 2},
    ]
    columns, rows = sample_table(7, samples)
    assert columns == ["step", "prompt", "response", "judge"]
    assert rows == [[7, "a", "b", None], [7, "c", "", 2]]


def test_samples_are_apart_and_an_empty_response_has_its_line() -> None:
    text = sample_markdown([{"prompt": "a\nb", "response": ""}, {"prompt": "c", "response": "d"}])
    assert text == (
        "**prompt**\n\n    a\n    b\n\n**response**\n\n    \n\n---\n\n"
        "**prompt**\n\n    c\n\n**response**\n\n    d"
    )
