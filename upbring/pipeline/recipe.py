"""The recipe of a pipeline: its stages, whose settings may name outputs of earlier stages.

    model: builtin:sprout        # the base model; stages refer to it as `base`
    defaults: {seed: 0}          # for every stage that has the setting
    stages:
      world:  {method: toyworld}
      sft:    {data: world/demonstrations.jsonl}    # without `method:`, the name is the method
      reward: {model: sft, data: world/rankings.jsonl}
    rounds: 2                    # how often the stages of each_round run
    each_round: {…}              # `latest` is the newest policy
    ask: ["What is the capital of France?"]  # asked of the base and of each policy
    evaluate: {models: [base, sft], suite: facts}
    gates: {facts: ">= base + 0.1"}

The whole recipe is checked before the first stage runs: methods, settings, names, files and gates.
Errors contain the file, the line and the nearest valid name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from upbring.data.read import files
from upbring.errors import InputError, format_value, nearest
from upbring.pipeline.gates import Gate, parse_gate
from upbring.pipeline.stage_table import OTHER_STAGES
from upbring.rules.by_name import RULES
from upbring.runs.folder_name import RULE, is_folder_name
from upbring.settings.alias_table import COMMAND_ALIASES
from upbring.settings.aliases import find_alias
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.input_references import STAGE_SETTINGS, input_references
from upbring.settings.parse_yaml import Entry, ListNode, Scalar, Section, read_yaml
from upbring.settings.resolve import Resolved, resolve_section
from upbring.settings.schema import Settings, setting_specs
from upbring.stages.registry import load_settings, methods

BASE, LATEST = "base", "latest"
RECIPE_KEYS = ("model", "defaults", "stages", "rounds", "each_round", "ask", "evaluate", "gates")
MAX_ROUNDS = 20


@dataclass(frozen=True)
class StageSpec:
    """A stage of a pipeline: its name, method and settings, and the stages that it needs."""

    name: str
    command: str
    resolved: Resolved[Any]
    needs: tuple[str, ...]
    line: int

    @property
    def makes_policy(self) -> bool:
        """Whether the stage trains a policy, a model that generates text."""
        method = methods().get(self.command)
        if self.command == "harden":
            return True
        return method is not None and method.makes == "policy"


@dataclass(frozen=True)
class Recipe:
    """A pipeline; its stages are in the order in which they run."""

    file: Path
    model: str
    stages: tuple[StageSpec, ...]
    ask: tuple[str, ...]
    evaluate: Resolved[EvaluateSettings] | None
    evaluated_models: tuple[str, ...]  # `base` or names of stages
    gates: tuple[Gate, ...]


def read_recipe(file: Path) -> Recipe:
    """Return the recipe in a file, or raise one error that lists all its problems."""
    if files.extension(file) in files.EXTENSIONS:
        raise InputError(
            f"{file}: is a data file, and a recipe is a .yaml file; to train on this file use "
            f"`upbring sft {file}`"
        )
    root = read_yaml(file)
    if not isinstance(root, Section):
        raise InputError(f"{file}:{root.line}: not a mapping; write `model:` and `stages:`")
    if _is_settings_file(root):
        raise InputError(
            f"{file}: has no `stages:`, so it is not a recipe; to train with settings in a file "
            f"use `upbring sft --settings {file}`"
        )
    reader = _RecipeReader(file, root)
    recipe = reader.read()
    if reader.problems or recipe is None:
        raise InputError("\n".join(reader.problems))
    return recipe


def _is_settings_file(root: Section) -> bool:
    """Whether most keys are no keys of a recipe, and none of those with stages is there."""
    names = {*root.entries}
    unknown = {name for name in names - {*RECIPE_KEYS} if nearest(name, RECIPE_KEYS) is None}
    return not names & {"stages", "each_round"} and len(unknown) > 1


class _RecipeReader:
    """Reads one recipe and collects its problems."""

    def __init__(self, file: Path, root: Section) -> None:
        self.file, self.root = file, root
        self.problems: list[str] = []
        self.stages: list[StageSpec] = []

    def read(self) -> Recipe | None:
        for name, entry in self.root.entries.items():
            if name not in RECIPE_KEYS:
                self._add_problem(
                    entry.line, f"{name}: unknown key; {_suggest_name(name, RECIPE_KEYS)}"
                )
        model = self._read_text("model")
        rounds = self._read_rounds()
        self._read_stages("stages", round_number=None)
        for number in range(1, rounds + 1):
            self._read_stages("each_round", round_number=number)
        if not self.stages and not self.problems:
            self._add_problem(1, "stages: no stage found; write at least `sft:` with its data")
        evaluate = self._read_evaluate()
        models = self._evaluated_models(evaluate)
        gates = tuple(self._read_gates(models))
        if model is None:
            return None
        return Recipe(
            self.file, model, tuple(self.stages), self._read_ask(), evaluate, models, gates
        )

    def _add_problem(self, line: int, text: str) -> None:
        message = f"{self.file}:{line}: {text}"
        if message not in self.problems:  # each round reads the same stages again
            self.problems.append(message)

    def _read_text(self, name: str) -> str | None:
        entry = self.root.entries.get(name)
        if entry is None:
            self._add_problem(1, f"{name}: required and not given; name the model to start from")
        elif not isinstance(entry.value, Scalar) or entry.value.is_null:
            self._add_problem(
                entry.line, f"{name}: not a string; name a folder, a run or builtin:sprout"
            )
        else:
            return entry.value.text
        return None

    def _read_ask(self) -> tuple[str, ...]:
        entry = self.root.entries.get("ask")
        if entry is None:
            return ()
        items = entry.value.items if isinstance(entry.value, ListNode) else (entry.value,)
        if not all(isinstance(item, Scalar) and not item.is_null for item in items):
            self._add_problem(entry.line, 'ask: not a list of strings; write ["What is snow?"]')
        return tuple(item.text for item in items if isinstance(item, Scalar))

    def _read_rounds(self) -> int:
        entry = self.root.entries.get("rounds")
        has_each_round = "each_round" in self.root.entries
        if entry is None:
            return 1 if has_each_round else 0
        text = entry.value.text if isinstance(entry.value, Scalar) else ""
        if not text.isdecimal() or not 1 <= int(text) <= MAX_ROUNDS:
            self._add_problem(entry.line, f"rounds: give a whole number from 1 to {MAX_ROUNDS}")
            return 1
        if not has_each_round:
            self._add_problem(entry.line, "rounds: no stages to repeat; add `each_round:`")
        return int(text)

    def _read_stages(self, key: str, *, round_number: int | None) -> None:
        """Read the stages of a top-level key, in order."""
        entry = self.root.entries.get(key)
        if entry is None:
            return
        if not isinstance(entry.value, Section):
            self._add_problem(
                entry.line, f"{key}: not a mapping; write stage names and their settings"
            )
            return
        for name, inner in entry.value.entries.items():
            self._read_stage(name, inner, round_number=round_number)

    def _read_stage(self, name: str, entry: Entry, *, round_number: int | None) -> None:
        section = entry.value
        if isinstance(section, Scalar) and section.is_null:
            section = Section(entry.line, {})
        if not isinstance(section, Section):
            self._add_problem(entry.line, f"{name}: not a mapping; write the settings of the stage")
            return
        entries = dict(section.entries)
        command_entry = entries.pop("method", None)
        command = (
            command_entry.value.text
            if command_entry and isinstance(command_entry.value, Scalar)
            else name
        )
        command = str(COMMAND_ALIASES.get(command, command))
        if command not in {*methods(), *OTHER_STAGES}:
            line = command_entry.line if command_entry else entry.line
            hint = "" if command_entry else "; or set its `method:`"
            self._add_problem(
                line,
                f"{name}: unknown method {format_value(command)}; "
                f"{_suggest_name(command, {*methods(), *OTHER_STAGES})}{hint}",
            )
            return
        full_name = name if round_number is None else f"{name}-{round_number}"
        if not is_folder_name(full_name):
            self._add_problem(
                entry.line, f"{format_value(name)}: is not a valid name of a stage; {RULE}"
            )
            return
        if full_name in {BASE, LATEST, *(stage.name for stage in self.stages)}:
            self._add_problem(entry.line, f"{name}: name already in use; choose another")
            return
        settings_class: type[Settings] = OTHER_STAGES.get(command) or load_settings(
            methods()[command]
        )
        resolved = resolve_section(
            settings_class,
            Entry(entry.line, Section(entry.line, entries)),
            section=name,
            command=command,
            file=self.file,
            defaults=self._default_values(settings_class, entries),
            problems=self.problems,
        )
        if resolved is not None:
            needs = tuple(dict.fromkeys(self._find_needs(resolved, entry.line, name=name)))
            self.stages.append(StageSpec(full_name, command, resolved, needs, entry.line))

    def _default_values(
        self, settings_class: type[Settings], entries: Mapping[str, Entry]
    ) -> dict[str, object]:
        """Return the values of settings that a stage omits: the defaults and the base model."""
        allowed = setting_specs(settings_class)
        values: dict[str, object] = {}
        defaults = self.root.entries.get("defaults")
        if defaults is not None and isinstance(defaults.value, Section):
            for given_name, entry in defaults.value.entries.items():
                alias = None if given_name in allowed else find_alias(given_name, allowed)
                name = alias.setting if alias else given_name
                if name in allowed and name not in entries and isinstance(entry.value, Scalar):
                    values[given_name] = entry.value.text
        if "model" in allowed and "model" not in entries:
            values["model"] = BASE
        if "do" in allowed and "do" not in entries:  # a toyworld stage exports the bundled world
            values["do"] = ("export",)
        return values

    def _find_needs(self, resolved: Resolved[Any], line: int, *, name: str) -> Iterator[str]:
        """Yield the stages that a stage's settings name; report files that do not exist."""
        earlier = [stage.name for stage in self.stages]
        later = set(self._stage_names()) - {_strip_round_number(each) for each in earlier} - {name}
        for setting, value in input_references(resolved.settings):
            _, _, origin_line = resolved.origins[setting].rpartition(":")
            setting_line = int(origin_line) if origin_line.isdecimal() else line
            first_part = Path(value).parts[0] if value else ""
            needed_stage = find_stage_name(first_part, earlier, self.stages)
            if needed_stage is not None:
                yield needed_stage
            elif first_part == name:
                self._add_problem(
                    setting_line, f"{name}.{setting}: refers to its own stage; name an earlier one"
                )
            elif first_part in later:
                self._add_problem(
                    setting_line,
                    f"{name}.{setting}: stage {first_part!r} comes later; move it up",
                )
            elif first_part == LATEST:
                self._add_problem(
                    setting_line,
                    f"{name}.{setting}: no earlier stage trains a policy; name a model",
                )
            elif value != BASE and not _may_exist(value, setting):
                suggestion = nearest(first_part, [*earlier, BASE])
                hint = (
                    f"did you mean {suggestion}?"
                    if suggestion
                    else "name an earlier stage, or a path relative to the current folder"
                )
                if folder := _folder_with(value, near=self.file):
                    hint = f"paths are relative to the current folder: run it in {folder}"
                self._add_problem(
                    setting_line, f"{name}.{setting}: {format_value(value)} not found; {hint}"
                )

    def _stage_names(self) -> Iterator[str]:
        for key in ("stages", "each_round"):
            entry = self.root.entries.get(key)
            if entry is not None and isinstance(entry.value, Section):
                yield from entry.value.entries

    def _read_evaluate(self) -> Resolved[EvaluateSettings] | None:
        entry = self.root.entries.get("evaluate")
        if entry is None:
            return None
        section = entry.value if isinstance(entry.value, Section) else Section(entry.line, {})
        entries = dict(section.entries)
        if "models" not in entries:
            names = [
                BASE,
                *(stage.name for stage in self.stages if stage.makes_policy),
            ]
            items = tuple(Scalar(entry.line, name, is_plain=True) for name in names)
            entries["models"] = Entry(entry.line, ListNode(entry.line, items))
        resolved = resolve_section(
            EvaluateSettings,
            Entry(entry.line, Section(entry.line, entries)),
            section="evaluate",
            command="evaluate",
            file=self.file,
            defaults=self._default_values(EvaluateSettings, entries),
            problems=self.problems,
        )
        if resolved is not None:
            list(self._find_needs(resolved, entry.line, name="evaluate"))
        return resolved

    def _evaluated_models(self, evaluate: Resolved[EvaluateSettings] | None) -> tuple[str, ...]:
        if evaluate is None:
            return ()
        names = [stage.name for stage in self.stages]
        return tuple(
            find_stage_name(name, names, self.stages) or name for name in evaluate.settings.models
        )

    def _read_gates(self, models: Sequence[str]) -> Iterator[Gate]:
        entry = self.root.entries.get("gates")
        if entry is None:
            return
        if not isinstance(entry.value, Section):
            self._add_problem(
                entry.line, 'gates: not a mapping; write for example `facts: ">= sft - 0.02"`'
            )
            return
        if "evaluate" not in self.root.entries:
            self._add_problem(entry.line, "gates: no evaluation to check; add `evaluate:`")
            return
        for name, inner in entry.value.entries.items():
            text = inner.value.text if isinstance(inner.value, Scalar) else ""
            try:
                yield replace(parse_gate(name, text, models), line=inner.line)
            except ValueError as error:
                self._add_problem(inner.line, f"gates.{name}: {error}")


