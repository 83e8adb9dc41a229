"""From folders to evidence: a run, what a recipe made, an evaluation, or a folder of these.

A run may be at work, and a process may have died while it wrote. What is not there is left out;
what is damaged is left out and named in `faults`, never guessed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from upbring.durable import JSON, explained
from upbring.errors import InputError, nearest
from upbring.report.count_weights import num_weights
from upbring.report.run_data import BASE, Answer, Evidence, Gate, Stage
from upbring.runs.contract import Contract, read_contract
from upbring.runs.environment import redacted
from upbring.runs.find_model import locate
from upbring.runs.metrics import Record, read_lines, records
from upbring.runs.results import ANSWERS, RESULTS, Measured, read_results
from upbring.runs.run_folder import DataFile, Run, all_runs
from upbring.settings.yaml_nodes import Node, Scalar, Section, read_yaml

RECIPE, GATES, EVALUATION, STAGES = "recipe.json", "gates.json", "evaluation", "stages"
GROWING = ("run.json", "metrics.jsonl", "samples.jsonl", RESULTS, ANSWERS, RECIPE, GATES)
MOST_TEXT = 4000  # characters of an answer that are kept
FROM = ("model", "reward", "value", "judge")  # settings that name what a stage begins with

T = TypeVar("T")


def gather(folders: Sequence[Path]) -> Evidence:
    """Return what folders hold; a folder that is none of ours is refused."""
    reading = _Reading()
    for folder in folders:
        reading.add(folder)
    title = ", ".join(folder.resolve().name for folder in folders)
    return reading.evidence(title)


def growing(folders: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Return name, size and time of the files that change while a road is taken."""
    places = [place for folder in folders for place in _places(folder)]
    files = [place / name for place in places for name in GROWING]
    stats = [(str(file), file.stat()) for file in files if file.is_file()]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _places(folder: Path) -> list[Path]:
    """Return a folder and those in it where files of a road may lie."""
    inner = [folder / EVALUATION, folder / STAGES, folder]
    deeper = [place for each in inner if each.is_dir() for place in sorted(each.iterdir())]
    return list(dict.fromkeys([folder, folder / EVALUATION, *deeper]))


