"""Records of any kind to trees, as training makes them, for whoever looks at them first."""

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from upbring.data.chat.chat import Chat, Turns, documents, make_chat
from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.read.format_table import Kind
from upbring.data.read.records import (
    Comparison,
    Demonstration,
    Document,
    Label,
    Message,
    Prompt,
    Record,
)
from upbring.data.trees.tree import Tree, tree
from upbring.errors import InputError

Refuse = Callable[[str, InputError], None]
Keyed = tuple[str, Record]
_CHARACTERS_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class Encoding:
    """What decides which tokens a record becomes."""

    tokenizer: Tokenizer
    template: str | None  # the user's; without one the model's own, or the default one
    turns: Turns
    max_length: int

    @functools.cached_property
    def chat(self) -> Chat:
        """The chat template in use; documents need none."""
        return make_chat(self.tokenizer, template=self.template)

    def tree(self, record: Record) -> Tree:
        """Return the tree of one record, uncut; of a long document, the first piece."""
        return next(self.trees(type(record), [("", record)]))

    def trees(
        self, kind: Kind, rows: Iterable[Keyed], *, refuse: Refuse | None = None
    ) -> Iterator[Tree]:
        """Yield the trees of keyed records of one kind, uncut; a long document's in pieces.

        A row that fails is handed to `refuse` with its key; without it, it raises.
        """
        if kind is Document:
            return self._pieces((key, one) for key, one in rows if isinstance(one, Document))
        return dialogue_trees(self.chat, kind, rows, turns=self.turns, refuse=refuse)

    def _pieces(self, rows: Iterable[tuple[str, Document]]) -> Iterator[Tree]:
        """Yield documents in pieces; few of the long ones are in memory at once."""
        waiting: list[tuple[str, str]] = []
        num_characters = 0
        for key, document in rows:
            waiting.append((document.text, key))
            num_characters += len(document.text)
            if num_characters >= _CHARACTERS_AT_ONCE:
                yield from documents(waiting, tokenizer=self.tokenizer, max_length=self.max_length)
                waiting, num_characters = [], 0
        yield from documents(waiting, tokenizer=self.tokenizer, max_length=self.max_length)


def dialogue_trees(
    chat: Chat,
    kind: Kind,
    rows: Iterable[Keyed],
    *,
    turns: Turns = "last",
    refuse: Refuse | None = None,
) -> Iterator[Tree]:
    """Yield the trees of keyed dialogues of one kind, uncut; a prompt's tree has no branch."""
    if kind is Prompt:
        return _prompts(chat, rows, refuse)
    if kind is Comparison:
        ranked = ((key, one) for key, one in rows if isinstance(one, Comparison))
        sides = ((one.prompt, one.responses, key) for key, one in ranked)
        return chat.comparisons(sides, refuse=refuse)
    dialogues = ((dialogue_of(one), key) for key, one in rows)
    turns = turns if kind is Demonstration else "last"
    return chat.demonstrations(dialogues, turns=turns, refuse=refuse)


def _prompts(chat: Chat, rows: Iterable[Keyed], refuse: Refuse | None) -> Iterator[Tree]:
    for key, record in rows:
        try:
            tokens = chat.prompt(dialogue_of(record))
        except InputError as error:
            if refuse is None:
                raise
            refuse(key, error)
        else:
            yield tree(tokens, key=key)


def dialogue_of(record: Record) -> tuple[Message, ...]:
    """Return the messages of a prompt, a demonstration or a label."""
    if isinstance(record, Label):
        return (*record.prompt, Message("assistant", record.response))
    assert isinstance(record, Demonstration | Prompt), f"{type(record)} has no one dialogue"
    return record.messages
