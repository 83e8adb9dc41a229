"""General text: invented stories, notices, letters and conversations from templates in `data/`.

They contain no facts of the world. Held-out texts have combinations of a person and a place that
do not occur in the corpus; they measure how much general text a fine-tuned model has forgotten.
"""

import functools
from string import Formatter

from upbring.maths.random_draws import RandomStream
from upbring.toyworld import wording
from upbring.toyworld.split import is_part_held_out
from upbring.toyworld.world import read_rows

_PEOPLE = ("person", "friend", "other")


@functools.cache
def _skeletons() -> tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]:
    return tuple(
        (row["register"], tuple(tuple(line) for line in row["lines"]))
        for row in read_rows("skeletons")
    )


def general_text(rng: RandomStream, *, is_held_out: bool, seed: int) -> tuple[str, list[str]]:
    """Return the register of a general text and its sentences."""
    register, lines = rng.choice(_skeletons())
    blanks = _blanks(rng)
    while is_part_held_out("tale", blanks["person"], blanks["place"], seed=seed) != is_held_out:
        blanks |= _blanks(rng)
    return register, [_sentence(rng.choice(line), blanks, rng) for line in lines]


def format_text(register: str, sentences: list[str]) -> str:
    """Return sentences as one text: a story on one line, others with a line per sentence."""
    return (" " if register == "story" else "\n").join(sentences)


def _blanks(rng: RandomStream) -> dict[str, str]:
    """Return the slot values that are the same in the whole text."""
    slots = wording.slots()
    people = rng.sample(slots["person"], len(_PEOPLE))
    return {
        **dict(zip(_PEOPLE, people, strict=True)),
        **{name: rng.choice(slots[name]) for name in ("place", "thing", "house", "month")},
    }


def _sentence(template: str, blanks: dict[str, str], rng: RandomStream) -> str:
    slots = wording.slots()
    names = [name for _, name, _, _ in Formatter().parse(template) if name]
    sampled = {name: rng.choice(slots[name]) for name in names if name not in blanks}
    text = template.format(**blanks, **sampled)
    return text[:1].upper() + text[1:]
