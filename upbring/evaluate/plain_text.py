"""A model on this machine asked about plain text, without its template, as benchmarks ask.

Texts are cut into tokens as lm-evaluation-harness cuts them, so that numbers can be compared: what
is read and its ending are encoded as one text, spaces between them belong to the ending, and what
is longer than the model reads loses its beginning.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from upbring.data.trees.batch import Batch
from upbring.data.trees.tree import Tree, tree
from upbring.evaluate.local_model import BUDGET, LONGEST_WINDOW, Local
from upbring.evaluate.model_protocol import Named
from upbring.maths.segments import sums
from upbring.model.network import hidden_states
from upbring.model.packing import packed
from upbring.model.sampling import Request, Stopping, sample
from upbring.model.score import CHUNK_BYTES, logits
from upbring.settings.sampling import SampleSettings

Pair = tuple[str, str]  # what is read, and the ending after it
SHORTEST = 2  # tokens that a model must read: one, and one after it


@dataclass(frozen=True, slots=True)
class Reader:
    """Whom a benchmark asks: who it is, and what brings it into memory."""

    subject: Named
    local: Callable[[], Local]


@dataclass(frozen=True, slots=True)
class Weighed:
    """The log-probability of an ending, in nats, and whether each token of it is the likeliest."""

    logprob: float
    is_likeliest: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """A text to go on with, what ends it, and how long and how freely."""

    text: str
    until: tuple[str, ...]
    max_tokens: int
    temperature: float
    top_p: float
    key: int


def weighed(local: Local, pairs: Sequence[Pair]) -> list[Weighed]:
    """Return how likely each ending is; endings of one text share its computation."""
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    endings: list[list[int]] = []
    for number, (text, ending) in enumerate(pairs):
        before, after = _fitted(*_split(local, text, ending), _limit(local))
        endings.append(after)
        if after:
            alike[tuple(before)].append(number)
    trees = [tree(before, *(endings[i] for i in own)) for before, own in alike.items()]
    found = [Weighed(0.0, is_likeliest=True)] * len(pairs)
    places = [i for own in alike.values() for i in own]
    for place, each in zip(places, _read(local, trees), strict=True):
        found[place] = each
    return found


def rolled(local: Local, texts: Sequence[str]) -> list[float]:
    """Return the log-probability of each whole text; where it is long, in windows without overlap.

    The last window looks back as far as the model reads.
    """
    window = _limit(local) - 1
    trees, owners = [], []
    for number, text in enumerate(texts):
        tokens = local.chat.tokenizer.encode(text, trusted=False)
        before = [_first(local), *tokens]  # place i + 1 holds token i
        for start in range(0, len(tokens), window):
            end = min(start + window, len(tokens))
            trees.append(tree(before[max(0, end - window) : start + 1], tokens[start:end]))
            owners.append(number)
    found = [0.0] * len(texts)
    for number, each in zip(owners, _read(local, trees), strict=True):
        found[number] += each.logprob
    return found


def finished(local: Local, wishes: Sequence[Wish]) -> list[str]:
    """Return how each text goes on, up to what ends it; equal wishes are sampled together."""
    alike: dict[tuple[int, tuple[str, ...], float, float], list[int]] = defaultdict(list)
    prompts: list[list[int]] = []
    for number, wish in enumerate(wishes):
        prompt = _begun(local, wish.text)
        most, limit = wish.max_tokens, local.model.longest
        if limit is not None:
            most = max(1, min(most, max(limit - len(prompt), limit // 2)))
            prompt = prompt[-(limit - most) :]
        prompts.append(prompt)
        alike[most, wish.until, wish.temperature, wish.top_p].append(number)
    said = [""] * len(wishes)
    for (most, until, temperature, top_p), chosen in alike.items():
        how = SampleSettings(temperature=temperature, top_p=top_p, max_tokens=most)
        asked = [Request(prompts[i], (wishes[i].key,)) for i in chosen]
        for i, text in zip(chosen, _said(local, asked, how, until=until), strict=True):
            said[i] = _before(text, until)
    return said


def _said(
    local: Local, asked: Sequence[Request], how: SampleSettings, *, until: tuple[str, ...]
) -> list[str]:
    stops, tokenizer = frozenset(local.chat.stops), local.chat.tokenizer
    reach = max((len(text.encode()) for text in until), default=0) + 1  # a token is a byte at least

    def is_end(tokens: Sequence[int]) -> bool:
        newest = tokenizer.decode(list(tokens[-reach:]))
        return any(text in newest for text in until)

    stopping = Stopping(stops, is_end if until else None)
    found = sample(local.model, asked, how, stopping=stopping, poll=local.poll)
    return [tokenizer.decode([t for t in each.tokens if t not in stops]) for each in found]


def _before(text: str, until: Sequence[str]) -> str:
    r"""Return a text up to the first of what ends it.

    >>> _before("4\n\nQ: more", ("Q:", "\n\n"))
    '4'
    """
    return text[: min((place for u in until if (place := text.find(u)) >= 0), default=len(text))]


def _split(local: Local, text: str, ending: str) -> tuple[list[int], list[int]]:
    """Return the tokens of what is read and of its ending, which are one text."""
    stem = text.rstrip()
    if not stem:
        return [_first(local)], local.chat.tokenizer.encode(text + ending, trusted=False)
    before = _begun(local, stem)
    whole = _begun(local, text + ending)
    return before, whole[len(before) :]


def _fitted(before: list[int], after: list[int], limit: int) -> tuple[list[int], list[int]]:
    """Return both without the beginning that does not fit; the ending keeps all that it can."""
    after = after[-(limit - 1) :]
    return before[-(limit - len(after)) :], after


def _limit(local: Local) -> int:
    """Return how many tokens are read at once."""
    longest = local.model.longest
    return LONGEST_WINDOW if longest is None else max(SHORTEST, longest)


def _first(local: Local) -> int:
    """Return the token before a text's first: BOS, or else what ends texts."""
    bos = local.chat.tokenizer.bos
    return bos if bos is not None else local.chat.stops[0]


