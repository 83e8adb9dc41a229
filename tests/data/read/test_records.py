from upbring.data.read.records import Origin


def test_an_origin_is_told_as_editors_open_it() -> None:
    assert str(Origin("chat.jsonl", 17)) == "chat.jsonl:17"
