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
    asked = (SYSTEM, ASK)
    records = {
        Document("Hi", AT): ((), [("text", "Hi")]),
        Prompt(asked, AT): (asked, []),
        Demonstration((*asked, SAY), AT): (asked, [("assistant", "Ho")]),
        Comparison(asked, ("Ho", "No"), (1.0, 2.0), AT): (
            asked,
            [("rank 1", "Ho"), ("rank 2", "No")],
        ),
        Label(asked, "Ho", is_good=False, origin=AT): (asked, [("bad", "Ho")]),
    }
    for record, (prompt, responses) in records.items():
        assert prompt_of(record) == prompt
        assert responses_of(record) == responses
        assert prompt_text_of(record) == "Hi"  # what the system says is left out
    assert text_of(Demonstration((*asked, SAY), AT)) == "Be kind.\nHi\nHo"
