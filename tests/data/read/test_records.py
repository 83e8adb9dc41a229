from upbring.data.read.records import Origin


def test_an_origin_is_shown_as_file_and_line() -> None:
    assert str(Origin("chat.jsonl", 17)) == "chat.jsonl:17"
