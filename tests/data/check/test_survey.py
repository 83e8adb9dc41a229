from collections import Counter
from itertools import pairwise
from pathlib import Path

from tests.checking import dialogue, encoding, write_rows
from upbring.data.chat.encode_records import RecordEncoder
from upbring.data.check import survey as module
from upbring.data.check.kept_texts import MAX_TEXT_CHARACTERS, TextIndex
from upbring.data.check.survey import RankingCounts, RecordSample, Survey
from upbring.data.read.detect_format import detect_format
from upbring.data.read.format_table import RecordType
from upbring.data.read.formats import RecordReader
from upbring.data.read.records import (
    Comparison,
    Demonstration,
    Document,
    Label,
    Origin,
    Prompt,
    Record,
)


def surveyed(
    path: Path,
    kind: RecordType,
    using: RecordEncoder | None = None,
    *,
    texts: TextIndex | None = None,
    prompts: TextIndex | None = None,
) -> Survey:
    reading: RecordReader[Record] = RecordReader(
        path, kind, detected_format=detect_format(path, kind)
    )
    survey = Survey(
        path=path,
        purpose="train",
        kind=kind,
        format=reading.recognised,
        encoder=using,
        texts=texts if texts is not None else TextIndex(),
        prompts=prompts if prompts is not None else TextIndex(),
    )
    for _ in survey.read(reading):
        pass
    return survey


def test_turns_roles_and_words_are_counted(tmp_path: Path) -> None:
    rows = [dialogue("a b c", "d e", system="f"), dialogue("a", "b", "z", "d d d d")]
    survey = surveyed(write_rows(tmp_path / "a.jsonl", rows), Demonstration)
    assert survey.roles == Counter(user=3, assistant=3, system=1)
    assert survey.turns == Counter({3: 1, 4: 1})
    assert (survey.num_rows, survey.num_records, survey.num_distinct) == (2, 2, 2)
    lengths = {side: list(found.values) for side, found in survey.side_lengths.items()}
    assert lengths == {"prompt": [4, 3], "response": [2, 4], "together": [6, 7]}
    assert survey.unit == "words"


def test_tokens_and_loss_tokens_are_counted(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [dialogue("hi", "ho")])
    survey = surveyed(path, Demonstration, encoding())
    # <start> "user\nhi" <end> "\n" <start> "assistant\n": 1 + 7 + 1 + 1 + 1 + 10; "ho" <end>: 3
    assert list(survey.side_lengths["prompt"].values) == [21]
    assert list(survey.side_lengths["response"].values) == [3]
    assert (survey.num_tokens, survey.num_loss_tokens, survey.unit) == (24, 3, "tokens")


def test_every_good_row_is_counted_before_a_malformed_one_is_reported(tmp_path: Path) -> None:
    rows = [dialogue("a", "b"), {"messages": [{"role": "bot", "content": "x"}]}, dialogue("c", "d")]
    for using in (None, encoding()):
        survey = surveyed(write_rows(tmp_path / "a.jsonl", rows), Demonstration, using)
        assert (survey.num_rows, survey.num_malformed, survey.num_records) == (3, 1, 2)
        assert len(survey.side_lengths["together"]) == 2
        assert "a.jsonl:2: messages[0].role: 'bot' is unknown" in str(survey.error)


def test_a_document_has_the_length_of_its_pieces(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"text": "abc"}, {"text": "efghij"}])
    survey = surveyed(path, Document, encoding(max_length=4))
    # each document has two more tokens, for its begin and its end
    assert list(survey.side_lengths["text"].values) == [5, 8]
    assert survey.num_pieces == 5
    assert not survey.truncated.count


def test_long_rows_are_truncated_or_dropped(tmp_path: Path) -> None:
    # 21 prompt tokens, then the response and its stop token
    rows = [dialogue("hi", "ho"), dialogue("hi", "hohoho"), dialogue("hihihi", "ho")]
    survey = surveyed(
        write_rows(tmp_path / "a.jsonl", rows), Demonstration, encoding(max_length=25)
    )
    assert survey.truncated.examples == [f"{tmp_path / 'a.jsonl'}:2: 28 tokens"]
    assert survey.dropped.examples == [f"{tmp_path / 'a.jsonl'}:3: 28 tokens"]


