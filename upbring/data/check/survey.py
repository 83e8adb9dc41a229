"""Count what a file contains in one pass, with bounded memory.

A survey only counts; `assess` turns the counts into findings.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

from upbring.data.chat.dialogue_problems import fake_turn_problems, token_problems
from upbring.data.chat.encode_records import KeyedRecord, RecordEncoder
from upbring.data.check.findings import ExampleTally
from upbring.data.check.kept_texts import MAX_TEXT_CHARACTERS, TextIndex
from upbring.data.check.length_histogram import Lengths
from upbring.data.check.preview import escape_terminal
from upbring.data.check.soft_label_counts import SoftLabelCounts
from upbring.data.check.unknown_text import UnknownText
from upbring.data.read.detect_format import DetectedFormat
from upbring.data.read.field_use import UnreadField
from upbring.data.read.format_table import RecordType
from upbring.data.read.formats import RecordReader
from upbring.data.read.record_text import prompt_of, prompt_text_of, responses_of, text_of
from upbring.data.read.records import (
    Comparison,
    Demonstration,
    Document,
    Label,
    Message,
    Prompt,
    Record,
)
from upbring.data.trees.tree import Tree
from upbring.errors import InputError
from upbring.plurals import format_count
from upbring.privacy import detect
from upbring.settings.methods.rl import OnPolicySettings

Purpose = Literal["train", "held_out"]
SAMPLE_SIZE = 200
RESPONSE_LENGTH = int(OnPolicySettings.model_fields["max_response_length"].default)


@dataclass(slots=True)
class RecordSample:
    """An evenly spread sample of the records: at most twice `SAMPLE_SIZE` of them."""

    records: list[Record] = field(default_factory=list)
    stride: int = 1

    def add(self, number: int, record: Record) -> None:
        """Keep the record if its number is a multiple of the stride."""
        if number % self.stride:
            return
        if isinstance(record, Document) and len(record.text) > MAX_TEXT_CHARACTERS:
            record = replace(record, text=record.text[:MAX_TEXT_CHARACTERS])
        self.records.append(record)
        if len(self.records) > 2 * SAMPLE_SIZE:
            del self.records[1::2]
            self.stride *= 2

    @property
    def selected(self) -> list[Record]:
        """At most `SAMPLE_SIZE` of the kept records, spread evenly."""
        count = min(SAMPLE_SIZE, len(self.records))
        return [self.records[i * len(self.records) // count] for i in range(count)]


@dataclass(slots=True)
class RankingCounts:
    """Counts over comparisons: responses, ties, pairs, and how often the longer response wins."""

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
                longer_side = (size > other_size) - (size < other_size)
                better_side = 1 if rank < other_rank else -1
                self.num_longer_wins += longer_side == better_side
                self.num_longer_loses += longer_side == -better_side


@dataclass(eq=False)
class Survey:
    """The counts of one file."""

    path: Path
    purpose: Purpose
    kind: RecordType
    format: DetectedFormat
    encoder: RecordEncoder | None
    texts: TextIndex  # of all files of this purpose, including this one
    prompts: TextIndex  # only the prompts of the same files
    skip_bad: Path | None = None
    is_kind_chosen: bool = False  # by the user, not detected from the rows
    num_rows: int = 0
    num_malformed: int = 0
    num_not_shown: int = 0  # malformed rows that the error does not list
    num_records: int = 0
    unused: Counter[str] = field(default_factory=Counter)
    error: InputError | None = None
    roles: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    labels: Counter[bool] = field(default_factory=Counter)
    rankings: RankingCounts = field(default_factory=RankingCounts)
    soft_labels: SoftLabelCounts = field(default_factory=SoftLabelCounts)
    num_characters: int = 0
    num_tokens: int = 0
    num_loss_tokens: int = 0
    side_lengths: dict[str, Lengths] = field(default_factory=dict)
    personal_data: dict[str, ExampleTally] = field(default_factory=dict)
    special_token_rows: ExampleTally = field(default_factory=ExampleTally)
    rejected: ExampleTally = field(default_factory=ExampleTally)
    token_problem_tallies: dict[str, ExampleTally] = field(default_factory=dict)
    fake_turn_tallies: dict[str, ExampleTally] = field(default_factory=dict)
    truncated: ExampleTally = field(default_factory=ExampleTally)
    dropped: ExampleTally = field(default_factory=ExampleTally)
    unknown_text: UnknownText = field(default_factory=UnknownText)
    largest_token: int = -1
    unread: dict[str, UnreadField] = field(default_factory=dict)
    sample: RecordSample = field(default_factory=RecordSample)
    num_pieces: int = 0  # into which max_length splits documents
    _ranks: dict[int, tuple[float, ...]] = field(default_factory=dict)  # of records not yet encoded
    _last_key: str = ""

    def __post_init__(self) -> None:
        self._first_index = len(self.texts)

    @property
    def unit(self) -> str:
        """The unit of lengths."""
        return "words" if self.encoder is None else "tokens"

    @property
    def num_distinct(self) -> int:
        """The number of distinct prompts of this file."""
        return self.prompts.num_distinct(self._first_index, self._first_index + self.num_records)

    @property
    def max_tree_length(self) -> int:
        """The maximum length of a row; prompts leave room for a response."""
        assert self.encoder is not None, "lengths in tokens need a tokenizer"
        reserved = RESPONSE_LENGTH if self.kind is Prompt else 0
        return max(2, self.encoder.max_length - reserved)

    def location(self, key: str) -> str:
        """Return the file and line of the record with this key."""
        return self.texts.location(self._first_index + int(key))

    def read(self, reading: RecordReader[Record]) -> Iterator[None]:
        """Count everything; yields after each row or piece, so that the caller can log progress."""
        records = self._counted_records(reading)
        if self.encoder is None:
            for _ in records:
                yield
        else:
            for tree in self.encoder.encode_all(self.kind, records, on_reject=self._reject):
                self._count_tree(tree)
                yield
        self.num_rows, self.num_malformed = reading.num_rows, reading.num_malformed
        self.num_not_shown = reading.num_not_shown
        self.unused, self.unread = reading.unused, reading.field_use.unread

    def _counted_records(self, reading: RecordReader[Record]) -> Iterator[KeyedRecord]:
        """Count and yield the records with their numbers; an error that ends reading is kept."""
        try:
            for record in reading:
                self._count_record(record)
                yield str(self.num_records), record
                self.num_records += 1
        except InputError as error:
            self.error = error

    def _count_record(self, record: Record) -> None:
        """Count everything that needs no tokens."""
        text = text_of(record)
        self.num_characters += len(text)
        self.texts.add(text, record.origin)
        self.prompts.add(prompt_text_of(record), record.origin)
        self._count_turns(record)
        if isinstance(record, Comparison):
            self.soft_labels.add(record)
        for match in detect.find_personal_data(text):
            tally = self.personal_data.setdefault(match.kind, ExampleTally())
            tally.add(f"{record.origin}: {escape_terminal(match.redacted)}")
        self.sample.add(self.num_records, record)
        if self.encoder is not None:
            if self.encoder.tokenizer.special_pattern.search(text):
                self.special_token_rows.add(str(record.origin))
            self.unknown_text.find_in_text(
                text, self.encoder.tokenizer, location=str(record.origin)
            )
            self._count_fake_turns(record, self.encoder)
            self._ranks[self.num_records] = _ranks_of(record)
            return
        response_lengths = [len(one.split()) for _, one in responses_of(record)]
        prompt_length = sum(len(message.content.split()) for message in prompt_of(record))
        self._add_lengths(prompt_length, response_lengths, ranks=_ranks_of(record))

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

    def _count_fake_turns(self, record: Record, encoder: RecordEncoder) -> None:
        """Count messages with a turn marker of the default template."""
        if self.kind is Document:
            return
        responses = [Message("assistant", text) for _, text in responses_of(record)]
        for problem in fake_turn_problems(encoder.chat, [*prompt_of(record), *responses]):
            self.fake_turn_tallies.setdefault(problem, ExampleTally()).add(str(record.origin))

    def _reject(self, key: str, error: InputError) -> None:
        self._ranks.pop(int(key), None)
        self.rejected.add(f"{self.location(key)}: {error}")

    def _count_tree(self, tree: Tree) -> None:
        """Count everything that needs tokens."""
        assert self.encoder is not None, "no tokens without a tokenizer"
        self.num_tokens += tree.num_tokens
        self.num_loss_tokens += tree.num_weighted
        parts = [tree.prompt, *(branch.tokens for branch in tree.branches)]
        self.largest_token = max(self.largest_token, *(int(p.max()) for p in parts if p.size), -1)
        location = self.location(tree.key)
        self.unknown_text.count_tree(tree, self.encoder.tokenizer, location=location)
        if self.kind is Document:
            self._count_piece(tree)
            return
        lengths = [len(branch.tokens) for branch in tree.branches]
        self._add_lengths(len(tree.prompt), lengths, ranks=self._ranks.pop(int(tree.key)))
        for problem in token_problems(self.encoder.chat, tree):
            self.token_problem_tallies.setdefault(problem, ExampleTally()).add(location)
        self._count_truncation(tree, self.max_tree_length)

    def _count_piece(self, tree: Tree) -> None:
        """Add the length of a piece to its document."""
        self.num_pieces += 1
        size = sum(len(branch.tokens) for branch in tree.branches)
        if tree.key == self._last_key:
            self._lengths_of("text").values[-1] += size
        else:
            self._lengths_of("text").add(len(tree.prompt) + size)
        self._last_key = tree.key

    def _count_truncation(self, tree: Tree, max_length: int) -> None:
        """Count the tree if training would truncate it, or drop it without any trained token."""
        if tree.longest_path <= max_length:
            return
        max_response_length = max_length - len(tree.prompt)
        has_loss_left = [
            bool(branch.weight[: max(0, max_response_length)].any()) for branch in tree.branches
        ]
        tally = self.truncated if has_loss_left and all(has_loss_left) else self.dropped
        tally.add(f"{self.location(tree.key)}: {format_count(tree.longest_path, 'token')}")

    def _add_lengths(
        self, prompt_length: int, response_lengths: list[int], *, ranks: tuple[float, ...]
    ) -> None:
        """Add the lengths of prompt and response; for a ranking, of its best and worst response."""
        if self.kind is Document:
            self._lengths_of("text").add(sum(response_lengths))
            return
        self._lengths_of("prompt").add(prompt_length)
        if ranks:
            self._lengths_of("chosen").add(response_lengths[ranks.index(min(ranks))])
            self._lengths_of("rejected").add(response_lengths[ranks.index(max(ranks))])
            self.rankings.add(ranks, response_lengths)
        elif response_lengths:
            self._lengths_of("response").add(response_lengths[0])
        if response_lengths:
            self._lengths_of("together").add(prompt_length + max(response_lengths))

    def _lengths_of(self, name: str) -> Lengths:
        return self.side_lengths.setdefault(name, Lengths())


def _ranks_of(record: Record) -> tuple[float, ...]:
    return record.ranks if isinstance(record, Comparison) else ()
