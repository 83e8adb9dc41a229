from dataclasses import replace
from pathlib import Path

from tests.checking import CHATML, checked, dialogue, encoding, found, write_rows

GOOD = [dialogue(f"What is {k} + {k}?", f"{2 * k}") for k in range(1, 5)]
NO_SYSTEM = CHATML.replace(
    "{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"
)
NO_REASONING = CHATML.replace("{{ m.content }}", "{{ m.content.split('</think>')[-1] }}")


def test_rows_that_are_cut_are_not_said_to_train_a_stop_token(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [*GOOD, dialogue("Hi", "word " * 100)])
    result = checked(path, encoding(max_length=60))
    (length,) = found(result, "length")
    assert length.message == ("1 of 5 rows would be truncated at 60 tokens and lose the stop token")
    (tokens,) = found(result, "tokens")
    assert tokens.message.startswith("every row within 60 tokens trains a stop token")


def test_a_file_of_which_no_row_is_left_fails(tmp_path: Path) -> None:
    long = dialogue("word " * 100, "Yes.")
    path = write_rows(tmp_path / "a.jsonl", [long])
    result = checked(path, encoding(max_length=60))
    (length,) = found(result, "length")
    assert length.level == "failure"
    assert found(result, "loss tokens") == []
    mixed = write_rows(tmp_path / "b.jsonl", [long, GOOD[0]])
    (length,) = found(checked(mixed, encoding(max_length=60)), "length")
    assert length.level == "warning"


def test_prompts_need_room_for_a_response(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"prompt": "word " * 20}, {"prompt": "Hi"}])
    (length,) = found(checked(path, encoding(max_length=160), purpose="ppo"), "length")
    assert length.level == "warning"
    assert "1 of 2 rows would be dropped: a response of 128 tokens does not fit" in length.message


def test_a_max_length_above_the_context_length_is_a_warning(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", GOOD)
    lowered = replace(encoding(max_length=64), context_length=64, lowered_from=2048)
    finding = found(checked(path, lowered), "length")[0]
    assert finding.level == "warning"
    assert finding.message.startswith("max_length 2,048 is lowered to 64, the model's context")


def test_text_that_the_template_leaves_out_is_a_warning(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [*GOOD, dialogue("Hi", "Hello", system="Be kind.")])
    (finding,) = found(checked(path, encoding(NO_SYSTEM)), "template")
    assert finding.level == "warning"
    assert finding.message == (
        "in 1 of 5 sampled rows, the chat template leaves out text of the system message, such "
        "as: Be kind"
    )
    thinking = write_rows(tmp_path / "b.jsonl", [dialogue("Hi", "<think>Greet.</think>Hello")])
    (finding,) = found(checked(thinking, encoding(NO_REASONING, turns="last")), "template")
    assert "of the assistant message, such as: think Greet think" in finding.message
    assert found(checked(path, encoding()), "template") == []


def test_tokens_beyond_the_vocabulary_of_the_model_fail(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", GOOD)
    (finding,) = found(checked(path, replace(encoding(), vocab_size=100)), "vocabulary")
    assert finding.level == "failure"
    assert "and the model has 100 tokens" in finding.message
    size = encoding().tokenizer.size
    assert found(checked(path, replace(encoding(), vocab_size=size)), "vocabulary") == []
