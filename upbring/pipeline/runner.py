"""Runs the stages of a pipeline: finished stages are kept, interrupted ones are resumed.

    runs/assistant/
      recipe.yaml      the recipe of the last run
      recipe.json      the stages with their inputs and status
      stages/NAME/     a run's folder, an exported world or collected rows
      evaluation/      results.json, answers.jsonl
      gates.json       report.html  report.json

A stage runs again if its method, settings, input files, a stage that it needs, or the version
series of upbring changed, or if its output is missing. Previous output is renamed, not deleted. The
records of stages that did not run yet survive a kill at any time.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from upbring import __version__, durable
from upbring.durable import JSON
from upbring.errors import InputError, Interrupted, format_command
from upbring.pipeline.live_view import LiveView
from upbring.pipeline.recipe import BASE, Recipe, StageSpec, find_stage_name
from upbring.pipeline.stage_output import find_damage
from upbring.runs.run_folder import STAGES_FOLDER, Run
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.input_references import STAGE_SETTINGS, input_references, split_weight
from upbring.settings.resolve import Resolved
from upbring.stages.evaluation.models import hash_model
from upbring.stages.registry import methods
from upbring.stages.train_or_resume import resume_training, train
from upbring.train.heap import release_memory

# Within a version series, the same inputs give the same output.
VERSION_SERIES = ".".join(__version__.split(".")[:2])
# Settings that do not change a result.
IGNORED_SETTINGS = frozenset({"name", "runs", "threads", "save_total_limit", "to", "skip_bad"})

# The action for a stage: none, resume it, run it again, run it for the first time.
StageAction = Literal["kept", "resume", "again", "to do"]
Log = Callable[[str], None]
EVALUATION_FOLDER = "evaluation"
StageFunction = Callable[[Resolved[Any], Path, Log], None]


class WaitingError(InputError):
    """A stage waits for human annotations; this is no failure, and the next run continues."""

    exit_code = 0


@dataclass(eq=False)
class PipelineRunner:
    """Runs a recipe in a folder."""

    recipe: Recipe
    folder: Path
    stage_functions: dict[str, StageFunction]  # of methods that do not train
    log: Log
    # Called with the name of each finished policy: `base` or a stage.
    on_model_ready: Callable[[str], None] = lambda _: None
    stage_records: dict[str, dict[str, JSON]] = field(default_factory=dict)
    # Of models that no stage of this pipeline trains.
    external_model_hashes: dict[str, str] = field(default_factory=dict)
    live_view: LiveView | None = None  # on a terminal

    def run(self) -> None:
        """Run every stage that is not finished yet."""
        saved_records = self._read_saved_records()
        self._init_stage_records(saved_records)
        for stage in self.recipe.stages:
            with self._recording_outcome(stage):
                self._run_stage(stage, saved_records.get(stage.name, {}))
            release_memory()  # or the next stage would start with what this one held

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the pipeline's folder, so that no second process runs its stages."""
        with durable.explain_os_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with durable.lock(self.folder):
            durable.remove_leftovers(self.folder, is_locked=True)
            yield

    def _init_stage_records(self, saved_records: Mapping[str, Mapping[str, JSON]]) -> None:
        """Fill the records of all stages from the saved ones; a new stage is still to do."""
        for stage in self.recipe.stages:
            saved_record = saved_records.get(stage.name, {})
            self.stage_records[stage.name] = {
                "name": stage.name,
                "method": stage.command,
                **_method_metadata(stage.command),
                "inputs": {need: str(self.stage_folder(need)) for need in stage.needs},
                "run": str(self.stage_folder(stage.name)),
                "status": saved_record.get("status", "to do"),
                "key": saved_record.get("key"),
                "series": saved_record.get("series"),
            }

    def planned_actions(self) -> Iterator[tuple[StageSpec, Resolved[Any], StageAction]]:
        """Yield each stage, its settings and the action that `run` would take; write nothing."""
        saved_records = self._read_saved_records()
        self._init_stage_records(saved_records)
        for stage in self.recipe.stages:
            resolved = self.resolved_settings(stage)
            key = self.stage_records[stage.name]["key"] = self._stage_key(stage, resolved)
            yield (
                stage,
                resolved,
                self._choose_action(stage, key, saved_records.get(stage.name, {})),
            )

    def _choose_action(
        self, stage: StageSpec, key: str, saved_record: dict[str, JSON]
    ) -> StageAction:
        """Return the action for a stage, from its key now, its saved record and its folder."""
        is_same, was_finished = (
            saved_record.get("key") == key,
            saved_record.get("status") == "finished",
        )
        if not self.stage_folder(stage.name).exists():
            return "again" if is_same and was_finished else "to do"
        if is_same and was_finished:
            return "again" if find_damage(stage, self.stage_folder(stage.name)) else "kept"
        return "resume" if is_same and self._is_resumable(stage) else "again"

    def _is_resumable(self, stage: StageSpec) -> bool:
        """Whether the stage can be resumed in its folder."""
        return (
            stage.command not in methods()
            or Run(self.stage_folder(stage.name)).metadata_file.is_file()
        )

    def stage_folder(self, name: str) -> Path:
        """Return the folder of a stage."""
        return self.folder / STAGES_FOLDER / name

    def resolve_model(self, name: str) -> str:
        """Return the model that a name in the recipe refers to: the base or a stage's run."""
        return self.recipe.model if name == BASE else str(self.stage_folder(name))

    @contextmanager
    def _recording_outcome(self, stage: StageSpec) -> Iterator[None]:
        """Record the outcome of a stage, also if it fails."""
        try:
            yield
        except WaitingError:
            self._set_status(stage, status="waiting")
            raise
        except Interrupted as stop:
            self._set_status(stage, status="interrupted")
            reason = "" if stop.is_reported else f"{stop}\n"
            raise Interrupted(
                f"{reason}stopped in stage {stage.name!r}; resume with "
                f"{format_command('run', self.recipe.file)}",
                signal_number=stop.exit_code - 128,
            ) from stop
        except BaseException:
            self._set_status(stage, status="failed")
            raise

    def _run_stage(self, stage: StageSpec, saved_record: dict[str, JSON]) -> None:
        resolved = self.resolved_settings(stage)
        key = self._stage_key(stage, resolved)
        folder = self.stage_folder(stage.name)
        action = self._choose_action(stage, key, saved_record)
        if action == "kept":
            self._set_status(stage, status="finished", key=key)
            self.show_state(stage.name, "kept")
            self.log(f"{stage.name}: finished before, kept")
            return
        if action == "again":
            self.log(f"{stage.name}: {self._set_aside_with_reason(stage, saved_record, key)}")
        self._set_status(stage, status="running", key=key)
        self.log(f"\n── {stage.name}: {stage.command} {self._describe_inputs(stage)}")
        if stage.command in methods():
            self._train_or_resume(stage, resolved)
        else:
            self.stage_functions[stage.command](resolved, folder, self.log)
        self._set_status(stage, status="finished", key=key)
        if stage.makes_policy:
            self.on_model_ready(stage.name)

    def _set_aside_with_reason(
        self, stage: StageSpec, saved_record: Mapping[str, JSON], key: str
    ) -> str:
        """Rename the folder of a stage that runs again, and return the reason."""
        folder = self.stage_folder(stage.name)
        if not folder.exists():
            return f"{folder} is missing; running again"
        reason = "the recipe or an input changed"
        if saved_record.get("key") == key:
            reason = find_damage(stage, folder) or "its output is incomplete"
        elif saved_record.get("series") not in {VERSION_SERIES, None}:
            reason = f"made by upbring {saved_record['series']}, this is {VERSION_SERIES}"
        return f"{reason}; old output kept as {_move_aside(folder).name}; running again"

    def _train_or_resume(self, stage: StageSpec, resolved: Resolved[Any]) -> None:
        folder = self.stage_folder(stage.name)
        if not folder.exists():
            train(stage.command, resolved, live_view=self.live_view)
        elif (run := Run.open(folder)).status() != "finished":
            resume_training(run, live_view=self.live_view)

    def show_state(self, name: str, state: str) -> None:
        """Show the state of a stage in the live view, if there is one."""
        if self.live_view is not None:
            self.live_view.set_state(name, state)

    def evaluation_settings(self) -> EvaluateSettings | None:
        """Return the evaluation's settings, with names of stages resolved to folders."""
        if self.recipe.evaluate is None:
            return None
        settings = self.recipe.evaluate.settings
        stage_names = [stage.name for stage in self.recipe.stages]
        updates: dict[str, object] = {
            "models": tuple(self.resolve_model(name) for name in self.recipe.evaluated_models),
            "data": tuple(
                self._resolve_reference("data", each, stage_names) for each in settings.data
            ),
            "gold": tuple(
                self._resolve_reference("gold", each, stage_names) for each in settings.gold
            ),
            "judge": self._resolve_reference("judge", settings.judge, stage_names),
            "to": self.folder / EVALUATION_FOLDER,
        }
        return settings.model_copy(update=updates)

    def resolved_settings(self, stage: StageSpec) -> Resolved[Any]:
        """Return a stage's settings, with names of stages resolved to folders."""
        settings = stage.resolved.settings
        earlier_stages = [each.name for each in self.recipe.stages]
        earlier_stages = earlier_stages[: earlier_stages.index(stage.name)]
        updates: dict[str, object] = {}
        for name in {name for name, _ in input_references(settings)}:
            value = getattr(settings, name)
            resolved_values = [
                self._resolve_reference(name, each, earlier_stages) for each in _as_tuple(value)
            ]
            updates[name] = (
                tuple(resolved_values) if isinstance(value, tuple) else resolved_values[0]
            )
        field_names = type(settings).model_fields
        if stage.command == "toyworld":
            updates["do"] = ("export", str(self.stage_folder(stage.name)))
        if "runs" in field_names:
            updates |= {"runs": self.folder / STAGES_FOLDER, "name": stage.name}
        if "to" in field_names:
            updates["to"] = self.stage_folder(stage.name)
        return Resolved(settings.model_copy(update=updates), stage.resolved.origins)

    def _resolve_reference(self, setting: str, value: object, stage_names: list[str]) -> object:
        """Return one value with a stage's name at its head made the stage's folder."""
        if value is None:
            return None
        text, weight = split_weight(setting, str(value))
        if text == BASE:
            return self.recipe.model + weight
        first_part, *rest = Path(text).parts or ("",)
        stage_name = find_stage_name(first_part, stage_names, self.recipe.stages)
        if stage_name is None:
            return value
        path = self.stage_folder(stage_name).joinpath(*rest)
        return path if isinstance(value, Path) else str(path) + weight

    def _stage_key(self, stage: StageSpec, resolved: Resolved[Any]) -> str:
        """Return a hash of everything that determines the output of a stage."""
        settings = resolved.settings
        values = {
            n: v for n, v in settings.model_dump(mode="json").items() if n not in IGNORED_SETTINGS
        }
        file_hashes = {}
        for name, value in input_references(settings):
            path = Path(value)
            if path.is_file():
                file_hashes[value] = durable.sha256_file(path)
            elif value == self.recipe.model or self._is_external_model(name, path):
                if value not in self.external_model_hashes:
                    self.external_model_hashes[value] = hash_model(value)
                file_hashes[value] = self.external_model_hashes[value]
        keys = {need: self.stage_records[need]["key"] for need in stage.needs}
        text = json.dumps(
            [stage.command, values, file_hashes, keys, VERSION_SERIES], sort_keys=True
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def _is_external_model(self, setting: str, path: Path) -> bool:
        """Whether a setting names a model's folder that is not part of this pipeline."""
        return setting in STAGE_SETTINGS and path.is_dir() and self.folder not in path.parents

    def _describe_inputs(self, stage: StageSpec) -> str:
        model = getattr(stage.resolved.settings, "model", None)
        return f"from {', '.join([*stage.needs] or [str(model or 'nothing')])}"

    def _read_saved_records(self) -> dict[str, dict[str, JSON]]:
        path = self.folder / "recipe.json"
        if not path.is_file():
            return {}
        try:
            with durable.explain_os_errors(path):
                saved = json.loads(path.read_bytes())
            return {str(each["name"]): each for each in saved["stages"]}
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path}: invalid or damaged record; remove it to run all stages again"
            ) from error

    def _set_status(self, stage: StageSpec, *, status: str, key: str | None = None) -> None:
        """Record the status of a stage."""
        self.stage_records[stage.name]["status"] = status
        self.show_state(stage.name, status)
        if key is not None:
            self.stage_records[stage.name] |= {"key": key, "series": VERSION_SERIES}
        self.save_state(status="running" if status in {"running", "finished"} else status)

    def save_state(self, *, status: str) -> None:
        """Save the recipe and the status of each stage."""
        with durable.explain_os_errors(self.folder):
            (self.folder / STAGES_FOLDER).mkdir(parents=True, exist_ok=True)
        stages: list[JSON] = [dict(state) for state in self.stage_records.values()]
        models: list[JSON] = [*self.recipe.evaluated_models]
        record: JSON = {"format": 1, "status": status, "models": models, "stages": stages}
        durable.write_json(self.folder / "recipe.json", record)
        durable.write_text(
            self.folder / "recipe.yaml", self.recipe.file.read_text(encoding="utf-8")
        )


def _method_metadata(command: str) -> dict[str, JSON]:
    """Return the metadata that a report needs about a stage without a folder."""
    method = methods().get(command)
    if method is None:
        return {}
    panels: list[JSON] = [*method.panels]
    return {"learns_from": method.learns_from, "makes": method.makes, "panels": panels}


def _as_tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _move_aside(folder: Path) -> Path:
    """Rename a stage's folder and return its new path."""
    number = 1
    while (target := folder.with_name(f"{folder.name}.before-{number}")).exists():
        number += 1
    with durable.explain_os_errors(folder):
        shutil.move(folder, target)
    return target
