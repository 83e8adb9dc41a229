from upbring.data.read.field_use import FieldUse, TrackedFields, is_metadata, is_verdict


def test_only_fields_whose_value_was_asked_for_are_read() -> None:
    fields = TrackedFields({"a": 1, "b": 2, "c": 3})
    assert "a" in fields
    assert list(fields) == ["a", "b", "c"]
    assert fields["b"] == 2
    assert fields.get("c") == 3
    assert fields.get("d") is None
    assert fields.names_read == {"b", "c"}


def test_filled_fields_that_no_row_was_read_from_are_unread() -> None:
    use = FieldUse()
    use.add({"prompt": "a", "label": 1, "note": "", "answer": None}, {"prompt"})
    use.add({"prompt": "a", "label": 2, "note": [], "answer": "b"}, {"prompt", "answer"})
    use.add({"prompt": "a", "label": 2, "note": None}, {"prompt"})
    assert list(use.unread) == ["label"]
    assert use.unread["label"].num_filled == 3
    assert use.unread["label"].values == {"1": 1, "2": 2}


def test_keys_of_turns_are_counted_too() -> None:
    use = FieldUse()
    turns = [
        {"role": "user", "content": "a", "name": None},
        {"role": "assistant", "content": "b", "reasoning_content": "c"},
    ]
    use.add({"messages": turns}, {"messages"})
    assert list(use.unread) == ["messages[].reasoning_content"]


def test_values_are_kept_up_to_a_limit() -> None:
    use = FieldUse()
    for k in range(50):
        use.add({"label": k, "text": "x" * 100, "list": [k]}, set())
    assert len(use.unread["label"].values) == 6
    assert all(field.has_other_values for field in use.unread.values())


def test_names_tell_verdicts_and_metadata() -> None:
    assert all(map(is_verdict, ["label", "winner", "Preferred", "is_correct", "rating"]))
    assert not any(map(is_verdict, ["reasoning", "context", "id"]))
    assert all(map(is_metadata, ["id", "question_id", "source", "created_at", "BehaviorID"]))
    assert not any(map(is_metadata, ["context", "images", "messages[].reasoning", "label"]))
