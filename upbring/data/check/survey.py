"""One reading of a file: what is counted and kept of its rows, in a bounded memory.

A survey judges nothing; `check` makes findings of what it counted.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

from upbring.data.chat.chat import flaws, imitations
from upbring.data.chat.encode_records import Encoding, Keyed
from upbring.data.check.findings import Tally
from upbring.data.check.kept_texts import LONGEST, Texts
from upbring.data.check.length_histogram import Lengths
from upbring.data.check.preview import visible
from upbring.data.read.detect_format import Recognised
from upbring.data.read.format_table import Kind
from upbring.data.read.formats import Reading
from upbring.data.read.record_text import prompt_of, question_of, responses_of, text_of
from upbring.data.read.records import Comparison, Demonstration, Document, Label, Message, Record
from upbring.data.trees.tree import Tree
from upbring.errors import InputError
from upbring.privacy import detect

Purpose = Literal["train", "held_out"]
SAMPLE = 200


@dataclass(slots=True)
class Sample:
    """Between `SAMPLE` and twice as many of the records seen, spread evenly."""

    records: list[Record] = field(default_factory=list)
    every: int = 1

    def add(self, number: int, record: Record) -> None:
        """Keep the record if its turn has come."""
        if number % self.every:
            return
        if isinstance(record, Document) and len(record.text) > LONGEST:
            record = replace(record, text=record.text[:LONGEST])
        self.records.append(record)
        if len(self.records) > 2 * SAMPLE:
            del self.records[1::2]
            self.every *= 2

    @property
    def chosen(self) -> list[Record]:
        """At most `SAMPLE` of them, spread evenly."""
        count = min(SAMPLE, len(self.records))
        return [self.records[i * len(self.records) // count] for i in range(count)]


@dataclass(slots=True)
class Rankings:
    """What is counted of comparisons: how many responses, ties, and whether longer ones win."""

    sizes: Counter[int] = field(default_factory=Counter)
    num_with_ties: int = 0
    num_pairs: int = 0
    num_longer_wins: int = 0
    num_longer_loses: int = 0

    def add(self, ranks: tuple[float, ...], lengths: list[int]) -> None:
        """Count one comparison."""
        self.sizes[len(ranks)] += 1
        self.num_with_ties += len(set(ranks)) < len(ranks)
        for (rank, size), (other_rank, other_size) in combinations(
            zip(ranks, lengths, strict=True), 2
        ):
            if rank != other_rank:
                self.num_pairs += 1
                longer = (size > other_size) - (size < other_size)
                better = 1 if rank < other_rank else -1
                self.num_longer_wins += longer == better
                self.num_longer_loses += longer == -better


@dataclass(eq=False)
class Survey:
    """What was counted of one file."""

    path: Path
    purpose: Purpose
    kind: Kind
    format: Recognised
    encoding: Encoding | None
    texts: Texts  # of all rows of this purpose, this file's among them
    questions: Texts  # the prompts alone
    skip_bad: Path | None = None
    is_guessed: bool = False  # whether the column of the prompt is a guess
    num_rows: int = 0
    num_bad: int = 0
    num_records: int = 0
    unused: Counter[str] = field(default_factory=Counter)
    error: InputError | None = None
    roles: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    labels: Counter[bool] = field(default_factory=Counter)
    rankings: Rankings = field(default_factory=Rankings)
    num_characters: int = 0
    num_tokens: int = 0
    num_learned: int = 0  # of the tokens
    sides: dict[str, Lengths] = field(default_factory=dict)
    personal: dict[str, Tally] = field(default_factory=dict)
    control: Tally = field(default_factory=Tally)
    refused: Tally = field(default_factory=Tally)
    flawed: dict[str, Tally] = field(default_factory=dict)
    imitating: dict[str, Tally] = field(default_factory=dict)
    cut: Tally = field(default_factory=Tally)
    left_out: Tally = field(default_factory=Tally)
    sample: Sample = field(default_factory=Sample)
    num_pieces: int = 0  # of documents that are longer than max_length
    _ranks: dict[int, tuple[float, ...]] = field(default_factory=dict)  # of records being encoded
    _last_key: str = ""

    def __post_init__(self) -> None:
        self._first = len(self.texts)

    @property
    def unit(self) -> str:
        """What lengths are counted in."""
        return "words" if self.encoding is None else "tokens"

    @property
    def num_distinct(self) -> int:
        """Number of prompts, copies not counted."""
        return self.questions.num_distinct(self._first, self._first + self.num_records)

    def where(self, key: str) -> str:
        """Return the file and line of the record with this number."""
        return self.texts.where(self._first + int(key))

    def read(self, reading: Reading[Record]) -> Iterator[None]:
        """Count everything; yields after each row or piece, for whoever shows progress."""
        seen = self._seen(reading)
        if self.encoding is None:
            for _ in seen:
                yield
        else:
            for tree in self.encoding.trees(self.kind, seen, refuse=self._refuse):
                self._weigh(tree)
                yield
        self.num_rows, self.num_bad = reading.num_rows, reading.num_bad
        self.unused = reading.unused

    def _seen(self, reading: Reading[Record]) -> Iterator[Keyed]:
        """Yield the records with their numbers, counted; what ends the reading is kept."""
        try:
            for record in reading:
                self._count(record)
                yield str(self.num_records), record
                self.num_records += 1
        except InputError as error:
            self.error = error

    def _count(self, record: Record) -> None:
        """Count all that needs no tokens."""
        text = text_of(record)
        self.num_characters += len(text)
        self.texts.add(text, record.origin)
        self.questions.add(question_of(record), record.origin)
        self._count_turns(record)
        for one in detect.find(text):
            tally = self.personal.setdefault(one.kind, Tally())
            tally.add(f"{record.origin}: {visible(one.redacted)}")
        self.sample.add(self.num_records, record)
        if self.encoding is not None:
            if self.encoding.tokenizer.control.search(text):
                self.control.add(str(record.origin))
            self._count_imitations(record, self.encoding)
            self._ranks[self.num_records] = _ranks(record)
            return
        spoken = [len(one.split()) for _, one in responses_of(record)]
        asked = sum(len(message.content.split()) for message in prompt_of(record))
        self._measure(asked, spoken, ranks=_ranks(record))

    def _count_turns(self, record: Record) -> None:
        if isinstance(record, Document):
            return
        roles = [message.role for message in prompt_of(record)]
        if isinstance(record, Demonstration | Label):
            roles.append("assistant")
        if isinstance(record, Label):
            self.labels[record.is_good] += 1
        self.roles.update(roles)
        self.turns[len(roles)] += 1

    def _count_imitations(self, record: Record, encoding: Encoding) -> None:
        """Count what looks like a turn of the default template."""
        if self.kind is Document:
            return
        said = [Message("assistant", text) for _, text in responses_of(record)]
        for fault in imitations(encoding.chat, [*prompt_of(record), *said]):
            self.imitating.setdefault(fault, Tally()).add(str(record.origin))

    def _refuse(self, key: str, error: InputError) -> None:
        self._ranks.pop(int(key), None)
        self.refused.add(f"{self.where(key)}: {error}")

    def _weigh(self, tree: Tree) -> None:
        """Count what tokens tell."""
        assert self.encoding is not None, "no tokens without a tokenizer"
        self.num_tokens += tree.num_tokens
        self.num_learned += tree.num_weighted
        if self.kind is Document:
            self._add_piece(tree)
            return
        lengths = [len(branch.tokens) for branch in tree.branches]
        self._measure(len(tree.prompt), lengths, ranks=self._ranks.pop(int(tree.key)))
        for flaw in flaws(self.encoding.chat, tree):
            self.flawed.setdefault(flaw, Tally()).add(self.where(tree.key))
        self._cut(tree, self.encoding.max_length)

    def _add_piece(self, tree: Tree) -> None:
        """Add a document's piece to the document."""
        self.num_pieces += 1
        size = sum(len(branch.tokens) for branch in tree.branches)
        if tree.key == self._last_key:
            self._side("text").values[-1] += size
        else:
            self._side("text").add(len(tree.prompt) + size)
        self._last_key = tree.key

    def _cut(self, tree: Tree, longest: int) -> None:
        """Count the tree if training would cut it, or leave it out as nothing is left to learn."""
        if tree.longest <= longest:
            return
        room = longest - len(tree.prompt)
        left = [bool(branch.weight[: max(0, room)].any()) for branch in tree.branches]
        tally = self.cut if left and all(left) else self.left_out
        tally.add(f"{self.where(tree.key)}: {tree.longest:,} tokens")

    def _measure(self, prompt: int, responses: list[int], *, ranks: tuple[float, ...]) -> None:
        """Keep the lengths of a record's sides; of a ranking, those of its best and its worst."""
        if self.kind is Document:
            self._side("text").add(sum(responses))
            return
        self._side("prompt").add(prompt)
        if ranks:
            self._side("chosen").add(responses[ranks.index(min(ranks))])
            self._side("rejected").add(responses[ranks.index(max(ranks))])
            self.rankings.add(ranks, responses)
        elif responses:
            self._side("response").add(responses[0])
        if responses:
            self._side("together").add(prompt + max(responses))

    def _side(self, name: str) -> Lengths:
        return self.sides.setdefault(name, Lengths())


def _ranks(record: Record) -> tuple[float, ...]:
    return record.ranks if isinstance(record, Comparison) else ()
