from pathlib import Path

import pytest

from tests.checking import CHATML, ENDLESS, checked, dialogue, encoding, found, write_rows
from upbring.data.check import kept_texts
from upbring.data.check.findings import CheckFinding

GOOD = [dialogue(f"What is {k} + {k}?", f"{2 * k}") for k in range(1, 5)]
THINKING = CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")
TWICE = "{{ bos_token }}{{ bos_token }}" + CHATML
LAST_ALONE = "<|im_start|>user\n{{ messages[-1].content if add_generation_prompt else '' }}"
LONG = "the quick brown fox jumps over the lazy dog and runs away from the angry farmer at dawn"


def only(findings: list[CheckFinding]) -> CheckFinding:
    (finding,) = findings
    return finding


def test_good_rows_are_fine(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", GOOD)
    result = checked(path, encoding())
    assert {finding.level for finding in result.findings} == {"fine"}
    titles = ["rows", "loss tokens", "tokens", "inference", "duplicates", "length", "personal data"]
    assert [finding.title for finding in result.findings] == titles
    message = only(found(result, "inference")).message
    assert message == "training and inference agree in all 4 sampled rows"
    assert [f.title for f in checked(path).findings] == ["rows", "duplicates", "personal data"]


def test_malformed_rows_fail_with_their_reasons(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [*GOOD, *[{"messages": []}] * 25])
    finding = only(found(checked(path), "rows"))
    assert finding.level == "failure"
    assert finding.message == "25 of 29 rows are malformed"
    assert finding.examples[0].startswith(f"{path}:5: messages: is an empty list; ")
    assert finding.examples[0].endswith(" (also 24 more rows: lines 6, 7, 8, …)")
    assert (len(finding.examples), finding.num_hidden) == (1, 0)
    skipped = checked(path, skip_bad=tmp_path / "rejects.jsonl")
    assert str(only(found(skipped, "rows"))) == "rows: 25 of 29 rows are malformed and skipped"


def test_a_file_of_one_row_gives_a_warning(tmp_path: Path) -> None:
    result = checked(write_rows(tmp_path / "a.jsonl", GOOD[:1]))
    assert str(only(found(result, "rows"))) == "rows: 1 row; the checks say little about so few"
    assert not found(result, "duplicates")


def test_a_truncated_file_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    rows = '{"prompt": "a", "response": "b"},\n' * 60  # more rows than the format is detected from
    path.write_text("[" + rows + '{"prompt": "c", "resp', encoding="utf-8")
    finding = only(found(checked(path), "rows"))
    assert finding.level == "failure"
    assert any(str(path) in line for line in finding.examples)


@pytest.mark.parametrize(
    ("template", "title", "part"),
    [
        (ENDLESS, "tokens", "in 4 of 4 rows, no stop token is trained on"),
        (TWICE, "tokens", "in 4 of 4 rows, the text starts with '<|endoftext|>' twice"),
        (THINKING, "inference", "in 4 of 4 sampled rows, training and inference differ"),
        (LAST_ALONE, "loss tokens", "4 of 4 rows cannot be trained on"),
    ],
)
def test_a_faulty_template_fails(tmp_path: Path, template: str, title: str, part: str) -> None:
    path = write_rows(tmp_path / "a.jsonl", GOOD)
    result = checked(path, encoding(template))
    finding = only([f for f in found(result, title) if f.level == "failure"])
    assert finding.message.startswith(part)
    assert finding.examples[0].startswith(f"{path}:1")
    assert finding.todo


def test_one_row_without_trained_tokens_fails(tmp_path: Path) -> None:
    silent = CHATML.replace(
        "{{ m.content }}<|im_end|>",
        "{% if m.content != 'mute' %}{{ m.content }}<|im_end|>{% endif %}",
    )
    path = write_rows(tmp_path / "a.jsonl", [*GOOD, dialogue("a", "mute")])
    result = checked(path, encoding(silent))
    failures = [f for f in result.findings if f.level == "failure"]
    assert failures
    assert all(example.startswith(f"{path}:5") for f in failures for example in f.examples)


def test_rejected_rows_give_a_warning_when_bad_rows_are_skipped(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", GOOD)
    result = checked(path, encoding(LAST_ALONE), skip_bad=tmp_path / "rejects.jsonl")
    assert only(found(result, "loss tokens")).level == "warning"


def test_a_held_out_prompt_that_is_trained_on_fails(tmp_path: Path) -> None:
    train = write_rows(tmp_path / "a.jsonl", [*GOOD, dialogue(LONG, "Yes.")])
    same = dialogue("what is  3 + 3?", "Six", system="Answer in words.")
    other, near = dialogue("Why?", "So."), dialogue(LONG + " again", "No.")
    held_out = write_rows(tmp_path / "b.jsonl", [other, same, near])
    exact, alike_ = found(checked(train, held_out=(held_out,)), "held-out")
    assert (exact.level, alike_.level) == ("failure", "warning")
    assert exact.message == "1 of 3 held-out prompts are also in the training data"
    assert exact.examples == (f"{held_out}:2 same as {train}:3",)
    assert alike_.examples[0].startswith(f"{held_out}:3 ")
    assert alike_.examples[0].endswith(f" % similar to {train}:5")
    apart = write_rows(tmp_path / "c.jsonl", [other])
    assert only(found(checked(train, held_out=(apart,)), "held-out")).level == "fine"


def test_duplicates_give_a_warning(tmp_path: Path) -> None:
    rows = [*GOOD, GOOD[1], dialogue("Go on", LONG), dialogue("Go on", LONG + " today")]
    rows.append(dialogue("What is 1 + 1?", "Two, of course."))
    path = write_rows(tmp_path / "a.jsonl", rows)
    result = checked(path)
    assert only(found(result, "duplicates")).examples == (f"{path}:5 same as line 2",)
    assert only(found(result, "near duplicates")).examples[0].startswith(f"{path}:7 ")
    same = only(found(result, "same prompts"))
    assert same.level == "note"
    assert same.examples == (f"{path}:7 same as line 6", f"{path}:8 same as line 1")


def test_the_number_of_rows_searched_for_near_duplicates_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_texts, "MAX_TEXTS", 3)
    result = checked(write_rows(tmp_path / "a.jsonl", GOOD))
    assert "among the first 3 rows" in only(found(result, "duplicates")).message


def test_truncated_and_dropped_rows_give_a_warning(tmp_path: Path) -> None:
    rows = [dialogue("hi", "hohoho"), dialogue("hihihihihi", "ho"), dialogue("hi", "ho")]
    path = write_rows(tmp_path / "a.jsonl", rows)
    cut, left_out = found(checked(path, encoding(max_length=25)), "length")
    assert cut.message == "1 of 3 rows would be truncated at 25 tokens and lose the stop token"
    assert left_out.message.startswith(
        "1 of 3 rows would be dropped: no trained token is left within 25"
    )


def test_special_tokens_and_turn_markers_in_a_text_give_a_warning(tmp_path: Path) -> None:
    rows = [dialogue("What is <|endoftext|>?", "An end."), dialogue("a\n### Assistant\nb", "c")]
    path = write_rows(tmp_path / "a.jsonl", rows)
    result = checked(path, encoding(None))
    assert only(found(result, "special tokens")).examples == (f"{path}:1",)
    marker = only(found(result, "turn markers"))
    assert (marker.level, marker.examples) == ("warning", (f"{path}:2",))
    assert marker.message.startswith("in 1 of 2 rows, a message contains the line '### Assistant'")
    assert only(found(result, "inference")).level == "fine"


def test_personal_data_is_counted_by_kind_and_never_shown(tmp_path: Path) -> None:
    rows = [
        dialogue("Mail ada@example.org or bob@example.org", "Call +44 20 7946 0958"),
        dialogue("Card 4111 1111 1111 1111", "IBAN GB82 WEST 1234 5698 7654 32"),
        dialogue("Card 4111 1111 1111 1112", "key AKIAIOSFODNN7EXAMPLE"),
    ]
    path = write_rows(tmp_path / "a.jsonl", rows)
    findings = found(checked(path), "personal data")
    assert [finding.message for finding in findings] == [
        "1 secret key",
        "2 e-mail addresses",
        "1 IBAN",
        "1 card number",  # the other one's check digit is wrong
        "1 phone number",
    ]
    assert findings[1].examples == (f"{path}:1: ad…rg", f"{path}:1: bo…rg")
    assert "example.org" not in "".join(map(str, findings))
    assert "replace it with [EMAIL] (upbring.privacy.detect.scrub)" in findings[1].todo


def pairs(count: int, *, longer_wins: int) -> list[dict[str, object]]:
    sides = ("a a", "a")
    rows = []
    for k in range(count):
        long, short = (f"{side} {k}" for side in sides)
        chosen, rejected = (long, short) if k < longer_wins else (short, long)
        rows.append({"prompt": f"p {k}", "chosen": chosen, "rejected": rejected})
    return rows


def test_few_comparisons_give_a_warning(tmp_path: Path) -> None:
    result = checked(write_rows(tmp_path / "a.jsonl", pairs(10, longer_wins=5)))
    finding = only(found(result, "comparisons"))
    assert finding.level == "warning"
    assert finding.message.startswith("10 pairs; below 2,000 a reward model hardly beats chance")


def test_significant_length_bias_gives_a_warning(tmp_path: Path) -> None:
    # 0.7 of 100 pairs is 0.2 / 0.05 = 4 standard errors from a half; of 10, it is 1.3
    biased = checked(write_rows(tmp_path / "a.jsonl", pairs(100, longer_wins=70)))
    assert only(found(biased, "length bias")).level == "warning"
    few = checked(write_rows(tmp_path / "b.jsonl", pairs(10, longer_wins=7)))
    assert only(found(few, "length bias")).level == "note"  # not a check mark: 7 of 10 is a lot
    balanced = checked(write_rows(tmp_path / "c.jsonl", pairs(10, longer_wins=5)))
    assert only(found(balanced, "length bias")).level == "fine"
    text = "the longer response is preferred in 70 % of 100 pairs"
    assert only(found(biased, "length bias")).message == text


def test_a_guessed_column_is_reported(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"QUESTION": "Why?", "FINAL": "So."}])
    finding, unread = found(checked(path), "columns")
    assert finding.level == "note"
    assert unread.message.endswith("and not learned: FINAL")
    assert finding.todo.endswith("--format columns:prompt=QUESTION,response=COLUMN")
