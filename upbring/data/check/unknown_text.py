"""Count what a tokenizer cannot represent: unknown tokens, and characters that it drops."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from upbring.data.chat.tokenizer import Tokenizer
from upbring.data.check.findings import ExampleTally
from upbring.data.trees.tree import Tree

MAX_SHOWN = 5
_WRITTEN_CATEGORIES = frozenset("LNSP")  # letters, numbers, symbols, punctuation
_SPLIT = re.compile(r"\w+|[^\w\s]")


@dataclass(slots=True)
class UnknownText:
    """The rows with unknown tokens, the number of these tokens, and some of the texts."""

    num_tokens: int = 0
    rows: ExampleTally = field(default_factory=ExampleTally)
    examples: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)  # character → where it was read first
    _seen: set[str] = field(default_factory=set)

    def count_tree(self, tree: Tree, tokenizer: Tokenizer, *, location: str) -> None:
        """Count the unknown tokens of a row."""
        unknown = tokenizer.unk_token_id
        if unknown is None:
            return
        tokens = [tree.prompt, *(branch.tokens for branch in tree.branches)]
        count = sum(int((part == unknown).sum()) for part in tokens)
        if count:
            self.num_tokens += count
            self.rows.add(location)

    def find_in_text(self, text: str, tokenizer: Tokenizer, *, location: str) -> None:
        """Note the characters of a text that are encoded to nothing, and unknown words."""
        new = set(text) - self._seen
        if not new:
            return
        self._seen |= new
        written = [c for c in sorted(new) if unicodedata.category(c)[0] in _WRITTEN_CATEGORIES]
        for character, tokens in zip(written, _encode(written, tokenizer), strict=True):
            if not tokens:
                self.dropped[character] = location

    def find_unknown_words(self, texts: Iterable[str], tokenizer: Tokenizer) -> None:
        """Note the first unknown words of some texts."""
        for text in texts:
            words = [*dict.fromkeys(_SPLIT.findall(text))]
            for word, tokens in zip(words, _encode(words, tokenizer), strict=True):
                if tokenizer.unk_token_id in tokens and word not in self.examples:
                    self.examples.append(word)
            if len(self.examples) >= MAX_SHOWN:
                return


def _encode(texts: Iterable[str], tokenizer: Tokenizer) -> list[list[int]]:
    return tokenizer.encode_batch([*texts], trusted=False, is_continuation=True)