def test_comparisons_are_measured_by_their_best_and_their_worst(tmp_path: Path) -> None:
    row = {"prompt": "a", "responses": ["b b b", "c", "d d"], "ranks": [2, 1, 3]}
    path = write_rows(tmp_path / "a.jsonl", [row])
    survey = surveyed(path, Comparison)
    lengths = {side: list(found.values) for side, found in survey.side_lengths.items()}
    assert lengths == {"prompt": [1], "chosen": [1], "rejected": [2], "together": [4]}
    in_tokens = surveyed(path, Comparison, encoding())
    # one token for the letter, one for the end of the turn
    assert list(in_tokens.side_lengths["chosen"].values) == [2]
    assert in_tokens.rankings == survey.rankings


def test_pairs_are_counted_by_whether_the_longer_response_wins() -> None:
    rankings = RankingCounts()
    rankings.add((1.0, 2.0), [5, 3])
    rankings.add((2.0, 1.0), [5, 3])
    rankings.add((1.0, 2.0, 2.0), [4, 4, 9])
    # pairs: 5 > 3 wins; 5 > 3 loses; 4 = 4 does not count, 9 > 4 loses, and the tie is no pair
    assert rankings == RankingCounts(Counter({2: 2, 3: 1}), 1, 4, 1, 2)


def test_labels_are_counted(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "response": "b", "label": k > 0} for k in range(3)]
    path = write_rows(tmp_path / "a.jsonl", rows)
    for using in (None, encoding()):
        survey = surveyed(path, Label, using)
        assert survey.labels == Counter({True: 2, False: 1})


def test_locations_are_right_in_the_second_of_two_files(tmp_path: Path) -> None:
    texts, prompts = TextIndex(), TextIndex()
    surveyed(
        write_rows(tmp_path / "a.jsonl", [dialogue("a", "b")] * 3),
        Demonstration,
        texts=texts,
        prompts=prompts,
    )
    long = [dialogue("a", "b"), dialogue("a", "b" * 500)]
    path = write_rows(tmp_path / "b.jsonl", long)
    survey = surveyed(path, Demonstration, encoding(), texts=texts, prompts=prompts)
    assert survey.truncated.examples == [f"{path}:2: 521 tokens"]
    assert survey.num_distinct == 1


def test_personal_data_special_tokens_and_turn_markers_are_located(tmp_path: Path) -> None:
    rows = [
        dialogue("Mail ada@example.org", "No."),
        dialogue("What is <|im_end|>?", "An end."),
        dialogue("a\n### Assistant\nb", "c"),
    ]
    path = write_rows(tmp_path / "a.jsonl", rows)
    survey = surveyed(path, Demonstration, encoding())
    assert survey.personal_data["EMAIL"].examples == [f"{path}:1: ad…rg"]
    assert survey.special_token_rows.examples == [f"{path}:2"]
    assert (
        not survey.fake_turn_tallies
    )  # text cannot imitate the turns of a template with special tokens
    (tally,) = surveyed(path, Demonstration, encoding(None)).fake_turn_tallies.values()
    assert tally.examples == [f"{path}:3"]


def test_the_lengths_of_prompts_are_measured(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "a.jsonl", [{"prompt": "hi"}])
    survey = surveyed(path, Prompt, encoding())
    assert {side: list(found.values) for side, found in survey.side_lengths.items()} == {
        "prompt": [21]
    }


def test_a_sample_is_spread_evenly_over_any_number_of_rows() -> None:
    sample = RecordSample()
    for number in range(10_000):
        sample.add(number, Document(str(number), Origin("a.txt", number)))
        assert len(sample.records) <= 2 * module.SAMPLE_SIZE
    chosen = [int(record.text) for record in sample.selected if isinstance(record, Document)]
    assert len(chosen) == module.SAMPLE_SIZE
    gaps = [b - a for a, b in pairwise(chosen)]
    assert chosen[0] == 0
    assert chosen[-1] >= 9_900
    assert max(gaps) <= 2 * min(gaps)


def test_a_sample_keeps_the_beginning_of_a_long_document() -> None:
    sample = RecordSample()
    sample.add(0, Document("a" * (MAX_TEXT_CHARACTERS + 1), Origin("a.txt", 1)))
    assert sample.selected == [Document("a" * MAX_TEXT_CHARACTERS, Origin("a.txt", 1))]
    assert RecordSample().selected == []