@dataclass(eq=False)
class _Reading:
    """What was read so far."""

    stages: dict[Path, Stage] = field(default_factory=dict)
    results: dict[tuple[str, str, str, str | None], Measured] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    status: str | None = None
    faults: list[str] = field(default_factory=list)

    def evidence(self, title: str) -> Evidence:
        stages = tuple(self.stages.values())
        names = {stage.path.resolve(): stage.name for stage in stages}
        linked = tuple(replace(each, inputs=_linked(each, names)) for each in stages)
        results = tuple(self.results.values())
        compared = dict.fromkeys(each.model for each in results if each.suite != "reward_health")
        models = tuple(self.models or compared)
        return Evidence(
            title,
            linked,
            results,
            tuple(self.answers),
            tuple(self.gates),
            models,
            self.status,
            tuple(self.faults),
        )

    def add(self, folder: Path) -> None:
        """Read a folder, whichever of ours it is."""
        if (folder / "run.json").is_file():
            self._add_run(folder)
        elif (folder / RECIPE).is_file() or (folder / STAGES).is_dir():
            self._add_road(folder)
        elif (folder / RESULTS).is_file() or (folder / ANSWERS).is_file():
            self._add_evaluation(folder)
        elif runs := self._tried(partial(all_runs, folder)):
            for run in runs:
                self._add_run(run.path)
        else:
            raise InputError(_none_of_ours(folder))

    def _add_road(self, folder: Path) -> None:
        """Read what a recipe made: its stages in their order, its evaluation, its gates."""
        recipe = self._object(folder / RECIPE)
        told = [each for each in _listed(recipe.get("stages")) if isinstance(each, Mapping)]
        self.status = str(recipe["status"]) if "status" in recipe else self.status
        self.models += [str(each) for each in _listed(recipe.get("models"))]
        for each in told:
            name = str(each.get("name", "?"))
            place = _place(folder, name, str(each.get("run", "")))
            found = each.get("inputs")
            inputs = (
                {str(k): str(v) for k, v in found.items()} if isinstance(found, Mapping) else {}
            )
            status, verb = str(each.get("status", "?")), str(each.get("verb", "?"))
            self._add_stage(Stage(name, verb, place, status, inputs=inputs))
        if not told and (folder / STAGES).is_dir():
            for run in self._tried(partial(all_runs, folder / STAGES)) or []:
                self._add_run(run.path)
        self._add_evaluation(folder)
        self._add_gates(folder / GATES)

    def _add_run(self, folder: Path) -> None:
        self._add_stage(Stage(folder.name, "?", folder, "?"))

    def _add_stage(self, stage: Stage) -> None:
        """Read a stage's own folder, where it has one; the folder knows better than the recipe."""
        folder = stage.path
        if (folder / "run.json").is_file():
            stage = self._read_run(Run(folder), stage)
        self.stages[folder.resolve()] = stage
        self._add_evaluation(folder)

    def _read_run(self, run: Run, stage: Stage) -> Stage:
        facts = self._tried(run.facts) or {}
        verb = str(facts.get("verb", stage.verb))
        is_agreed = run.contract_file.is_file()
        contract = self._tried(partial(read_contract, run.contract_file)) if is_agreed else None
        steps = facts.get("steps")
        return replace(
            stage,
            verb=verb,
            status=self._tried(run.status) or stage.status,
            began=_text(facts.get("began")),
            finished=_text(facts.get("finished")),
            steps=steps if isinstance(steps, int) else None,
            records=self._records(run.metrics_file),
            settings=self._settings(run.settings_file, verb),
            environment=self._object(run.environment_file),
            files=self._files(run.data_file),
            contract=contract,
            samples=tuple(self._rows(run.samples_file)),
            num_learned=_num_learned(run, contract),
            num_weights=_num_base(contract),
        )

    def _add_evaluation(self, folder: Path) -> None:
        """Read what was measured in a folder and in `evaluation` below it."""
        inner = folder / EVALUATION
        below = sorted(p for p in inner.iterdir() if p.is_dir()) if inner.is_dir() else []
        for place in (folder, inner, *below):
            for each in self._tried(partial(read_results, place)) or []:
                self.results[each.suite, each.model, each.name, each.against] = each
            self.answers += [_answer(row) for row in self._rows(place / ANSWERS)]

    def _add_gates(self, path: Path) -> None:
        if not path.is_file():
            return
        for each in _listed(self._tried(partial(_json, path))):
            if isinstance(each, Mapping):
                self.gates.append(_gate(each))

    def _records(self, path: Path) -> tuple[Record, ...]:
        found: list[Record] = []
        self._tried(lambda: found.extend(records(path)))
        return tuple(found)

    def _rows(self, path: Path) -> list[dict[str, JSON]]:
        found: list[dict[str, JSON]] = []
        self._tried(lambda: found.extend(row for _, row in read_lines(path)))
        return found

    def _settings(self, path: Path, verb: str) -> dict[str, JSON]:
        if not path.is_file():
            return {}
        node = self._tried(partial(read_yaml, path))
        if not isinstance(node, Section):
            return {}
        own = node.entries[verb].value if verb in node.entries else node
        plain = _plain(own)
        return dict(plain) if isinstance(plain, Mapping) else {}

    def _files(self, path: Path) -> tuple[DataFile, ...]:
        rows = _listed(self._object(path).get("files"))
        made = [self._tried(partial(_data_file, row)) for row in rows if isinstance(row, Mapping)]
        return tuple(each for each in made if each is not None)

    def _object(self, path: Path) -> dict[str, JSON]:
        value = self._tried(partial(_json, path)) if path.is_file() else None
        return dict(value) if isinstance(value, Mapping) else {}

    def _tried(self, read: Callable[[], T]) -> T | None:
        """Return what is read; what is damaged is named."""
        try:
            return read()
        except InputError as error:
            fault = redacted(str(error))
        except (OSError, ValueError, TypeError, KeyError) as error:
            fault = redacted(f"{type(error).__name__}: {error}")
        if fault not in self.faults:
            self.faults.append(fault)
        return None


def _json(path: Path) -> JSON:
    try:
        with explained(path):
            value: JSON = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON; it is left out of the report") from error
    return value


def _plain(node: Node) -> JSON:
    """Return a node's text without its places."""
    if isinstance(node, Scalar):
        return None if node.is_null else node.text
    if isinstance(node, Section):
        return {key: _plain(entry.value) for key, entry in node.entries.items()}
    return [_plain(item) for item in node.items]


def _place(folder: Path, name: str, told: str) -> Path:
    """Return where a stage lies, also after its road's folder was moved."""
    candidates = [folder / STAGES / name, *([Path(told), folder / told] if told else [])]
    return next((path for path in candidates if path.is_dir()), candidates[0])