def find_stage_name(name: str, earlier: Sequence[str], stages: Sequence[StageSpec]) -> str | None:
    """Return the stage that a name refers to; for a stage of rounds, the newest one."""
    if name in earlier:
        return name
    if name == LATEST:
        policies = [each.name for each in stages if each.makes_policy and each.name in earlier]
        return policies[-1] if policies else None
    round_stages = [
        candidate
        for candidate in earlier
        if _strip_round_number(candidate) == name and candidate != name
    ]
    return round_stages[-1] if round_stages else None


def _strip_round_number(name: str) -> str:
    """Return the name of a stage without its round number.

    >>> _strip_round_number("ppo-2"), _strip_round_number("gpt-x")
    ('ppo', 'gpt-x')
    """
    stem, _, number = name.rpartition("-")
    return stem if stem and number.isdecimal() else name


def _folder_with(value: str, *, near: Path) -> Path | None:
    """Return the folder of a recipe, or one above it, in which a path exists; None: in none."""
    return next((each for each in near.resolve().parents if (each / value).exists()), None)


def _may_exist(value: str, setting: str) -> bool:
    """Whether a value is an existing path, or a name that can only be checked at load time."""
    is_name = setting in STAGE_SETTINGS - {"mix"}
    external_prefixes = ("builtin:", "http:", "https:", "votes:")
    if setting == "judge" and (value == "none" or value.removeprefix("is_") in RULES):
        return True
    if is_name and (value.startswith(external_prefixes) or value.count("/") == 1):
        return True  # a built-in model, an endpoint, votes, or a hub id
    return Path(value).exists()


def _suggest_name(name: str, allowed: Any) -> str:  # noqa: ANN401 -- any collection of names
    suggestion = nearest(name, allowed)
    return (
        f"did you mean {suggestion}?" if suggestion else f"use one of {', '.join(sorted(allowed))}"
    )
