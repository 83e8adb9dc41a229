"""A recipe's text: a road of stages, whose settings may name what stages before them made.

    model: builtin:sprout        # where the road begins; stages call it `base`
    defaults: {seed: 0}          # for every stage that knows the setting
    stages:
      world:  {verb: nursery}
      sft:    {data: world/demonstrations.jsonl}          # a stage without `verb` is of its name
      reward: {model: sft, data: world/rankings.jsonl}
    rounds: 2                    # the stages of each_round are taken so often
    each_round: {…}              # in them `latest` is the newest policy
    ask: ["What is the capital of France?"]  # of the base and of every model that is made
    evaluate: {models: [base, sft], suite: facts}
    gates: {facts: ">= base + 0.1"}

All of it is checked before the first stage: verbs, settings, names, files, gates. The nearest
spelling is told with file and line.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upbring.errors import InputError, nearest, shown
from upbring.pipeline.gates import Gate, read_gate
from upbring.settings.command_table import imported, verbs
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.references import NAMES, references
from upbring.settings.resolve import Resolved, resolve_section
from upbring.settings.schema import Settings, declared
from upbring.settings.yaml_nodes import Entry, Listing, Scalar, Section, read_yaml

BASE, LATEST = "base", "latest"
KEYS = ("model", "defaults", "stages", "rounds", "each_round", "ask", "evaluate", "gates")
POLICIES = frozenset(
    {"pretrain", "sft", "dpo", "ipo", "kto", "orpo", "simpo", "ppo", "grpo", "rloo"}
)
STAGES = POLICIES | {"nursery", "reward", "collect"}  # the verbs that may be stages
MOST_ROUNDS = 20


@dataclass(frozen=True)
class Step:
    """One stage of the road: its name, verb and settings, and the stages that it needs."""

    name: str
    verb: str
    resolved: Resolved[Any]
    needs: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Script:
    """A road in the order in which it is taken."""

    file: Path
    model: str
    steps: tuple[Step, ...]
    ask: tuple[str, ...]
    evaluate: Resolved[EvaluateSettings] | None
    models: tuple[str, ...]  # that are evaluated: `base` or names of steps
    gates: tuple[Gate, ...]


def read_script(file: Path) -> Script:
    """Return the recipe of a file, or tell all that is wrong with it."""
    root = read_yaml(file)
    if not isinstance(root, Section):
        raise InputError(f"{file}:{root.line}: no mapping; write `model:` and `stages:`")
    reading = _Reading(file, root)
    script = reading.script()
    if reading.problems or script is None:
        raise InputError("\n".join(reading.problems))
    return script


class _Reading:
    """One reading of a recipe: what was found, and what is wrong with it."""

    def __init__(self, file: Path, root: Section) -> None:
        self.file, self.root = file, root
        self.problems: list[str] = []
        self.steps: list[Step] = []

    def script(self) -> Script | None:
        for name, entry in self.root.entries.items():
            if name not in KEYS:
                self._problem(entry.line, f"{name}: no such part; {_meant(name, KEYS)}")
        model = self._text("model")
        rounds = self._rounds()
        self._take("stages", round_number=None)
        for number in range(1, rounds + 1):
            self._take("each_round", round_number=number)
        if not self.steps and not self.problems:
            self._problem(1, "stages: there is none; write at least `sft:` with its data")
        evaluate = self._evaluate()
        models = self._models(evaluate)
        gates = tuple(self._gates(models))
        if model is None:
            return None
        return Script(self.file, model, tuple(self.steps), self._ask(), evaluate, models, gates)

    def _problem(self, line: int, text: str) -> None:
        told = f"{self.file}:{line}: {text}"
        if told not in self.problems:  # the stages of a round are read once for each
            self.problems.append(told)

    def _text(self, name: str) -> str | None:
        entry = self.root.entries.get(name)
        if entry is None:
            self._problem(1, f"{name}: required and not given; name the model to begin from")
        elif not isinstance(entry.value, Scalar) or entry.value.is_null:
            self._problem(entry.line, f"{name}: no text; name a folder, a run or builtin:sprout")
        else:
            return entry.value.text
        return None

    def _ask(self) -> tuple[str, ...]:
        entry = self.root.entries.get("ask")
        if entry is None:
            return ()
        items = entry.value.items if isinstance(entry.value, Listing) else (entry.value,)
        if not all(isinstance(item, Scalar) and not item.is_null for item in items):
            self._problem(entry.line, 'ask: no list of texts; write ["What is snow?"]')
        return tuple(item.text for item in items if isinstance(item, Scalar))

    def _rounds(self) -> int:
        entry = self.root.entries.get("rounds")
        has_each = "each_round" in self.root.entries
        if entry is None:
            return 1 if has_each else 0
        text = entry.value.text if isinstance(entry.value, Scalar) else ""
        if not text.isdecimal() or not 1 <= int(text) <= MOST_ROUNDS:
            self._problem(entry.line, f"rounds: give a whole number from 1 to {MOST_ROUNDS}")
            return 1
        if not has_each:
            self._problem(entry.line, "rounds: nothing is repeated; write `each_round:` too")
        return int(text)

    def _take(self, part: str, *, round_number: int | None) -> None:
        """Take the stages of a part, in their order."""
        entry = self.root.entries.get(part)
        if entry is None:
            return
        if not isinstance(entry.value, Section):
            self._problem(entry.line, f"{part}: no mapping; write a stage's name and settings")
            return
        for name, inner in entry.value.entries.items():
            self._stage(name, inner, round_number=round_number)

    def _stage(self, name: str, entry: Entry, *, round_number: int | None) -> None:
        section = entry.value
        if isinstance(section, Scalar) and section.is_null:
            section = Section(entry.line, {})
        if not isinstance(section, Section):
            self._problem(entry.line, f"{name}: no mapping; write the settings of the stage")
            return
        own = dict(section.entries)
        said = own.pop("verb", None)
        verb = said.value.text if said and isinstance(said.value, Scalar) else name
        if verb not in STAGES:
            line = said.line if said else entry.line
            how = "" if said else "; or name its `verb:`"
            self._problem(line, f"{name}: no such verb {shown(verb)}; {_meant(verb, STAGES)}{how}")
            return
        full = name if round_number is None else f"{name}-{round_number}"
        if full in {BASE, LATEST, *(step.name for step in self.steps)}:
            self._problem(entry.line, f"{name}: the name is taken; choose another")
            return
        kind: type[Settings] = imported(verbs()[verb].settings)
        resolved = resolve_section(
            kind,
            Entry(entry.line, Section(entry.line, own)),
            section=name,
            verb=verb,
            file=self.file,
            before=self._before(kind, own),
            problems=self.problems,
        )
        if resolved is not None:
            needs = tuple(dict.fromkeys(self._needs(resolved.settings, own, entry.line, name=name)))
            self.steps.append(Step(full, verb, resolved, needs, entry.line))

    def _before(self, kind: type[Settings], own: Mapping[str, Entry]) -> dict[str, object]:
        """Return what a stage gets that does not say it: the road's model, and the defaults."""
        known = declared(kind)
        found: dict[str, object] = {}
        defaults = self.root.entries.get("defaults")
        if defaults is not None and isinstance(defaults.value, Section):
            for name, entry in defaults.value.entries.items():
                if name in known and name not in own and isinstance(entry.value, Scalar):
                    found[name] = entry.value.text
        if "model" in known and "model" not in own:
            found["model"] = BASE
        if "do" in known and "do" not in own:  # the embedded world is exported
            found["do"] = ("export",)
        return found

    def _needs(
        self, settings: Settings, own: Mapping[str, Entry], line: int, *, name: str
    ) -> Iterator[str]:
        """Yield the stages that a stage's settings name; tell of files that are not there."""
        done = [step.name for step in self.steps]
        later = set(self._all_names()) - {_plain(each) for each in done} - {name}
        for setting, value in references(settings):
            at = own[setting].line if setting in own else line
            head = Path(value).parts[0] if value else ""
            found = meant(head, done, self.steps)
            if found is not None:
                yield found
            elif head == name:
                self._problem(at, f"{name}.{setting}: names itself, a circle; name what is before")
            elif head in later:
                self._problem(
                    at,
                    f"{name}.{setting}: {head} comes later; move it up: a road has no circle",
                )
            elif head == LATEST:
                self._problem(at, f"{name}.{setting}: no stage before it makes a model")
            elif value != BASE and not _exists(value, setting):
                near = nearest(head, [*done, BASE])
                hint = f"did you mean {near}?" if near else "name a stage before it, or a path"
                self._problem(at, f"{name}.{setting}: {shown(value)} is not there; {hint}")

    def _all_names(self) -> Iterator[str]:
        for part in ("stages", "each_round"):
            entry = self.root.entries.get(part)
            if entry is not None and isinstance(entry.value, Section):
                yield from entry.value.entries

    def _evaluate(self) -> Resolved[EvaluateSettings] | None:
        entry = self.root.entries.get("evaluate")
        if entry is None:
            return None
        section = entry.value if isinstance(entry.value, Section) else Section(entry.line, {})
        own = dict(section.entries)
        if "models" not in own:
            names = [BASE, *(step.name for step in self.steps if step.verb in POLICIES)]
            items = tuple(Scalar(entry.line, name, is_plain=True) for name in names)
            own["models"] = Entry(entry.line, Listing(entry.line, items))
        resolved = resolve_section(
            EvaluateSettings,
            Entry(entry.line, Section(entry.line, own)),
            section="evaluate",
            verb="evaluate",
            file=self.file,
            before=self._before(EvaluateSettings, own),
            problems=self.problems,
        )
        if resolved is not None:
            list(self._needs(resolved.settings, own, entry.line, name="evaluate"))
        return resolved

    def _models(self, evaluate: Resolved[EvaluateSettings] | None) -> tuple[str, ...]:
        if evaluate is None:
            return ()
        names = [step.name for step in self.steps]
        return tuple(meant(name, names, self.steps) or name for name in evaluate.settings.models)

    def _gates(self, models: Sequence[str]) -> Iterator[Gate]:
        entry = self.root.entries.get("gates")
        if entry is None:
            return
        if not isinstance(entry.value, Section):
            self._problem(entry.line, 'gates: no mapping; write as `facts: ">= sft - 0.02"`')
            return
        if "evaluate" not in self.root.entries:
            self._problem(entry.line, "gates: nothing is measured; write `evaluate:` too")
            return
        for name, inner in entry.value.entries.items():
            text = inner.value.text if isinstance(inner.value, Scalar) else ""
            try:
                yield read_gate(name, text, models)
            except ValueError as error:
                self._problem(inner.line, f"gates.{name}: {error}")


