"""The families of attacks: each is a pure, seeded transformation of a prompt, and they compose."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from upbring.data.read.records import Message
from upbring.errors import InputError, format_value, nearest
from upbring.feedback.attacks import dialogues, encodings, frames, spelling
from upbring.feedback.attacks.attacked_prompt import (
    AttackedPrompt,
    Transform,
    in_frame,
    on_request,
)
from upbring.maths.random_draws import RandomStream

PLAIN = "plain"  # no attack
SEPARATOR = "+"  # of the families of a composition


@dataclass(frozen=True, slots=True)
class AttackFamily:
    """A family of attacks; each draw is another attack of it."""

    name: str
    summary: str
    transform: Transform


_ALL = (
    AttackFamily("encoding", "Base64, hex, ROT13, Morse …", on_request(encodings.encode_request)),
    AttackFamily("noise", "scrambled letters, random capitals", on_request(spelling.add_noise)),
    AttackFamily("typos", "typing errors", on_request(spelling.add_typos)),
    AttackFamily(
        "invisible", "invisible and look-alike letters", on_request(spelling.hide_characters)
    ),
    AttackFamily("respelling", "digits, no vowels, pig Latin", on_request(spelling.respell)),
    AttackFamily("role", "a persona without rules", in_frame(frames.ROLE)),
    AttackFamily("authority", "authority and urgency", in_frame(frames.AUTHORITY)),
    AttackFamily("prefix", "prefix injection and prefilled answers", dialogues.prefill),
    AttackFamily("suppression", "refusals forbidden, formats", in_frame(frames.SUPPRESSION)),
    AttackFamily("fiction", "fiction, hypothetical, past tense", in_frame(frames.FICTION)),
    AttackFamily("task", "a form, table or paper to complete", in_frame(frames.TASK)),
    AttackFamily("splitting", "the request in parts", on_request(dialogues.split_request)),
    AttackFamily("many_shot", "a dialogue that answers everything", dialogues.add_shots),
    AttackFamily("escalation", "several turns that insist", dialogues.escalate),
    AttackFamily("language", "mixed languages", in_frame(frames.LANGUAGE)),
    AttackFamily("config", "a fake configuration", in_frame(frames.CONFIG)),
    AttackFamily("distraction", "padding and other tasks", in_frame(frames.DISTRACTION)),
)
FAMILIES: Mapping[str, AttackFamily] = MappingProxyType({each.name: each for each in _ALL})


def attack(name: str, messages: Sequence[Message], *, seed: int, number: int = 0) -> AttackedPrompt:
    """Return the attack of a family, or of a composition such as `noise+role`, on a prompt.

    It is a pure function of its arguments; `number` counts the tries.

    >>> attack("plain", [Message("user", "Hi")], seed=0).messages[0].content
    'Hi'
    """
    prompt = AttackedPrompt(tuple(messages))
    text = "\n".join(f"{m.role}: {m.content}" for m in messages)
    for part in parse_composition(name):
        rng = RandomStream(seed, "attack", part, number, text)
        prompt = FAMILIES[part].transform(prompt, rng)
    return prompt


def parse_composition(name: str) -> tuple[str, ...]:
    """Return the families of a composition, in the order in which they are applied.

    >>> parse_composition("noise+role"), parse_composition("plain")
    (('noise', 'role'), ())
    """
    if name == PLAIN:
        return ()
    parts = tuple(name.split(SEPARATOR))
    for part in parts:
        if part not in FAMILIES:
            suggestion = nearest(part, FAMILIES)
            hint = (
                f"did you mean {suggestion}?" if suggestion else f"use one of {', '.join(FAMILIES)}"
            )
            raise InputError(f"families: {format_value(part)} is not a family of attacks; {hint}")
    return parts
