import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.evaluate.scripted import Scripted, user_prompt
from upbring.errors import InputError, Interrupted
from upbring.evaluate.answer_cache import AnswerCache, CacheItem, add_verdicts, responses

T = TypeVar("T")
PROMPTS = ["one", "two", "three", "two"]


def generate_cached(
    journal: AnswerCache, subject: Scripted, prompts: list[str] = PROMPTS
) -> list[str]:
    def make(chosen: list[int]) -> list[dict[str, str]]:
        return [
            {"response": t} for t in subject.generate([user_prompt(prompts[i]) for i in chosen])
        ]

    rows = journal.get_or_compute("facts", subject, [CacheItem(p) for p in prompts], compute=make)
    add_verdicts(rows, [{"accuracy": 1.0}] * len(rows))
    return responses(rows)


def subject(name: str = "sft") -> Scripted:
    return Scripted(name, {p: p.upper() for p in [*PROMPTS, "four"]})


def test_a_second_run_computes_only_missing_answers(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    first = subject()
    assert generate_cached(AnswerCache(path), first) == ["ONE", "TWO", "THREE", "TWO"]
    assert first.num_asked == 4  # repeated items have separate answers
    again = subject()
    assert generate_cached(AnswerCache(path), again, [*PROMPTS, "four"]) == [
        "ONE",
        "TWO",
        "THREE",
        "TWO",
        "FOUR",
    ]
    assert again.num_asked == 1


def test_another_identity_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    generate_cached(AnswerCache(path), subject())
    other = Scripted("sft", dict.fromkeys(PROMPTS, "no"), identity="other weights")
    assert generate_cached(AnswerCache(path), other) == ["no"] * 4


def test_save_writes_the_verdicts(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    journal = AnswerCache(path)
    generate_cached(journal, subject())
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["verdicts"] for row in rows] == [{}] * 4
    journal.save()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["verdicts"] for row in rows] == [{"accuracy": 1.0}] * 4
    wanted = {"suite": "facts", "model": "sft", "prompt": "one", "response": "ONE"}
    assert wanted.items() <= rows[0].items()


def test_a_chunk_is_on_the_disk_before_the_next_is_computed(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    calls = 0

    def poll() -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        generate_cached(AnswerCache(path, poll=poll, chunk_size=3), subject())
    assert path.read_bytes().count(b"\n") == 3
    again = subject()
    assert generate_cached(AnswerCache(path), again) == ["ONE", "TWO", "THREE", "TWO"]
    assert again.num_asked == 1


def test_an_incomplete_last_line_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    generate_cached(AnswerCache(path), subject())
    path.write_bytes(path.read_bytes()[:-20])
    again = subject()
    assert generate_cached(AnswerCache(path), again) == ["ONE", "TWO", "THREE", "TWO"]
    assert again.num_asked == 1
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 4


def test_a_line_of_another_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"prompt": "mine"}\n')
    with pytest.raises(InputError, match=r"answers\.jsonl:1: is not an answer written by `upbring"):
        AnswerCache(path)


def test_without_a_path_answers_are_cached_in_memory() -> None:
    journal, who = AnswerCache(), subject()
    generate_cached(journal, who)
    generate_cached(journal, who)
    journal.save()
    assert who.num_asked == 4


def test_the_progress_counts_the_missing_answers(tmp_path: Path) -> None:
    seen: list[tuple[str, int | None, int]] = []

    def track(items: Iterable[T], *, total: int | None, label: str) -> Iterator[T]:
        for count, item in enumerate(items, start=1):
            yield item
            seen.append((label, total, count))

    cache = AnswerCache(tmp_path / "answers.jsonl", track=track, chunk_size=3)
    generate_cached(cache, subject())
    assert [count for _, _, count in seen] == [1, 2, 3, 4]
    assert {total for _, total, _ in seen} == {4}
    seen.clear()
    generate_cached(cache, subject())
    assert seen == []


def test_rows_that_are_not_used_become_stale_until_they_are_used_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    first = AnswerCache(path)
    generate_cached(first, subject())
    first.save()
    second = AnswerCache(path)
    generate_cached(second, Scripted("sft", dict.fromkeys(PROMPTS, "no"), identity="other weights"))
    second.save(suites={"facts"})
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["response"] for row in rows if not row.get("stale")] == ["no"] * 4
    assert len(rows) == 8
    third, silent = AnswerCache(path), subject()
    generate_cached(third, silent)
    third.save(suites={"other"})
    assert silent.num_asked == 0
    assert not any(json.loads(line).get("stale") for line in path.read_text().splitlines())
