"""Read a run, a pipeline, an evaluation, or a folder of runs into an `Evidence`.

A run may be running, or may have died while writing. Missing files are skipped. Damaged files and
lines are skipped too, and listed in `read_errors`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from upbring.durable import JSON, explain_os_errors
from upbring.errors import InputError, nearest
from upbring.model.gguf.locate_model import locate_model
from upbring.report.count_weights import num_weights
from upbring.report.run_data import BASE, Answer, Evidence, ReportedGate, ReportedStage
from upbring.runs.contract import Contract, read_contract
from upbring.runs.data_file import DataFile, read_data_file
from upbring.runs.environment import redact_home
from upbring.runs.find_model import open_model_folder
from upbring.runs.metrics import MetricsRecord, iter_records, read_lines
from upbring.runs.results import ABOUT_JUDGES, ANSWERS, RESULTS, EvalResult, read_results
from upbring.runs.run_folder import STAGES_FOLDER, Run, all_runs
from upbring.settings.parse_yaml import Node, Scalar, Section, read_yaml

RECIPE_FILE, GATES_FILE = "recipe.json", "gates.json"
EVALUATION_FOLDER = "evaluation"
RUN_FILES = ("run.json", "metrics.jsonl", "samples.jsonl")
CHANGING_FILES = (*RUN_FILES, RESULTS, ANSWERS, RECIPE_FILE, GATES_FILE)
MAX_TEXT_LENGTH = 4000  # characters kept of a prompt or response
INPUT_SETTINGS = ("model", "reward_model", "value", "judge")  # settings that name an input model

T = TypeVar("T")


def read_evidence(folders: Sequence[Path]) -> Evidence:
    """Return the contents of `folders`; raise InputError for a folder without known files."""
    reader = _EvidenceReader()
    for folder in folders:
        reader.add(folder)
    title = ", ".join(folder.resolve().name for folder in folders)
    return reader.build_evidence(title)


def file_stats(folders: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Return path, size and mtime of the files that change while a pipeline runs."""
    search_folders = [each for folder in folders for each in _folders_with_results(folder)]
    files = [each / name for each in search_folders for name in CHANGING_FILES]
    stats = [(str(file), file.stat()) for file in files if file.is_file()]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _folders_with_results(folder: Path) -> list[Path]:
    """Return a folder and its subfolders that may contain files of a pipeline."""
    inner = [folder / EVALUATION_FOLDER, folder / STAGES_FOLDER, folder]
    deeper = [child for each in inner if each.is_dir() for child in sorted(each.iterdir())]
    return list(dict.fromkeys([folder, folder / EVALUATION_FOLDER, *deeper]))


