"""A model on this machine as a subject: asked with its template, read token by token.

Left out: where the weights come from, and when they leave the memory (`recipe/evaluation.py`).
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from upbring.data.chat.chat import Chat
from upbring.data.trees.tree import Tree, tree
from upbring.evaluate.model_protocol import Choice, Dialogue, Likelihood
from upbring.maths import counter_rng
from upbring.maths.segments import sums
from upbring.model.network import Model
from upbring.model.packing import packed
from upbring.model.sampling import Request, Stopping, sample
from upbring.model.score import score
from upbring.settings.sampling import SampleSettings

BUDGET = 4096  # tokens that are computed at once
LONGEST_WINDOW = 2048  # tokens of a document that are read in one context


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True, eq=False)
class Local:
    """A model and the chat it is asked with."""

    name: str
    identity: str
    model: Model
    chat: Chat
    max_tokens: int
    notice: Callable[[str], None] = silent
    poll: Callable[[], None] = lambda: None

    def answers(self, prompts: Sequence[Dialogue]) -> list[str]:
        """Return the likeliest answer to each prompt; '' to one that is longer than it reads."""
        return self._likeliest([self.chat.prompt(prompt) for prompt in prompts], self.max_tokens)

    def drawn(self, prompts: Sequence[Dialogue], *, seed: int) -> list[str]:
        """Return an answer to each prompt, drawn at temperature 1."""
        keys = [
            (counter_rng.key(seed, "evaluate", *self.chat.prompt(prompt)),) for prompt in prompts
        ]
        how = SampleSettings(temperature=1.0, max_tokens=self.max_tokens)
        return [text for (text,) in self.several(prompts, how, keys=keys)]

    def several(
        self, prompts: Sequence[Dialogue], how: SampleSettings, *, keys: Sequence[tuple[int, ...]]
    ) -> list[tuple[str, ...]]:
        """Return as many answers to each prompt as it has keys, each drawn by its own."""
        pairs = zip(prompts, keys, strict=True)
        return self._said([Request(self.chat.prompt(talk), own) for talk, own in pairs], how)

    def continued(self, texts: Sequence[str], *, most_tokens: int) -> list[str]:
        """Return the likeliest continuation of each plain text."""
        return self._likeliest([self._begun(text) for text in texts], most_tokens)

    def likelihoods(self, choices: Sequence[Choice]) -> list[tuple[Likelihood, ...]]:
        """Return how likely each ending of each choice is."""
        encoder = self.chat.tokenizer
        trees = []
        for choice in choices:
            given = choice.prompt
            prompt = self._begun(given) if isinstance(given, str) else self.chat.prompt(given)
            endings = encoder.encode_many(choice.endings, trusted=False, inside=True)
            room = (self.model.longest or len(prompt) + 1) - max(map(len, endings))
            trees.append(tree(prompt[-max(1, room) :], *endings))  # the end of what is too long
        return self._scored(trees)

    def read(self, documents: Sequence[str]) -> list[Likelihood]:
        """Return how likely each document is, token after token, in windows of what it reads."""
        window = min(self.model.longest or LONGEST_WINDOW, LONGEST_WINDOW)
        trees, owners = [], []
        for number, text in enumerate(documents):
            tokens = self._begun(text)
            for start in range(0, len(tokens) - 1, window - 1):
                end = start + window
                trees.append(tree(tokens[start : start + 1], tokens[start + 1 : end]))
                owners.append(number)
        found = [Likelihood(0.0, 0)] * len(documents)
        for number, (part,) in zip(owners, self._scored(trees), strict=True):
            before = found[number]
            found[number] = Likelihood(
                before.logprob + part.logprob, before.num_tokens + part.num_tokens
            )
        return found

    def _begun(self, text: str) -> list[int]:
        """Return a plain text's tokens, after BOS if texts begin so."""
        encoder = self.chat.tokenizer
        begin = [encoder.bos] if encoder.adds_bos and encoder.bos is not None else []
        tokens = begin + encoder.encode(text, trusted=False)
        return tokens or list(self.chat.stops[:1])

    def _likeliest(self, prompts: Sequence[list[int]], most_tokens: int) -> list[str]:
        how = SampleSettings(temperature=0.0, max_tokens=most_tokens)
        return [text for (text,) in self._said([Request(p, (0,)) for p in prompts], how)]

    def _said(self, asked: Sequence[Request], how: SampleSettings) -> list[tuple[str, ...]]:
        """Return what is said for each key; prompts with equal room are sampled together."""
        limit, wanted = self.model.longest, how.max_tokens
        rooms = [wanted if limit is None else min(wanted, limit - len(r.prompt)) for r in asked]
        said = [("",) * len(request.keys) for request in asked]
        stops = frozenset(self.chat.stops)
        for room in sorted({room for room in rooms if room > 0}):
            chosen = [i for i, own in enumerate(rooms) if own == room]
            found = sample(
                self.model,
                [asked[i] for i in chosen],
                how.model_copy(update={"max_tokens": room}),
                stopping=Stopping(stops),
                poll=self.poll,
            )
            texts = (
                self.chat.tokenizer.decode([t for t in each.tokens if t not in stops])
                for each in found
            )
            for i in chosen:
                said[i] = tuple(itertools.islice(texts, len(asked[i].keys)))
        if unread := sum(room <= 0 for room in rooms):
            self.notice(
                f"{self.name}: {unread} prompts have more than the {limit} tokens that it reads; "
                "they count as unanswered"
            )
        return said

    @torch.no_grad()
    def _scored(self, trees: Sequence[Tree]) -> list[tuple[Likelihood, ...]]:
        """Return the likelihood of every branch of every tree."""
        keyed = [Tree(t.prompt, t.branches, str(i)) for i, t in enumerate(trees)]
        found: dict[int, tuple[Likelihood, ...]] = {}
        for batch in packed(self.model, keyed, BUDGET):
            self.poll()
            logprobs = score(self.model, batch).logprobs  # [R]
            totals = sums(logprobs.double(), batch.branch, len(batch.tree)).tolist()
            place = 0
            for key, span in zip(batch.keys, batch.spans, strict=True):
                ends = place + len(span.branches)
                pairs = zip(totals[place:ends], span.branches, strict=True)
                found[int(key)] = tuple(Likelihood(total, n) for total, n in pairs)
                place = ends
        return [found[i] for i in range(len(trees))]
