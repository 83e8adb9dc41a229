"""The text of any record: the messages of its prompt, and its named responses."""

from upbring.data.read.records import Comparison, Demonstration, Document, Message, Prompt, Record


def prompt_of(record: Record) -> tuple[Message, ...]:
    """Return the messages before the response; a document has none."""
    if isinstance(record, Document):
        return ()
    if isinstance(record, Prompt):
        return record.messages
    if isinstance(record, Demonstration):
        return record.messages[:-1]
    return record.prompt


def responses_of(record: Record) -> list[tuple[str, str]]:
    """Return the name and the text of each response; a document counts as one response."""
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
    """Return the text that identifies a prompt in comparisons; for a document, its whole text.

    System messages are left out, because many prompts share them.
    """
    if isinstance(record, Document):
        return record.text
    return "\n".join(m.content for m in prompt_of(record) if m.role != "system")


def text_of(record: Record) -> str:
    """Return the whole text of the record: the prompt, then the responses."""
    before = [message.content for message in prompt_of(record)]
    return "\n".join([*before, *(text for _, text in responses_of(record))])