@dataclass(eq=False)
class _EvidenceReader:
    """Collects what has been read so far."""

    stages: dict[Path, ReportedStage] = field(default_factory=dict)
    results: dict[tuple[str, str, str, str | None], EvalResult] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    gates: list[ReportedGate] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    status: str | None = None
    read_errors: list[str] = field(default_factory=list)

    def build_evidence(self, title: str) -> Evidence:
        stages = tuple(self.stages.values())
        names = {stage.path.resolve(): stage.name for stage in stages}
        linked = tuple(replace(each, inputs=_resolve_inputs(each, names)) for each in stages)
        results = tuple(self.results.values())
        compared = dict.fromkeys(each.model for each in results if each.suite not in ABOUT_JUDGES)
        models = tuple(self.models or compared)
        return Evidence(
            title,
            linked,
            results,
            tuple(self.answers),
            tuple(self.gates),
            models,
            self.status,
            tuple(self.read_errors),
        )

    def add(self, folder: Path) -> None:
        """Read a folder of any known kind."""
        if (folder / "run.json").is_file():
            self._add_run(folder)
        elif (folder / RECIPE_FILE).is_file() or (folder / STAGES_FOLDER).is_dir():
            self._add_pipeline(folder)
        elif (folder / RESULTS).is_file() or (folder / ANSWERS).is_file():
            self._add_evaluation(folder)
        elif runs := self._call_or_record_error(partial(all_runs, folder)):
            for run in runs:
                self._add_run(run.path)
        else:
            raise InputError(_unknown_folder_message(folder))

    def _add_pipeline(self, folder: Path) -> None:
        """Read a pipeline folder: its stages in recipe order, its evaluation and its gates."""
        recipe = self._read_object(folder / RECIPE_FILE)
        stage_rows = [each for each in _as_list(recipe.get("stages")) if isinstance(each, Mapping)]
        self.status = str(recipe["status"]) if "status" in recipe else self.status
        self.models += [str(each) for each in _as_list(recipe.get("models"))]
        for each in stage_rows:
            name = str(each.get("name", "?"))
            path = _stage_folder(folder, name, str(each.get("run", "")))
            raw_inputs = each.get("inputs")
            inputs = (
                {str(k): str(v) for k, v in raw_inputs.items()}
                if isinstance(raw_inputs, Mapping)
                else {}
            )
            status, command = str(each.get("status", "?")), str(each.get("method", "?"))
            stage = ReportedStage(name, command, path, status, inputs=inputs)
            self._add_stage(_with_method_metadata(stage, each))
        if not stage_rows and (folder / STAGES_FOLDER).is_dir():
            for run in self._call_or_record_error(partial(all_runs, folder / STAGES_FOLDER)) or []:
                self._add_run(run.path)
        self._add_evaluation(folder)
        self._add_gates(folder / GATES_FILE)

    def _add_run(self, folder: Path) -> None:
        self._add_stage(ReportedStage(folder.name, "?", folder, "?"))

    def _add_stage(self, stage: ReportedStage) -> None:
        """Read a stage; its run folder, if there is one, takes precedence over the recipe."""
        folder = stage.path
        if (folder / "run.json").is_file():
            stage = self._read_run(Run(folder), stage)
        self.stages[folder.resolve()] = stage
        self._add_evaluation(folder)

    def _read_run(self, run: Run, stage: ReportedStage) -> ReportedStage:
        facts = self._call_or_record_error(run.read_metadata) or {}
        command = str(facts.get("method", stage.command))
        contract = None
        if run.contract_file.is_file():
            contract = self._call_or_record_error(partial(read_contract, run.contract_file))
        steps = facts.get("steps")
        return replace(
            _with_method_metadata(stage, facts),
            command=command,
            status=self._call_or_record_error(run.status) or stage.status,
            started_at=_as_text(facts.get("started_at")),
            finished_at=_as_text(facts.get("finished_at")),
            planned_steps=steps if isinstance(steps, int) else None,
            records=self._read_records(run.metrics_file),
            settings=self._read_settings(run.settings_file, command),
            environment=self._read_object(run.environment_file),
            files=self._read_data_files(run.data_file),
            contract=contract,
            samples=tuple(self._read_rows(run.samples_file)),
            num_trainable=self._call_or_record_error(partial(_num_trainable, run)),
            num_weights=_num_base_weights(contract),
        )

    def _add_evaluation(self, folder: Path) -> None:
        """Read the evaluation results in a folder and in its `evaluation` subfolder."""
        inner = folder / EVALUATION_FOLDER
        subfolders = sorted(p for p in inner.iterdir() if p.is_dir()) if inner.is_dir() else []
        for source in (folder, inner, *subfolders):
            for each in self._call_or_record_error(partial(read_results, source)) or []:
                self.results[each.suite, each.model, each.name, each.against] = each
            rows = self._read_rows(source / ANSWERS)
            self.answers += [_parse_answer(row) for row in rows if not row.get("stale")]

    def _add_gates(self, path: Path) -> None:
        if not path.is_file():
            return
        for each in _as_list(self._call_or_record_error(partial(_read_json, path))):
            if isinstance(each, Mapping):
                self.gates.append(_parse_gate(each))

    def _read_records(self, path: Path) -> tuple[MetricsRecord, ...]:
        result: list[MetricsRecord] = []
        self._call_or_record_error(lambda: result.extend(iter_records(path)))
        return tuple(result)

    def _read_rows(self, path: Path) -> list[dict[str, JSON]]:
        result: list[dict[str, JSON]] = []
        self._call_or_record_error(lambda: result.extend(row for _, row in read_lines(path)))
        return result

    def _read_settings(self, path: Path, command: str) -> dict[str, JSON]:
        if not path.is_file():
            return {}
        node = self._call_or_record_error(partial(read_yaml, path))
        if not isinstance(node, Section):
            return {}
        section = node.entries[command].value if command in node.entries else node
        plain = _node_to_json(section)
        return dict(plain) if isinstance(plain, Mapping) else {}

    def _read_data_files(self, path: Path) -> tuple[DataFile, ...]:
        rows = _as_list(self._read_object(path).get("files"))
        data_files = [
            self._call_or_record_error(partial(read_data_file, row))
            for row in rows
            if isinstance(row, Mapping)
        ]
        return tuple(each for each in data_files if each is not None)

    def _read_object(self, path: Path) -> dict[str, JSON]:
        value = self._call_or_record_error(partial(_read_json, path)) if path.is_file() else None
        return dict(value) if isinstance(value, Mapping) else {}

    def _call_or_record_error(self, read: Callable[[], T]) -> T | None:
        """Return what `read` returns, or None after recording its error."""
        try:
            return read()
        except InputError as error:
            message = redact_home(str(error))
        except (OSError, ValueError, TypeError, KeyError) as error:
            message = redact_home(f"{type(error).__name__}: {error}")
        if message not in self.read_errors:
            self.read_errors.append(message)
        return None


