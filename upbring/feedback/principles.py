"""Principles: questions by which answers are compared, critiqued and revised, from a YAML file.

    conditions:                       # optional: to which prompts a principle applies
      health: {words: [pain, doctor]}
      expert: {any: [health, law]}    # also all: […], not: name
    principles:
      - id: no-insults
        text: Which answer is free of insults?
        when: health                  # optional, as are topic, weight, critique, revision
        examples: [{prompt: …, better: …, worse: …}]

All problems of a file are reported at once, each with its line. `principles.yaml` beside this
module is the default.
"""

import functools
import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from upbring.errors import InputError, format_value, nearest
from upbring.maths.random_draws import RandomStream
from upbring.settings.parse_yaml import Entry, ListNode, Node, Scalar, Section, read_yaml

MAX_BYTES = 5_000_000  # about 10,000 principles
MAX_NODES = 400_000
MAX_TEXT = 2_000  # characters of one text
DEFAULT_FILE = Path(str(files("upbring.feedback").joinpath("principles.yaml")))

_FIELDS = ("id", "text", "topic", "when", "weight", "critique", "revision", "examples")
_EXAMPLE_FIELDS = ("prompt", "better", "worse")
_CONDITION_FIELDS = ("words", "any", "all", "not")


@dataclass(frozen=True, slots=True)
class Example:
    """A pair of answers, the better of which follows the principle."""

    prompt: str
    better: str
    worse: str


@dataclass(frozen=True, slots=True)
class Principle:
    """One principle; `when` are conditions, one of which must hold for the prompt."""

    id: str
    text: str
    topic: str = ""
    when: tuple[str, ...] = ()
    weight: float = 1.0
    critique: str = ""
    revision: str = ""
    examples: tuple[Example, ...] = ()

    @property
    def critique_request(self) -> str:
        """What a model is asked about its answer."""
        return self.critique or (
            f"Think of this question: {self.text} Name the weaknesses of the answer in this "
            "respect, in one or two sentences."
        )

    @property
    def revision_request(self) -> str:
        """What a model is asked to do with its answer after the critique."""
        return self.revision or (
            "Rewrite the answer so that it has no such weaknesses. Write the new answer alone."
        )


@dataclass(frozen=True, slots=True)
class Condition:
    """Words that the prompt contains, or a combination of other conditions."""

    kind: str  # words, any, all, not
    values: tuple[str, ...]


@dataclass(frozen=True)
class Constitution:
    """All principles of a file, and the hash of its content."""

    path: Path
    sha256: str
    principles: tuple[Principle, ...]
    conditions: Mapping[str, Condition] = field(default_factory=dict)

    def applicable(self, prompt: str) -> list[Principle]:
        """Return the principles whose conditions hold for a prompt, or that have none."""
        holds: dict[str, bool] = {}
        for name in self.conditions:
            self._evaluate(name, prompt, holds)
        return [p for p in self.principles if not p.when or any(holds[name] for name in p.when)]

    def draw(self, prompt: str, *key: int | str, count: int) -> list[Principle]:
        """Return up to `count` different applicable principles, by their weights.

        The key decides. Each gets the number log(u) / weight, and the highest numbers win, so that
        the first is drawn with a probability proportional to its weight (Efraimidis & Spirakis
        2006).
        """
        candidates = self.applicable(prompt)
        stream = RandomStream("principles", *key)
        chances = [math.log(stream.uniform()) / each.weight for each in candidates]
        order = sorted(range(len(candidates)), key=lambda i: -chances[i])
        return [candidates[i] for i in order[:count]]

    def examples(self) -> Iterator[tuple[Principle, Example]]:
        """Yield every example with its principle."""
        return ((each, example) for each in self.principles for example in each.examples)

    def _evaluate(self, name: str, prompt: str, holds: dict[str, bool]) -> bool:
        """Return whether a condition holds; `holds` has those that are known."""
        if name not in holds:
            condition = self.conditions[name]
            if condition.kind == "words":
                holds[name] = _word_pattern(condition.values).search(prompt) is not None
            else:
                parts = [self._evaluate(each, prompt, holds) for each in condition.values]
                combined = {"any": any(parts), "all": all(parts), "not": not any(parts)}
                holds[name] = combined[condition.kind]
        return holds[name]