def _linked(stage: Stage, names: Mapping[Path, str]) -> dict[str, str]:
    """Return what a stage begins with: other stages by name, all else by what it is called."""
    known, begun = set(names.values()), _directory(stage)
    needed = {key: key if key in known else value for key, value in stage.inputs.items()}
    told = {**dict(_begun_with(stage.settings)), **needed}
    return {
        key: value if value in known else names.get((begun / value).resolve(), _outside(value))
        for key, value in told.items()
    }


def _directory(stage: Stage) -> Path:
    """Return where a stage was begun, for what it names is told from there."""
    run = Run(stage.path)
    if run.facts_file.is_file():
        with suppress(InputError):
            return run.directory() or Path()
    return Path()


def _begun_with(settings: Mapping[str, JSON]) -> Iterator[tuple[str, str]]:
    """Yield what settings name to begin with; of several rewards each, without its weight."""
    for key in FROM:
        value = settings.get(key)
        values = [value] if isinstance(value, str) else _listed(value)
        for number, each in enumerate(values, start=1):
            stem, _, weight = str(each).rpartition("=")
            is_weighed = bool(stem) and weight.replace(".", "", 1).isdigit()
            yield (key if number == 1 else f"{key} {number}", stem if is_weighed else str(each))


def _outside(name: str) -> str:
    return BASE if name == BASE else redacted(name)


def _answer(row: Mapping[str, JSON]) -> Answer:
    verdicts = row.get("verdicts")
    found = verdicts if isinstance(verdicts, Mapping) else {}
    kept: dict[str, float | str] = {
        name: float(value) if isinstance(value, bool | int | float) else str(value)
        for name, value in found.items()
        if value is not None
    }
    return Answer(
        str(row.get("suite", "?")),
        str(row.get("model", "?")),
        _cut(_spoken(row.get("prompt"))),
        _cut(str(row.get("response", ""))),
        kept,
    )


def _spoken(prompt: JSON) -> str:
    """Return a prompt as people read it: a text, or the messages of a dialogue."""
    turns = [each for each in _listed(prompt) if isinstance(each, Mapping)]
    if turns:
        return "\n".join(f"{each.get('role', '?')}: {each.get('content', '')}" for each in turns)
    return "" if prompt is None else str(prompt)


def _data_file(row: Mapping[str, JSON]) -> DataFile:
    is_held_out = row.get("purpose") == "held_out"
    return DataFile(
        str(row["file"]),
        str(row["sha256"]),
        int(str(row["rows"])),
        str(row.get("format", "?")),
        "held_out" if is_held_out else "train",
    )


def _gate(row: Mapping[str, JSON]) -> Gate:
    passed = row.get("passed")
    return Gate(
        str(row.get("name", "?")),
        str(row.get("condition", "")),
        str(row.get("model", "")),
        _number(row.get("value")),
        _number(row.get("low")),
        _number(row.get("high")),
        passed if isinstance(passed, bool) else None,
        str(row.get("note") or ""),
    )


def _num_learned(run: Run, contract: Contract | None) -> int | None:
    return num_weights(run.model) if contract and run.model.is_dir() else None


def _num_base(contract: Contract | None) -> int | None:
    """Return the size of a base that is on this machine; nothing is fetched for it."""
    if contract is None:
        return None
    name = contract.base
    if not name.startswith("builtin:") and not Path(name).is_dir():
        return None
    try:
        return num_weights(locate(name))
    except InputError:
        return None


def _none_of_ours(folder: Path) -> str:
    if folder.is_dir():
        return f"{folder}: holds no run, no recipe's stages and no evaluation; see `upbring runs`"
    names = [path.name for path in _siblings(folder)]
    meant = nearest(folder.name, names)
    hint = f"did you mean {folder.parent / meant}?" if meant else "see `upbring runs`"
    return f"{folder}: there is no such folder; {hint}"


def _siblings(folder: Path) -> Iterator[Path]:
    if folder.parent.is_dir():
        yield from (path for path in sorted(folder.parent.iterdir()) if path.is_dir())


def _listed(value: JSON) -> list[JSON]:
    return list(value) if isinstance(value, list | tuple) else []


def _text(value: JSON) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: JSON) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(str(value)) if is_number else None


def _cut(text: str) -> str:
    if len(text) <= MOST_TEXT:
        return text
    return f"{text[:MOST_TEXT]} … ({len(text):,} characters, cut)"
