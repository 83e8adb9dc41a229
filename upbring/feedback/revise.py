"""The prompts of a critique round, and the text of its replies (Bai et al. 2022, §3.1).

Excluded: who writes the replies, and which principle is drawn.
"""

from upbring.data.read.records import Message
from upbring.feedback.principles import Principle

Dialogue = tuple[Message, ...]


def critique_prompt(prompt: Dialogue, answer: str, principle: Principle) -> Dialogue:
    """Return the prompt that asks a model for the weaknesses of its answer."""
    return (*prompt, Message("assistant", answer), Message("user", principle.critique_request))


def revision_prompt(prompt: Dialogue, answer: str, critique: str, principle: Principle) -> Dialogue:
    """Return the prompt that asks a model to write its answer again."""
    return (
        *critique_prompt(prompt, answer, principle),
        Message("assistant", critique),
        Message("user", principle.revision_request),
    )


def clean_revision(text: str) -> str:
    r"""Return a revision without the words that introduce it; '' if nothing else is there.

    >>> clean_revision("Revised answer: Paris."), clean_revision("Here is the new answer:\nRome.")
    ('Paris.', 'Rome.')
    >>> clean_revision("It is: Paris.")
    'It is: Paris.'
    """
    stripped = text.replace("\0", "").strip()
    head, colon, rest = stripped.partition(":")
    is_introduction = (
        colon
        and len(head) < MAX_INTRODUCTION
        and any(word in head.lower() for word in ("revis", "rewrit", "new answer", "new version"))
    )
    return rest.strip() if is_introduction else stripped


MAX_INTRODUCTION = 60  # characters before the colon