def meant(head: str, done: Sequence[str], steps: Sequence[Step]) -> str | None:
    """Return the stage that a name means: itself, or of a round's stage the newest one."""
    if head in done:
        return head
    if head == LATEST:
        made = [step.name for step in steps if step.verb in POLICIES and step.name in done]
        return made[-1] if made else None
    of_rounds = [name for name in done if _plain(name) == head and name != head]
    return of_rounds[-1] if of_rounds else None


def _plain(name: str) -> str:
    """Return the name of a stage without its round.

    >>> _plain("ppo-2"), _plain("gpt-x")
    ('ppo', 'gpt-x')
    """
    stem, _, number = name.rpartition("-")
    return stem if stem and number.isdecimal() else name


def _exists(value: str, setting: str) -> bool:
    """Whether a value is something that can be looked for only later, or is there."""
    is_name = setting in NAMES - {"mix"}
    strange = ("builtin:", "http:", "https:", "votes:")
    if is_name and (value.startswith(strange) or value.count("/") == 1):
        return True  # an embedded model, an endpoint, votes, or a hub id: loading it tells more
    return Path(value).exists()


def _meant(name: str, allowed: Any) -> str:  # noqa: ANN401 -- any collection of names
    found = nearest(name, allowed)
    return f"did you mean {found}?" if found else f"there are {', '.join(sorted(allowed))}"
