import csv
import dataclasses
import gzip
import io
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import trials
from upbring.data.read.format_table import RecordType
from upbring.data.read.formats import read_records
from upbring.data.read.records import (
    Comparison,
    Demonstration,
    Document,
    Label,
    Message,
    Origin,
    Prompt,
    Record,
)
from upbring.errors import InputError

TALK = [
    {"role": "user", "content": "Wer da? 猫"},
    {"role": "assistant", "content": 'Ich — "ich", sagte\ner.'},
]
SHARE = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello, you"}]
HH = "\n\nHuman: Hi\n\nAssistant: "
REPLIES = [{"role": "assistant", "text": t, "rank": k} for k, t in enumerate("ab")]
SAMPLES: dict[str, tuple[RecordType, dict[str, object]]] = {
    "text": (Document, {"text": 'Once, "upon"\na time'}),
    "messages": (Demonstration, {"messages": TALK}),
    "sharegpt": (Demonstration, {"conversations": SHARE, "system": "Be kind."}),
    "alpaca": (Demonstration, {"instruction": "Add, please", "input": "1\n2", "output": "3"}),
    "instances": (Demonstration, {"instruction": "a", "instances": [{"input": "", "output": "b"}]}),
    "prompt-response": (Demonstration, {"prompt": "Hi", "response": "Hello"}),
    "preference": (Comparison, {"prompt": "Hi", "chosen": "Hello", "rejected": "Go"}),
    "preference-implicit": (Comparison, {"chosen": HH + "Hello", "rejected": HH + "Go"}),
    "alpaca-preference": (Comparison, {"instruction": "a", "chosen": "b", "rejected": "c"}),
    "sharegpt-preference": (
        Comparison,
        {"conversations": SHARE[:1], "chosen": SHARE[1], "rejected": {"from": "gpt", "value": "x"}},
    ),
    "labels": (Label, {"prompt": "Hi", "completion": "Hello", "label": True}),
    "ranked": (Comparison, {"prompt": "Hi", "responses": ["a", "b", "c"], "scores": [1, 2, 2]}),
    "tree": (Comparison, {"prompt": {"role": "prompter", "text": "Hi", "replies": REPLIES}}),
    "turns": (Prompt, {"turns": ["Hi", "and?"]}),
    "prompts": (Prompt, {"prompt": "Hi"}),
}
IN_CSV = sorted(SAMPLES.keys() - {"sharegpt-preference", "tree"})


