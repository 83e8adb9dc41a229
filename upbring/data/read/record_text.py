"""The two sides of any record: the messages of its prompt, and its responses with their names."""

from upbring.data.read.records import Comparison, Demonstration, Document, Message, Prompt, Record


def prompt_of(record: Record) -> tuple[Message, ...]:
    """Return the messages that come before the response; a document has none."""
    if isinstance(record, Document):
        return ()
    if isinstance(record, Prompt):
        return record.messages
    if isinstance(record, Demonstration):
        return record.messages[:-1]
    return record.prompt


def responses_of(record: Record) -> list[tuple[str, str]]:
    """Return the name and the text of each response; a document is its own."""
    if isinstance(record, Document):
        return [("text", record.text)]
    if isinstance(record, Prompt):
        return []
    if isinstance(record, Demonstration):
        return [("assistant", record.messages[-1].content)]
    if isinstance(record, Comparison):
        ranked = zip(record.ranks, record.responses, strict=True)
        return [(f"rank {rank:g}", text) for rank, text in ranked]
    return [("good" if record.is_good else "bad", record.response)]


def prompt_text_of(record: Record) -> str:
    """Return the text by which a prompt is known again; what the system says is shared by many.

    A document is known by its text.
    """
    if isinstance(record, Document):
        return record.text
    return "\n".join(m.content for m in prompt_of(record) if m.role != "system")


def text_of(record: Record) -> str:
    """Return all of the record's text, the responses behind the prompt."""
    before = [message.content for message in prompt_of(record)]
    return "\n".join([*before, *(text for _, text in responses_of(record))])
