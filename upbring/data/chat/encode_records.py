"""Encodes records of any type as training does, for checks and previews before training."""

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from upbring.data.chat.chat import Chat, Turns, encode_documents, make_chat
from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.read.format_table import RecordType
from upbring.data.read.records import (
    Comparison,
    Demonstration,
    Document,
    Label,
    Message,
    Prompt,
    Record,
)
from upbring.data.trees.tree import Tree, make_tree
from upbring.errors import InputError

RejectHandler = Callable[[str, InputError], None]
KeyedRecord = tuple[str, Record]
_CHUNK_CHARACTERS = 4_000_000


@dataclass(frozen=True, eq=False)
class RecordEncoder:
    """Everything that determines a record's tokens."""

    tokenizer: Tokenizer
    template: str | None  # the user's; None: the model's own, or the default one
    turns: Turns
    max_length: int  # at most the model's context length
    context_length: int | None = None  # of the model, if known
    lowered_from: int | None = None  # the max_length that exceeded the context length
    vocab_size: int | None = None  # of the model, if known

    @functools.cached_property
    def chat(self) -> Chat:
        """The chat template in use; documents do not need one."""
        return make_chat(self.tokenizer, template=self.template)

    def encode(self, record: Record) -> Tree:
        """Return the tree of one record, not truncated; of a long document, the first piece."""
        return next(self.encode_all(type(record), [("", record)]))

    def encode_all(
        self,
        kind: RecordType,
        rows: Iterable[KeyedRecord],
        *,
        on_reject: RejectHandler | None = None,
    ) -> Iterator[Tree]:
        """Yield the trees of keyed records of one type, not truncated; documents in pieces.

        A row that fails is passed to `on_reject` with its key; without `on_reject`, the error is
        raised.
        """
        if kind is Document:
            return self._encode_documents(
                (key, record) for key, record in rows if isinstance(record, Document)
            )
        return dialogue_trees(self.chat, kind, rows, turns=self.turns, on_reject=on_reject)

    def _encode_documents(self, rows: Iterable[tuple[str, Document]]) -> Iterator[Tree]:
        """Yield documents in pieces, chunk by chunk, so that few long ones are in memory."""
        pending: list[tuple[str, str]] = []
        num_characters = 0
        for key, document in rows:
            pending.append((document.text, key))
            num_characters += len(document.text)
            if num_characters >= _CHUNK_CHARACTERS:
                yield from encode_documents(
                    pending, tokenizer=self.tokenizer, max_length=self.max_length
                )
                pending, num_characters = [], 0
        yield from encode_documents(pending, tokenizer=self.tokenizer, max_length=self.max_length)


def dialogue_trees(
    chat: Chat,
    kind: RecordType,
    rows: Iterable[KeyedRecord],
    *,
    turns: Turns = "last",
    on_reject: RejectHandler | None = None,
) -> Iterator[Tree]:
    """Yield the trees of keyed dialogues of one type, not truncated; prompts have no branch."""
    if kind is Prompt:
        return _encode_prompts(chat, rows, on_reject)
    if kind is Comparison:
        ranked = ((key, record) for key, record in rows if isinstance(record, Comparison))
        comparison_rows = ((record.prompt, record.responses, key) for key, record in ranked)
        return chat.encode_comparisons(comparison_rows, on_reject=on_reject)
    dialogues = ((messages_of(record), key) for key, record in rows)
    turns = turns if kind is Demonstration else "last"
    return chat.encode_demonstrations(dialogues, turns=turns, on_reject=on_reject)


def _encode_prompts(
    chat: Chat, rows: Iterable[KeyedRecord], on_reject: RejectHandler | None
) -> Iterator[Tree]:
    for key, record in rows:
        try:
            tokens = chat.encode_prompt(messages_of(record))
        except InputError as error:
            if on_reject is None:
                raise
            on_reject(key, error)
        else:
            yield make_tree(tokens, key=key)


def messages_of(record: Record) -> tuple[Message, ...]:
    """Return the messages of a prompt, a demonstration or a label."""
    if isinstance(record, Label):
        return (*record.prompt, Message("assistant", record.response))
    assert isinstance(record, Demonstration | Prompt), f"{type(record)} is not a single dialogue"
    return record.messages