def _jsonl(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _json(rows: list[dict[str, object]]) -> bytes:
    return json.dumps(rows, indent=1).encode()


def _csv(rows: list[dict[str, object]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    for row in rows:
        writer.writerow({k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()})
    return text.getvalue().encode()


WRITERS: dict[str, Callable[[list[dict[str, object]]], bytes]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
}


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv"])
@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_format_works_by_path_alone_in_every_kind_of_file(
    tmp_path: Path, name: str, ending: str
) -> None:
    if ending == ".csv" and name not in IN_CSV:
        pytest.skip("a cell holds text")
    want, row = SAMPLES[name]
    content = WRITERS[ending]([row] * 3)
    (tmp_path / f"plain{ending}").write_bytes(content)
    (tmp_path / f"packed{ending}.gz").write_bytes(gzip.compress(content))
    logged: list[str] = []
    found = read_records(tmp_path / f"plain{ending}", want, log=logged.append)
    records = list(found)
    assert found.format == name
    assert logged == [f"{tmp_path / f'plain{ending}'}: format {name}"]
    assert (len(records), found.num_rows, found.num_malformed) == (3, 3, 0)
    packed = list(read_records(tmp_path / f"packed{ending}.gz", want))
    assert [_content(record) for record in packed] == [_content(record) for record in records]


def _content(record: Record) -> Record:
    return dataclasses.replace(record, origin=Origin("", 0))


def test_records_contain_their_origin(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('\n{"prompt": " a ", "response": "b\\n"}\n')
    assert list(read_records(path, Demonstration)) == [
        Demonstration((Message("user", " a "), Message("assistant", "b\n")), Origin(str(path), 2))
    ]


def test_a_file_can_be_read_again_with_new_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(_jsonl([{"prompt": "a", "response": "b"}] * 4))
    found = read_records(path, Demonstration)
    assert list(found) == list(found)
    assert found.num_rows == 4


def test_preferences_can_be_read_as_other_record_types(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(_jsonl([SAMPLES["preference"][1]] * 2))
    origin = Origin(str(path), 1)
    hi = (Message("user", "Hi"),)
    assert next(iter(read_records(path, Prompt))) == Prompt(hi, origin)
    forced = read_records(path, Demonstration, format="preference")
    assert next(iter(forced)) == Demonstration((*hi, Message("assistant", "Hello")), origin)
    labels = list(read_records(path, Label))
    assert labels[0] == Label(hi, "Hello", is_good=True, origin=origin)
    assert labels[1] == Label(hi, "Go", is_good=False, origin=origin)
    ranked = tmp_path / "r.jsonl"
    ranked.write_bytes(_jsonl([SAMPLES["ranked"][1]]))
    (best,) = read_records(ranked, Demonstration, format="ranked")
    assert best.messages[-1].content == "b"


def test_unused_rows_are_counted_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    pair: dict[str, object] = {"prompt": "a", "chosen": "b", "rejected": "c"}
    path.write_bytes(_jsonl([pair, {**pair, "rejected": "b"}]))
    logged: list[str] = []
    found = read_records(path, Comparison, log=logged.append)
    assert len(list(found)) == 1
    assert found.unused == {"chosen and rejected are the same text": 1}
    assert logged[-1].endswith("1 of 2 rows is not used: chosen and rejected are the same text")
    good = {"prompt": "a", "response": "b", "label": True}
    path.write_bytes(_jsonl([good, {**good, "label": False}]))
    found_good = read_records(path, Demonstration, format="labels")
    assert len(list(found_good)) == 1
    assert found_good.unused == {"its response is labeled bad": 1}


def test_malformed_rows_are_reported_when_all_are_read(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    good = json.dumps({"messages": TALK})
    bad = good.replace('"user"', '"bot"')
    path.write_text(f"{good}\n{bad}\n{good}\n{{\n")
    found = read_records(path, Demonstration)
    records: list[Demonstration] = []
    with pytest.raises(InputError) as caught:
        records.extend(found)
    assert str(caught.value).splitlines()[0] == (
        f"{path}:2: messages[0].role: 'bot' is unknown; use system, user, assistant or tool"
    )
    assert "2 of 4 rows are malformed; fix them, or skip them: --skip-bad" in str(caught.value)
    assert (found.num_rows, found.num_malformed) == (4, 2)


def test_malformed_rows_can_be_skipped(tmp_path: Path) -> None:
    path, bad = tmp_path / "a.jsonl", tmp_path / "bad.jsonl"
    path.write_text('{"text": "a"}\n{"text": ""}\n{"text": "b"}\n')
    logged: list[str] = []
    for _ in range(2):
        found = read_records(path, Document, skip_bad=bad, log=logged.append)
        assert [record.text for record in found] == ["a", "b"]
    assert logged[-1] == f"{path}: 1 of 3 rows is malformed and saved in {bad}"
    (reject,) = [json.loads(line) for line in bad.read_text().splitlines()]
    assert reject == {
        "file": str(path),
        "line": 2,
        "reason": "text: is empty; fill it or delete the row",
        "row": '{"text": ""}',
    }
    with pytest.raises(InputError, match="is the data file itself; name another file"):
        read_records(path, Document, skip_bad=path)


def test_a_file_without_usable_rows_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": ""}\n')
    with pytest.raises(InputError, match="none of its 1 row can be used"):
        list(read_records(path, Document, skip_bad=tmp_path / "bad.jsonl"))


def test_lines_of_text_are_prompts(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Who?\n\nWhat?\n")
    assert [(p.messages[0].content, p.origin.line) for p in read_records(path, Prompt)] == [
        ("Who?", 1),
        ("What?", 3),
    ]
    assert [d.text for d in read_records(path, Document)] == ["Who?\n\nWhat?\n"]


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv"])
def test_many_rows_are_read(tmp_path: Path, ending: str) -> None:
    count = trials(10_000, 50_000)
    row = {"instruction": "Say it again. " * 5, "input": "x " * 20, "output": "It, again. " * 30}
    (tmp_path / f"a{ending}").write_bytes(WRITERS[ending]([dict(row) for _ in range(count)]))
    assert sum(1 for _ in read_records(tmp_path / f"a{ending}", Demonstration)) == count


JUNK = [
    *[
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\r",
        b"\r\n",
        b"\n",
        b"\n\n",
    ],
    *[
        b'"',
        b"'",
        b",",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b"\\",
        b"\\ud800",
        b"\\u0000",
        b"NaN",
        b"1e999",
    ],
    *[
        b"null",
        b"true",
        b"-",
        b"[" * 3000,
        b'{"a":' * 1500,
        b"9" * 5000,
        b'"\\ud83d"',
        b"\x1a",
        b"\f",
    ],
]


def _mutated(content: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        a, b = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        near = min(b, a + rng.choice([1, 2, 8]))
        content = rng.choice(
            [
                content[:a] + rng.choice(JUNK) + content[a:],
                content[:a] + rng.choice(JUNK) + content[near:],
                content[:a] + content[near:],
                content[:a] + content[b:],
                content[:b] + content[a:],
                content[:a] + bytes([rng.randrange(256)]) + content[a + 1 :],
                content[:a],
            ]
        )
    return content


VALUES: list[object] = [None, True, 0, -1.5, 10**400, "", " ", "\0", "\ud800", [], {}, [[]], [None]]
VALUES += ["x" * 1000, {"role": "bot"}, [{"role": "user"}], [{}], ["a", 1], {"a": {"b": []}}, "[1]"]


def _wrong(row: dict[str, object], rng: random.Random) -> dict[str, object]:
    """Return a copy in which one value or name, at any depth, is replaced."""
    copy: dict[str, object] = json.loads(json.dumps(row))
    place: object = copy
    while True:
        inside = list(place.values()) if isinstance(place, dict) else place
        assert isinstance(inside, list)
        deeper = [value for value in inside if isinstance(value, dict | list) and value]
        if not deeper or rng.random() < 0.4:
            break
        place = rng.choice(deeper)
    if isinstance(place, dict):
        key = rng.choice(list(place))
        value = place.pop(key)
        if rng.random() < 0.2:
            place[str(key) + "x"] = value
        elif rng.random() < 0.9:
            place[key] = rng.choice(VALUES)
    elif isinstance(place, list):
        place[rng.randrange(len(place))] = rng.choice(VALUES)
    return copy


def _survives(path: Path, want: RecordType, skip_bad: Path | None) -> None:
    """Check that any file gives records, or an error with its location, and drops no row."""
    found = None
    try:
        found = read_records(path, want, skip_bad=skip_bad)
        num_records = sum(1 for _ in found)
    except InputError as error:
        first = str(error).splitlines()[0]
        assert first.startswith(str(path)), first
        assert "; " in first or "did you mean" in first, first
        assert first.isprintable(), first
        if found is not None and found.num_malformed and skip_bad is None:
            assert re.search(r":\d+: \S.*: .*; ", first), first
    else:
        assert found is not None
        assert num_records == found.num_records > 0
        if skip_bad is None:
            assert found.num_malformed == 0
    if found is not None and skip_bad is not None and found.num_malformed:
        lines = skip_bad.read_text().splitlines()
        assert 0 < len(lines) <= found.num_malformed
        assert all(json.loads(line).keys() == {"file", "line", "reason", "row"} for line in lines)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_no_malformed_file_ends_in_a_traceback_or_drops_a_row(tmp_path: Path, name: str) -> None:
    rng = random.Random(name)
    want, row = SAMPLES[name]
    for trial in range(trials(60, 5000)):
        rows = [_wrong(row, rng) if rng.random() < 0.5 else row for _ in range(rng.randint(1, 5))]
        ending = rng.choice([".jsonl", ".json", ".csv"] if name in IN_CSV else [".jsonl", ".json"])
        if ending == ".csv":
            rows = [row] * len(rows)
        try:
            content = WRITERS[ending](rows)
        except UnicodeEncodeError:  # a lone surrogate, which only an escape can write
            content = _json(rows)
        if rng.random() < 0.7:
            content = _mutated(content, rng)
        if rng.random() < 0.1:
            content = content.decode("utf-8", "replace").encode(rng.choice(["utf-16", "utf-16-le"]))
        if rng.random() < 0.2:
            ending += ".gz"
            content = gzip.compress(content, mtime=0)
            content = _mutated(content, rng) if rng.random() < 0.7 else content
        path = tmp_path / f"{trial}{ending}"
        path.write_bytes(content)
        _survives(path, want, tmp_path / f"bad{trial}" if rng.random() < 0.5 else None)
        path.unlink()


def test_no_malformed_text_file_ends_in_a_traceback(tmp_path: Path) -> None:
    rng = random.Random(1)
    for trial in range(trials(60, 5000)):
        content = _mutated("Once upon\na time.\n\n<|endoftext|>\nÜber — 猫\n".encode(), rng)
        path = tmp_path / f"{trial}.txt"
        path.write_bytes(content)
        _survives(path, rng.choice([Document, Prompt]), None)