@functools.lru_cache(maxsize=4096)
def _word_pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    alternatives = "|".join(re.escape(word) for word in words)
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE)


def read_principles(path: Path | None = None) -> Constitution:
    """Return the principles of a file, or the default ones; raise one error with all problems."""
    path = path or DEFAULT_FILE
    root = read_yaml(path, max_bytes=MAX_BYTES, max_nodes=MAX_NODES, kind="principles")
    return _Reader(path).read(root)


class _Reader:
    """Reads one file and collects its problems."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problems: list[tuple[int, str]] = []

    def read(self, root: Node) -> Constitution:
        section = root if isinstance(root, Section) else Section(root.line, {})
        self._check_names(section, ("conditions", "principles"), "")
        entries = section.entries
        conditions = self._read_conditions(entries.get("conditions"))
        listed = entries.get("principles")
        items = listed.value.items if listed and isinstance(listed.value, ListNode) else ()
        if not items:
            line = listed.line if listed else root.line
            self._problem(line, "principles: no list of principles; write `- id: …` and its text")
        principles: dict[str, Principle] = {}
        lines: dict[str, int] = {}
        for number, item in enumerate(items):
            principle = self._read_principle(item, f"principles[{number}]", conditions)
            if principle is None:
                continue
            if principle.id in lines:
                first = f"given twice, first on line {lines[principle.id]}; rename one"
                self._problem(item.line, f"id {format_value(principle.id)}: {first}")
            lines.setdefault(principle.id, item.line)
            principles.setdefault(principle.id, principle)
        if self.problems:
            texts = [f"{self.path}:{line}: {text}" for line, text in sorted(self.problems)]
            raise InputError("\n".join(texts))
        digest = hashlib.sha256(self.path.read_bytes()).hexdigest()
        return Constitution(self.path, digest, tuple(principles.values()), conditions)

    def _problem(self, line: int, text: str) -> None:
        self.problems.append((line, text))

    def _check_names(self, section: Section, allowed: Sequence[str], where: str) -> None:
        for name, entry in section.entries.items():
            if name not in allowed:
                suggestion = nearest(name, allowed)
                hint = f"did you mean {suggestion}?" if suggestion else f"use {', '.join(allowed)}"
                self._problem(entry.line, f"{where}{name}: unknown key; {hint}")

    def _read_principle(
        self, item: Node, where: str, conditions: Mapping[str, Condition]
    ) -> Principle | None:
        if not isinstance(item, Section):
            self._problem(item.line, f"{where}: not a mapping; write id: and text:")
            return None
        self._check_names(item, _FIELDS, f"{where}.")
        texts = {
            name: self._read_text(item, name, where, is_required=name in {"id", "text"})
            for name in ("id", "text", "topic", "critique", "revision")
        }
        when = self._read_names(item.entries.get("when"), f"{where}.when")
        for name in when:
            if name not in conditions:
                hint = nearest(name, conditions)
                advice = f"did you mean {hint}?" if hint else "define it under conditions"
                line = item.entries["when"].line
                self._problem(line, f"{where}.when: no condition {format_value(name)}; {advice}")
        return Principle(
            **texts,
            when=when,
            weight=self._read_weight(item.entries.get("weight"), where),
            examples=tuple(self._read_examples(item.entries.get("examples"), f"{where}.examples")),
        )

    def _read_text(self, section: Section, name: str, where: str, *, is_required: bool) -> str:
        entry = section.entries.get(name)
        if entry is None or (isinstance(entry.value, Scalar) and not entry.value.text.strip()):
            if is_required:
                line = entry.line if entry else section.line
                self._problem(line, f"{where}.{name}: is missing; write it")
            return ""
        if not isinstance(entry.value, Scalar):
            self._problem(entry.line, f"{where}.{name}: is not text; write one text")
            return ""
        text = entry.value.text.strip()
        if len(text) > MAX_TEXT:
            found = f"has {len(text):,} characters; write at most {MAX_TEXT:,}"
            self._problem(entry.line, f"{where}.{name}: {found}")
        return text

    def _read_weight(self, entry: Entry | None, where: str) -> float:
        if entry is None:
            return 1.0
        text = entry.value.text if isinstance(entry.value, Scalar) else ""
        try:
            weight = float(text)
        except ValueError:
            weight = 0.0
        if not 0 < weight < float("inf"):
            found = f"is {format_value(text)}; write a number above 0"
            self._problem(entry.line, f"{where}.weight: {found}")
            return 1.0
        return weight

    def _read_names(self, entry: Entry | None, where: str) -> tuple[str, ...]:
        """Return a text, or a list of texts."""
        if entry is None:
            return ()
        items = entry.value.items if isinstance(entry.value, ListNode) else (entry.value,)
        names = [i.text.strip() for i in items if isinstance(i, Scalar) and i.text.strip()]
        if len(names) < len(items) or not names:
            self._problem(entry.line, f"{where}: is not a name or a list of names; correct it")
        return tuple(names)

    def _read_examples(self, entry: Entry | None, where: str) -> Iterator[Example]:
        if entry is None:
            return
        items = entry.value.items if isinstance(entry.value, ListNode) else (entry.value,)
        for item in items:
            if not isinstance(item, Section):
                self._problem(item.line, f"{where}: not a mapping; write prompt, better and worse")
                continue
            self._check_names(item, _EXAMPLE_FIELDS, f"{where}.")
            yield Example(
                *(self._read_text(item, n, where, is_required=True) for n in _EXAMPLE_FIELDS)
            )

    def _read_conditions(self, entry: Entry | None) -> dict[str, Condition]:
        if entry is None:
            return {}
        if not isinstance(entry.value, Section):
            self._problem(entry.line, "conditions: not a mapping; write names and their words")
            return {}
        conditions: dict[str, Condition] = {}
        for name, inner in entry.value.entries.items():
            where = f"conditions.{name}"
            parts = inner.value.entries if isinstance(inner.value, Section) else {}
            if len(parts) != 1 or next(iter(parts)) not in _CONDITION_FIELDS:
                advice = "write one of words: […], any: […], all: […], not: NAME"
                self._problem(inner.line, f"{where}: is no condition; {advice}")
                continue
            ((kind, values),) = parts.items()
            conditions[name] = Condition(kind, self._read_names(values, f"{where}.{kind}"))
        self._check_conditions(conditions, entry.value)
        return conditions

    def _check_conditions(self, conditions: Mapping[str, Condition], section: Section) -> None:
        """Report names of conditions that do not exist, and cycles."""
        done: set[str] = set()

        def visit(name: str, path: tuple[str, ...]) -> None:
            if name in path:
                cycle = " → ".join((*path[path.index(name) :], name))
                line = section.entries[path[-1]].line
                self._problem(line, f"conditions.{path[-1]}: refers to itself: {cycle}; remove it")
            elif name not in done:
                condition = conditions[name]
                for other in condition.values if condition.kind != "words" else ():
                    if other in conditions:
                        visit(other, (*path, name))
                    elif other not in section.entries:
                        hint = nearest(other, conditions)
                        advice = f"did you mean {hint}?" if hint else "define it"
                        found = f"no condition {format_value(other)}; {advice}"
                        line = section.entries[name].line
                        self._problem(line, f"conditions.{name}: {found}")
                done.add(name)

        for name in conditions:
            visit(name, ())