def _read_json(path: Path) -> JSON:
    try:
        with explain_os_errors(path):
            value: JSON = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON; the report omits this file") from error
    return value


def _node_to_json(node: Node) -> JSON:
    """Return a YAML node as plain JSON, without line numbers."""
    if isinstance(node, Scalar):
        return None if node.is_null else node.text
    if isinstance(node, Section):
        return {key: _node_to_json(entry.value) for key, entry in node.entries.items()}
    return [_node_to_json(item) for item in node.items]


def _stage_folder(folder: Path, name: str, recorded_path: str) -> Path:
    """Return the folder of a stage, even after the pipeline folder was moved."""
    candidates = [folder / STAGES_FOLDER / name]
    if recorded_path:
        candidates += [Path(recorded_path), folder / recorded_path]
    return next((path for path in candidates if path.is_dir()), candidates[0])


def _with_method_metadata(stage: ReportedStage, row: Mapping[str, JSON]) -> ReportedStage:
    """Return a stage with the recorded properties of its method, which may not be installed."""
    return replace(
        stage,
        learns_from=_as_text(row.get("learns_from")) or stage.learns_from,
        makes=_as_text(row.get("makes")) or stage.makes,
        panels=tuple(str(each) for each in _as_list(row.get("panels"))) or stage.panels,
    )


def _resolve_inputs(stage: ReportedStage, names: Mapping[Path, str]) -> dict[str, str]:
    """Return the inputs of a stage: stage names where known, otherwise the given name."""
    stage_names, start_directory = set(names.values()), _start_directory(stage)
    declared = {key: key if key in stage_names else value for key, value in stage.inputs.items()}
    inputs = {**dict(_inputs_from_settings(stage.settings)), **declared}
    return {
        key: value
        if value in stage_names
        else names.get((start_directory / value).resolve(), _redact_unless_base(value))
        for key, value in inputs.items()
    }


