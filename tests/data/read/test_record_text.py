from upbring.data.read.record_text import prompt_of, prompt_text_of, responses_of, text_of
from upbring.data.read.records import (
    Comparison,
    Demonstration,
    Document,
    Label,
    Message,
    Origin,
    Prompt,
)

AT = Origin("a.jsonl", 1)
SYSTEM, ASK, SAY = Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Ho")


def test_every_record_has_a_prompt_and_responses() -> None:
    messages = (SYSTEM, ASK)
    records = {
        Document("Hi", AT): ((), [("text", "Hi")]),
        Prompt(messages, AT): (messages, []),
        Demonstration((*messages, SAY), AT): (messages, [("assistant", "Ho")]),
        Comparison(messages, ("Ho", "No"), (1.0, 2.0), AT): (
            messages,
            [("rank 1", "Ho"), ("rank 2", "No")],
        ),
        Label(messages, "Ho", is_good=False, origin=AT): (messages, [("bad", "Ho")]),
    }
    for record, (prompt, responses) in records.items():
        assert prompt_of(record) == prompt
        assert responses_of(record) == responses
        assert prompt_text_of(record) == "Hi"  # without the system message
    assert text_of(Demonstration((*messages, SAY), AT)) == "Be kind.\nHi\nHo"
