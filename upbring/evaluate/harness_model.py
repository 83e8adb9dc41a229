"""A model of ours as lm-evaluation-harness sees one. Imported only where `upbring[eval]` is there.

What it asks is answered through the journal: a second run asks the model only what is missing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

from lm_eval.api.model import LM

from upbring.durable import JSON
from upbring.evaluate import plain_text
from upbring.evaluate.answer_cache import Item, Journal
from upbring.evaluate.plain_text import Reader, Wish
from upbring.maths import counter_rng

SHOWN = 500  # characters of a prompt's end that stand in the journal; its key knows all of it
LONGEST = 256  # tokens of an answer where a task does not say


class Asked(LM):  # type: ignore[misc]  # lm_eval tells no types
    """Answers the three kinds of requests that tasks are made of."""

    def __init__(self, reader: Reader, journal: Journal, *, suite: str, seed: int) -> None:
        super().__init__()
        self.reader, self.journal, self.suite, self.seed = reader, journal, suite, seed

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Return each ending's log-probability, and whether it is what would be said."""
        pairs: list[plain_text.Pair] = [request.args for request in requests]

        def make(chosen: list[int]) -> list[dict[str, JSON]]:
            found = plain_text.weighed(self.reader.local(), [pairs[i] for i in chosen])
            return [
                {"response": pairs[i][1], "logprob": w.logprob, "is_likeliest": w.is_likeliest}
                for i, w in zip(chosen, found, strict=True)
            ]

        items = [Item(text[-SHOWN:], (text, ending)) for text, ending in pairs]
        rows = self.journal.kept(self.suite, self.reader.subject, items, make=make, part="ending")
        return [(float(cast("float", r["logprob"])), bool(r["is_likeliest"])) for r in rows]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
        """Return each whole text's log-probability."""
        texts: list[str] = [request.args[0] for request in requests]

        def make(chosen: list[int]) -> list[dict[str, JSON]]:
            found = plain_text.rolled(self.reader.local(), [texts[i] for i in chosen])
            return [{"logprob": logprob} for logprob in found]

        items = [Item(text[-SHOWN:], (text,)) for text in texts]
        rows = self.journal.kept(self.suite, self.reader.subject, items, make=make, part="text")
        return [float(cast("float", row["logprob"])) for row in rows]

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Return how each text goes on."""
        seen: Counter[tuple[str, str]] = Counter()
        wishes, items = [], []
        for request in requests:
            text, how = request.args
            asked = text, repr(sorted(how.items()))
            seen[asked] += 1  # what is asked again is drawn anew
            wishes.append(
                _wish(text, how, key=counter_rng.key(self.seed, self.suite, *asked, seen[asked]))
            )
            items.append(Item(text[-SHOWN:], (*asked, self.seed, seen[asked])))

        def make(chosen: list[int]) -> list[dict[str, JSON]]:
            found = plain_text.finished(self.reader.local(), [wishes[i] for i in chosen])
            return [{"response": text} for text in found]

        rows = self.journal.kept(self.suite, self.reader.subject, items, make=make, part="going on")
        return [str(row["response"]) for row in rows]


def _wish(text: str, how: Mapping[str, Any], *, key: int) -> Wish:
    """Return what a task asks for, in our words; it is greedy unless it says otherwise."""
    until = how.get("until") or ()
    until = (until,) if isinstance(until, str) else tuple(until)
    names = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
    most = next((int(how[name]) for name in names if how.get(name) is not None), LONGEST)
    temperature = float(how.get("temperature") or 0.0)
    is_drawn = bool(how.get("do_sample", temperature > 0)) and temperature > 0
    return Wish(
        text,
        tuple(each for each in until if each),
        most,
        temperature if is_drawn else 0.0,
        float(how.get("top_p") or 1.0),
        key,
    )