def _start_directory(stage: ReportedStage) -> Path:
    """Return the working directory of a stage; its relative paths start there."""
    run = Run(stage.path)
    if run.metadata_file.is_file():
        with suppress(InputError):
            return run.start_directory() or Path()
    return Path()


def _inputs_from_settings(settings: Mapping[str, JSON]) -> Iterator[tuple[str, str]]:
    """Yield the role and name of each input model; `=WEIGHT` is removed from names."""
    for key in INPUT_SETTINGS:
        value = settings.get(key)
        values = [value] if isinstance(value, str) else _as_list(value)
        for number, each in enumerate(values, start=1):
            stem, _, weight = str(each).rpartition("=")
            has_weight = bool(stem) and weight.replace(".", "", 1).isdigit()
            yield (key if number == 1 else f"{key} {number}", stem if has_weight else str(each))


def _redact_unless_base(name: str) -> str:
    return BASE if name == BASE else redact_home(name)


def _parse_answer(row: Mapping[str, JSON]) -> Answer:
    verdicts = row.get("verdicts")
    raw_verdicts = verdicts if isinstance(verdicts, Mapping) else {}
    parsed_verdicts: dict[str, float | str] = {
        name: float(value) if isinstance(value, bool | int | float) else str(value)
        for name, value in raw_verdicts.items()
        if value is not None
    }
    return Answer(
        str(row.get("suite", "?")),
        str(row.get("model", "?")),
        _truncate(_format_prompt(row.get("prompt"))),
        _truncate(str(row.get("response", ""))),
        parsed_verdicts,
    )


def _format_prompt(prompt: JSON) -> str:
    """Return a prompt as text; the messages of a dialogue become one line each."""
    turns = [each for each in _as_list(prompt) if isinstance(each, Mapping)]
    if turns:
        return "\n".join(f"{each.get('role', '?')}: {each.get('content', '')}" for each in turns)
    return "" if prompt is None else str(prompt)


def _parse_gate(row: Mapping[str, JSON]) -> ReportedGate:
    passed = row.get("passed")
    return ReportedGate(
        str(row.get("name", "?")),
        str(row.get("condition", "")),
        str(row.get("model", "")),
        _as_float(row.get("value")),
        _as_float(row.get("low")),
        _as_float(row.get("high")),
        passed if isinstance(passed, bool) else None,
        str(row.get("note") or ""),
    )


def _num_trainable(run: Run) -> int | None:
    return num_weights(open_model_folder(run.model)) if run.model.is_dir() else None


def _num_base_weights(contract: Contract | None) -> int | None:
    """Return the number of weights of the base model if it is local; nothing is downloaded."""
    if contract is None:
        return None
    name = contract.base
    if not name.startswith("builtin:") and not Path(name).is_dir():
        return None
    try:
        return num_weights(locate_model(name))
    except InputError:
        return None


def _unknown_folder_message(folder: Path) -> str:
    if folder.is_dir():
        return (
            f"{folder}: contains no run, pipeline or evaluation; "
            "name another folder (`upbring runs` lists them)"
        )
    names = [path.name for path in _sibling_folders(folder)]
    suggestion = nearest(folder.name, names)
    hint = f"did you mean {folder.parent / suggestion}?" if suggestion else "see `upbring runs`"
    return f"{folder}: no such folder; {hint}"


def _sibling_folders(folder: Path) -> Iterator[Path]:
    if folder.parent.is_dir():
        yield from (path for path in sorted(folder.parent.iterdir()) if path.is_dir())


def _as_list(value: JSON) -> list[JSON]:
    return list(value) if isinstance(value, list | tuple) else []


def _as_text(value: JSON) -> str | None:
    return value if isinstance(value, str) else None


def _as_float(value: JSON) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(str(value)) if is_number else None


def _truncate(text: str) -> str:
    if len(text) <= MAX_TEXT_LENGTH:
        return text
    return f"{text[:MAX_TEXT_LENGTH]} … (truncated, {len(text):,} characters)"