def _begun(local: Local, text: str) -> list[int]:
    """Return a text's tokens, after BOS if texts begin so."""
    tokenizer = local.chat.tokenizer
    begin = [tokenizer.bos] if tokenizer.adds_bos and tokenizer.bos is not None else []
    return (begin + tokenizer.encode(text, trusted=False)) or [_first(local)]


@torch.no_grad()
def _read(local: Local, trees: Sequence[Tree]) -> list[Weighed]:
    """Return what the model thinks of every branch of every tree, in their order."""
    keyed = [Tree(t.prompt, t.branches, str(i)) for i, t in enumerate(trees)]
    found: dict[int, list[Weighed]] = {}
    for batch in packed(local.model, keyed, BUDGET):
        local.poll()
        logprobs, is_best = _scores(local, batch)  # [R] each
        count = len(batch.tree)
        totals = sums(logprobs, batch.branch, count).tolist()
        misses = sums((~is_best).double(), batch.branch, count).tolist()
        place = 0
        for key, span in zip(batch.keys, batch.spans, strict=True):
            ends = place + len(span.branches)
            own = zip(totals[place:ends], misses[place:ends], strict=True)
            found[int(key)] = [Weighed(total, missed == 0) for total, missed in own]
            place = ends
    return [each for i in range(len(trees)) for each in found[i]]


def _scores(local: Local, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return log-probabilities `[R]` float64, and whether each token is the likeliest `[R]`."""
    model = local.model
    hidden = hidden_states(model, batch)[batch.source]  # [R, D]
    rows = max(16, CHUNK_BYTES // (4 * model.vocabulary))
    parts = []
    for h, target in zip(torch.split(hidden, rows), torch.split(batch.target, rows), strict=True):
        every = logits(model, h)  # [C, V]
        chosen = every.gather(-1, target.unsqueeze(-1)).squeeze(-1)  # [C]
        parts.append((chosen - every.logsumexp(-1), every.argmax(-1) == target))
    logprobs, is_best = (torch.cat(column) for column in zip(*parts, strict=True))
    return logprobs.double(), is_best
