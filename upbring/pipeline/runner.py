"""A road taken stage by stage: what is finished is kept, what was stopped goes on, in its folder.

    runs/assistant/
      recipe.yaml      as it was when the road was last taken
      recipe.json      stages, what each was made from, where each is
      stages/NAME/     a run's folder, or a world, or what was collected
      evaluation/      results.json, answers.jsonl
      gates.json       report.html  report.json

A stage is done again when its verb, its settings, the bytes of its files, a stage that it needs or
the series of upbring have changed, or what it made is gone; the one before stays beside it, under
another name. What is known of stages that the road has not come to yet stays written down, whenever
it is killed.
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
from upbring.errors import InputError, Interrupted
from upbring.pipeline.live_view import Board
from upbring.pipeline.spec import BASE, POLICIES, Script, Step, meant
from upbring.runs.run_folder import Run
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.references import NAMES, references, unweighed
from upbring.settings.resolve import Resolved
from upbring.stages.evaluation.models import identity_of
from upbring.stages.registry import CRAFTS
from upbring.stages.run import go_on, train

SERIES = ".".join(__version__.split(".")[:2])  # within one, the same is made of the same
FREE = frozenset({"name", "runs", "threads", "keep", "to", "skip_bad"})  # decide about no result

# What is to be done of a stage: nothing, what is left, all of it anew, all of it.
Standing = Literal["kept", "goes on", "again", "to do"]
Say = Callable[[str], None]
Work = Callable[[Resolved[Any], Path, Say], None]


class WaitingError(InputError):
    """A stage waits for people; it is no failure, and running again goes on."""

    exit_code = 0


@dataclass(eq=False)
class Road:
    """A script and the folder in which it is taken."""

    script: Script
    folder: Path
    works: dict[str, Work]  # verbs that do not train: what they do
    say: Say
    made: Callable[[str], None] = lambda _: None  # is told of every model: `base`, and each stage
    states: dict[str, dict[str, JSON]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)  # of models that were made elsewhere
    board: Board | None = None  # on a terminal

    def take(self) -> None:
        """Take every stage that is not finished yet."""
        known = self._known()
        self._begin(known)
        for step in self.script.steps:
            with self._told(step):
                self._step(step, known.get(step.name, {}))

    def _begin(self, known: Mapping[str, Mapping[str, JSON]]) -> None:
        """Know of each stage what was written down; of a new one, nothing yet."""
        for step in self.script.steps:
            before = known.get(step.name, {})
            self.states[step.name] = {
                "name": step.name,
                "verb": step.verb,
                "inputs": {need: str(self.place(need)) for need in step.needs},
                "run": str(self.place(step.name)),
                "status": before.get("status", "to do"),
                "key": before.get("key"),
                "series": before.get("series"),
            }

    def standings(self) -> Iterator[tuple[Step, Resolved[Any], Standing]]:
        """Yield each stage, its settings and what `take` would do of it; write nothing."""
        known = self._known()
        self._begin(known)
        for step in self.script.steps:
            resolved = self.settled(step)
            key = self.states[step.name]["key"] = self._key(step, resolved)
            yield step, resolved, self._standing(step, key, known.get(step.name, {}))

    def _standing(self, step: Step, key: str, before: dict[str, JSON]) -> Standing:
        """Return how a stage stands whose key is now `key`, after what was written of it before."""
        is_same, was_finished = before.get("key") == key, before.get("status") == "finished"
        if not self.place(step.name).exists():
            return "again" if is_same and was_finished else "to do"
        if is_same and was_finished:
            return "kept" if self._is_whole(step) else "again"
        return "goes on" if is_same and self._is_begun(step) else "again"

    def _is_begun(self, step: Step) -> bool:
        """Whether a stage's folder is one that can be gone on with."""
        return step.verb not in CRAFTS or Run(self.place(step.name)).facts_file.is_file()

    def _is_whole(self, step: Step) -> bool:
        """Whether a finished stage's folder still has what the stage made."""
        place = self.place(step.name)
        if step.verb not in CRAFTS:
            return place.is_dir()
        return self._is_begun(step) and Run(place).model.is_dir()

    def place(self, name: str) -> Path:
        """Return the folder of a stage."""
        return self.folder / "stages" / name

    def model(self, name: str) -> str:
        """Return what a model's name in the recipe means: the base, or a stage's run."""
        return self.script.model if name == BASE else str(self.place(name))

    @contextmanager
    def _told(self, step: Step) -> Iterator[None]:
        """Write down how a stage ends, however it does."""
        try:
            yield
        except WaitingError:
            self._note(step, status="waiting")
            raise
        except Interrupted as stop:
            self._note(step, status="interrupted")
            raise Interrupted(
                f"{stop}\nthe road stopped in stage {step.name}; go on with `upbring run "
                f"{self.script.file}`",
                signal_number=stop.exit_code - 128,
            ) from stop
        except BaseException:
            self._note(step, status="failed")
            raise

    def _step(self, step: Step, before: dict[str, JSON]) -> None:
        resolved = self.settled(step)
        key = self._key(step, resolved)
        place = self.place(step.name)
        standing = self._standing(step, key, before)
        if standing == "kept":
            self._note(step, status="finished", key=key)
            self.show(step.name, "kept")
            self.say(f"{step.name}: finished before, kept")
            return
        if standing == "again":
            self.say(f"{step.name}: {self._reason(step, before, key)}")
        self._note(step, status="running", key=key)
        self.say(f"\n── {step.name}: {step.verb} {self._from(step)}")
        if step.verb in CRAFTS:
            self._train(step, resolved)
        else:
            self.works[step.verb](resolved, place, self.say)
        self._note(step, status="finished", key=key)
        if step.verb in POLICIES:
            self.made(step.name)

    def _reason(self, step: Step, before: Mapping[str, JSON], key: str) -> str:
        """Put aside what is there of a stage that is done again, and say why it is."""
        place = self.place(step.name)
        if not place.exists():
            return f"{place} is gone; done again"
        why = "is not what the recipe says now"
        if before.get("key") == key:
            why = "is not whole"
        elif before.get("series") not in {SERIES, None}:
            why = f"was made by upbring {before['series']}, and this is {SERIES}"
        return f"{why}; kept as {_aside(place).name}"

    def _train(self, step: Step, resolved: Resolved[Any]) -> None:
        place = self.place(step.name)
        if not place.exists():
            train(step.verb, resolved, board=self.board)
        elif (run := Run.open(place)).status() != "finished":
            go_on(run, board=self.board)

    def show(self, name: str, state: str) -> None:
        """Show on the board, if there is one, that a stage is in another state."""
        if self.board is not None:
            self.board.enter(name, state)

    def evaluation(self) -> EvaluateSettings | None:
        """Return what is to be evaluated, with the names of stages made folders."""
        if self.script.evaluate is None:
            return None
        settings = self.script.evaluate.settings
        names = [step.name for step in self.script.steps]
        change: dict[str, object] = {
            "models": tuple(self.model(name) for name in self.script.models),
            "data": tuple(self._put("data", each, names) for each in settings.data),
            "judge": self._put("judge", settings.judge, names),
            "to": self.folder / "evaluation",
        }
        return settings.model_copy(update=change)

    def settled(self, step: Step) -> Resolved[Any]:
        """Return a stage's settings with the names of stages made folders."""
        settings = step.resolved.settings
        names = [each.name for each in self.script.steps]
        names = names[: names.index(step.name)]
        change: dict[str, object] = {}
        for name in {name for name, _ in references(settings)}:
            value = getattr(settings, name)
            put = [self._put(name, each, names) for each in _many(value)]
            change[name] = tuple(put) if isinstance(value, tuple) else put[0]
        known = type(settings).model_fields
        if step.verb == "nursery":
            change["do"] = ("export", str(self.place(step.name)))
        if "runs" in known:
            change |= {"runs": self.folder / "stages", "name": step.name}
        if "to" in known:
            change["to"] = self.place(step.name)
        return Resolved(settings.model_copy(update=change), step.resolved.origins)

    def _put(self, setting: str, value: object, names: list[str]) -> object:
        """Return one value with a stage's name at its head made the stage's folder."""
        if value is None:
            return None
        text, weight = unweighed(setting, str(value))
        if text == BASE:
            return self.script.model + weight
        head, *rest = Path(text).parts or ("",)
        found = meant(head, names, self.script.steps)
        if found is None:
            return value
        put = self.place(found).joinpath(*rest)
        return put if isinstance(value, Path) else str(put) + weight

    def _key(self, step: Step, resolved: Resolved[Any]) -> str:
        """Return one hash of all that decides what a stage makes."""
        settings = resolved.settings
        asked = {n: v for n, v in settings.model_dump(mode="json").items() if n not in FREE}
        files = {}
        for name, value in references(settings):
            path = Path(value)
            if path.is_file():
                files[value] = durable.sha256_file(path)
            elif value == self.script.model or self._is_strange(name, path):
                if value not in self.hashes:
                    self.hashes[value] = identity_of(value)
                files[value] = self.hashes[value]
        keys = {need: self.states[need]["key"] for need in step.needs}
        text = json.dumps([step.verb, asked, files, keys, SERIES], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _is_strange(self, setting: str, path: Path) -> bool:
        """Whether a setting names a model's folder that no stage of this road has made."""
        return setting in NAMES and path.is_dir() and self.folder not in path.parents

    def _from(self, step: Step) -> str:
        model = getattr(step.resolved.settings, "model", None)
        return f"from {', '.join([*step.needs] or [str(model or 'nothing')])}"

    def _known(self) -> dict[str, dict[str, JSON]]:
        path = self.folder / "recipe.json"
        if not path.is_file():
            return {}
        try:
            with durable.explained(path):
                found = json.loads(path.read_bytes())
            return {str(each["name"]): each for each in found["stages"]}
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path}: is not what upbring wrote; remove it, and all stages are done again"
            ) from error

    def _note(self, step: Step, *, status: str, key: str | None = None) -> None:
        """Write down where the road stands."""
        self.states[step.name]["status"] = status
        self.show(step.name, status)
        if key is not None:
            self.states[step.name] |= {"key": key, "series": SERIES}
        self.write(status="running" if status in {"running", "finished"} else status)

    def write(self, *, status: str) -> None:
        """Save the recipe and where each stage stands."""
        with durable.explained(self.folder):
            (self.folder / "stages").mkdir(parents=True, exist_ok=True)
        stages: list[JSON] = [dict(state) for state in self.states.values()]
        models: list[JSON] = [*self.script.models]
        record: JSON = {"format": 1, "status": status, "models": models, "stages": stages}
        durable.write_json(self.folder / "recipe.json", record)
        durable.write_text(
            self.folder / "recipe.yaml", self.script.file.read_text(encoding="utf-8")
        )


def _many(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _aside(place: Path) -> Path:
    """Move a stage's folder aside and return where it is."""
    number = 1
    while (aside := place.with_name(f"{place.name}.before-{number}")).exists():
        number += 1
    with durable.explained(place):
        shutil.move(place, aside)
    return aside
