import pytest

from tests.checking import CHATML, encoding
from upbring.data.chat import encode_records as module
from upbring.data.read.format_table import RecordType
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

AT = Origin("a.jsonl", 1)
ASK, SAY = Message("user", "Hi"), Message("assistant", "Ho")
REJECTING = "{{ raise_exception('no') if messages[0].content == 'Hm' }}" + CHATML


@pytest.mark.parametrize(
    ("record", "num_branches"),
    [
        (Document("Hi", AT), 1),
        (Prompt((ASK,), AT), 0),
        (Demonstration((ASK, SAY), AT), 1),
        (Comparison((ASK,), ("Ho", "No", "So"), (1.0, 2.0, 3.0), AT), 3),
        (Label((ASK,), "Ho", is_good=False, origin=AT), 1),
    ],
)
def test_every_type_of_record_has_a_tree(record: Record, num_branches: int) -> None:
    tree = encoding().encode(record)
    assert len(tree.branches) == num_branches
    if not isinstance(record, Document):
        assert tree.prompt.tolist() == encoding().chat.encode_prompt((ASK,))


def test_a_document_comes_in_pieces_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_CHARACTERS", 3)
    rows = [(str(k), Document(text, AT)) for k, text in enumerate(("abc", "d", "efghij"))]
    trees = list(encoding(max_length=4).encode_all(Document, rows))
    # Each byte is a token, plus BOS and EOS: 5, 3 and 8 tokens. A piece of 4 starts with the last
    # token of the previous piece.
    assert [tree.key for tree in trees] == ["0", "0", "1", "2", "2", "2"]
    assert [tree.longest_path for tree in trees] == [4, 2, 3, 4, 4, 2]


@pytest.mark.parametrize("kind", [Demonstration, Prompt])
def test_a_row_that_the_template_rejects_is_reported(kind: RecordType) -> None:
    after = (SAY,) if kind is Demonstration else ()
    records = [kind((Message("user", text), *after), AT) for text in ("Hi", "Hm", "Hu")]  # type: ignore[call-arg, arg-type]  # both have messages
    rejected: list[str] = []
    rows = [(str(k), record) for k, record in enumerate(records)]
    trees = encoding(REJECTING).encode_all(
        kind, rows, on_reject=lambda key, _: rejected.append(key)
    )
    assert [tree.key for tree in trees] == ["0", "2"]
    assert rejected == ["1"]
    with pytest.raises(InputError, match="no"):
        list(encoding(REJECTING).encode_all(kind, rows))
