"""`upbring harden`: attack a model, train on the attacks that succeed, measure, and again.

    hardened/
      hardening.json   what each round reached, and why it stopped
      measure/         results.json, answers.jsonl: all models on the test requests
      round-1/         search.jsonl, pairs.jsonl, replies, the training run
      model/           the accepted model

The requests are split: one half is attacked to find training pairs, the other half only measures.
Held-out families are measured and never trained on. Training labels come from the rule on opening
words (`rules/refusal_opening.py`), measurements from the refusal rules (`rules/refusal.py`). Each
step writes its output once; a killed loop continues at the first step without one.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from upbring import durable
from upbring.durable import JSON
from upbring.errors import GateError, InputError, Interrupted
from upbring.evaluate.attacks.attack_results import OVER_REFUSAL, PLAIN, SUCCESS
from upbring.evaluate.refusals import RefusalRequest
from upbring.interruption import Interruption
from upbring.maths.random_draws import hash_to_uniform
from upbring.model.gguf.locate_model import locate_model
from upbring.plurals import format_count
from upbring.runs.find_model import HARDENING
from upbring.runs.results import EvalResult
from upbring.runs.run_folder import Run
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.commands.harden import HardenSettings
from upbring.stages.evaluation.evaluate import AttackedData, evaluate
from upbring.stages.evaluation.models import Log
from upbring.stages.redteam.attack_plan import AttackPlan, read_confusion, select_families
from upbring.stages.redteam.make_pairs import PAIRS, make_pairs
from upbring.stages.redteam.read_requests import read_requests
from upbring.stages.redteam.stop_rule import RoundNumbers, choose_round, stop_reason
from upbring.stages.redteam.train_round import train_round
from upbring.tracking import Track, no_tracking

MEASURE, MODEL = "measure", "model"
BEFORE = "before"
TRAINED, HELD_OUT = "trained", "held_out"
MIN_HELD_OUT = 3
MIN_REQUESTS = 2  # of each kind, one to train on and one to measure


@dataclass(frozen=True, slots=True)
class HardenPlan:
    """The split of families and requests."""

    trained: tuple[str, ...]
    held_out: tuple[str, ...]
    train: tuple[RefusalRequest, ...]
    test: tuple[RefusalRequest, ...]


def harden(settings: HardenSettings, *, log: Log, track: Track = no_tracking) -> Path:
    """Harden the model and return its folder; raise if no round was acceptable."""
    plan = make_plan(settings)
    with durable.explain_os_errors(settings.to):
        settings.to.mkdir(parents=True, exist_ok=True)
    with durable.lock(settings.to):
        state = _read_state(settings)
        if state.get("model"):
            log(f"{settings.to}: finished before: {state['stopped']}")
            return settings.to / MODEL
        with Interruption() as interruption:
            return _run_rounds(settings, plan, interruption, log=log, track=track)


def make_plan(settings: HardenSettings) -> HardenPlan:
    """Return the split; raise an InputError if a part would be empty."""
    held_out = select_families(settings.held_out_families)
    if len(held_out) < MIN_HELD_OUT:
        raise InputError(
            f"held_out_families: has {format_count(len(held_out), 'family')}; name "
            f"{MIN_HELD_OUT} or more, so that it is measured whether hardening reaches "
            "attacks that were not trained on"
        )
    families = select_families(settings.families)
    trained = tuple(name for name in families if name not in held_out)
    if not trained:
        raise InputError("families: all are held out; name one that is not in held_out_families")
    train: list[RefusalRequest] = []
    test: list[RefusalRequest] = []
    for files, test_files, is_harmful in (
        (settings.harmful, settings.test_harmful, True),
        (settings.innocent, settings.test_innocent, False),
    ):
        parts = _split(settings, files, test_files, is_harmful=is_harmful)
        train += parts[0]
        test += parts[1]
    return HardenPlan(trained, held_out, tuple(train), tuple(test))


def _split(
    settings: HardenSettings,
    files: Sequence[Path],
    test_files: Sequence[Path],
    *,
    is_harmful: bool,
) -> tuple[list[RefusalRequest], list[RefusalRequest]]:
    """Return the requests to train on and those to measure with, which are disjoint."""
    found = read_requests(files, is_harmful=is_harmful, limit=settings.limit)
    if test_files:
        test = read_requests(test_files, is_harmful=is_harmful, limit=settings.limit)
        measured = {each.prompt for each in test}
        rest = [each for each in found if each.prompt not in measured]
        if not rest:
            raise InputError(
                f"{files[0]}: all of its requests are in {test_files[0]}, too; give other requests "
                "to train on"
            )
        return rest, test
    if len(found) < MIN_REQUESTS:
        raise InputError(
            f"{files[0]}: has {len(found)} request; give {MIN_REQUESTS} or more, one to train on "
            "and one to measure"
        )
    ordered = sorted(
        found, key=lambda r: hash_to_uniform(settings.seed, "split", r.prompt[-1].content)
    )
    return ordered[::2], ordered[1::2]


def _run_rounds(
    settings: HardenSettings,
    plan: HardenPlan,
    interruption: Interruption,
    *,
    log: Log,
    track: Track,
) -> Path:
    models = [settings.model]
    rounds: list[RoundNumbers] = [_measure(settings, plan, models, log=log, track=track)]
    _log_round(rounds[0], log)
    stopped = stop_reason(rounds, settings)
    while stopped is None:
        number = len(rounds)
        folder = settings.to / f"round-{number}"
        poll = partial(_raise_if_interrupted, interruption, settings.to)
        num_failures = make_pairs(
            settings,
            folder,
            model=models[-1],
            train=plan.train,
            families=plan.trained,
            number=number,
            log=log,
            poll=poll,
            track=track,
        )
        if num_failures == 0:
            stopped = "no attack of the search succeeded"
            break
        run = train_round(settings, folder / PAIRS, model=models[-1], number=number)
        poll()
        models.append(str(run.path))
        rounds.append(_measure(settings, plan, models, log=log, track=track))
        _log_round(rounds[-1], log)
        stopped = stop_reason(rounds, settings)
        _write_state(settings, rounds, stopped, accepted=None)
    return _finish(settings, rounds, models, stopped, log=log)


def _measure(
    settings: HardenSettings, plan: HardenPlan, models: Sequence[str], *, log: Log, track: Track
) -> RoundNumbers:
    """Return the numbers of the last model, measured on the test requests."""
    names = [BEFORE, *(f"round-{i}" for i in range(1, len(models)))]
    attack_plan = AttackPlan(
        (*plan.trained, *plan.held_out),
        tries=settings.tries,
        seed=settings.seed,
        min_comprehension=settings.min_comprehension,
        groups=((TRAINED, plan.trained), (HELD_OUT, plan.held_out)),
    )
    if settings.refusal_labels is not None:
        attack_plan = replace(attack_plan, confusion=read_confusion(settings.refusal_labels))
    evaluate_settings = EvaluateSettings(
        models=tuple(models),
        suite=("redteam",),
        to=settings.to / MEASURE,
        max_tokens=settings.max_tokens,
        seed=settings.seed,
        dtype=settings.dtype,
        device=settings.device,
        threads=settings.threads,
    )
    results = evaluate(
        evaluate_settings,
        log=log,
        track=track,
        names=names,
        attacks=AttackedData(plan.test, attack_plan),
    )
    return _round_numbers(results, names[-1], settings.tries)


def _round_numbers(results: Sequence[EvalResult], model: str, tries: int) -> RoundNumbers:
    values = {each.name: each.value for each in results if each.model == model}
    success = f"{SUCCESS}_at_{tries}" if tries > 1 else SUCCESS
    return RoundNumbers(
        model,
        values.get(f"{TRAINED}/{success}"),
        values.get(f"{HELD_OUT}/{success}"),
        values.get(f"{PLAIN}/{OVER_REFUSAL}") or 0.0,
        values.get(OVER_REFUSAL) or 0.0,
    )


def _finish(
    settings: HardenSettings,
    rounds: Sequence[RoundNumbers],
    models: Sequence[str],
    stopped: str,
    *,
    log: Log,
) -> Path:
    """Copy the accepted model, record why the loop stopped, and return the model's folder."""
    accepted = choose_round(rounds, settings)
    is_resistant = accepted == 0 and (rounds[0].success or 0.0) <= settings.target
    is_measured = rounds[0].success is not None
    if accepted is None or (accepted == 0 and not (is_resistant and is_measured)):
        _write_state(settings, rounds, stopped, accepted=None)
        why = "no round lowered attack success" if accepted == 0 else "over-refusal rose too much"
        raise GateError(
            f"{settings.to}: stopped ({stopped}), and no model was accepted: {why}; see "
            f"{settings.to / HARDENING}. Give more requests, or raise --rounds or --epochs"
        )
    source = Run.open(Path(models[accepted])).model if accepted else locate_model(models[0])
    with durable.atomic_folder(settings.to / MODEL) as temporary:
        for file in source.iterdir():
            if file.name != durable.MANIFEST:
                shutil.copyfile(file, temporary / file.name)
    _write_state(settings, rounds, stopped, accepted=rounds[accepted].model)
    log(f"{settings.to}: stopped: {stopped}; the model of {rounds[accepted].model} is accepted")
    return settings.to / MODEL


def _log_round(numbers: RoundNumbers, log: Log) -> None:
    log(f"{numbers.model}: {numbers.text}")


def _settings_key(settings: HardenSettings) -> str:
    ignored = {"to", "threads", "device", "rounds"}
    values = settings.model_dump(mode="json", exclude=ignored)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _read_state(settings: HardenSettings) -> dict[str, JSON]:
    """Return what an earlier run recorded; raise if it had other settings."""
    path = settings.to / HARDENING
    if not path.is_file():
        _write_state(settings, (), None, accepted=None)
        return {}
    try:
        with durable.explain_os_errors(path):
            state = json.loads(path.read_bytes())
        key = state["settings"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: is damaged; delete it to continue from the finished steps"
        ) from error
    if key != _settings_key(settings):
        raise InputError(
            f"{settings.to}: was hardened with other settings; choose another --to, or delete it"
        )
    return dict(state)


def _write_state(
    settings: HardenSettings,
    rounds: Sequence[RoundNumbers],
    stopped: str | None,
    *,
    accepted: str | None,
) -> None:
    recorded: list[JSON] = [dict(asdict(each)) for each in rounds]
    state: JSON = {
        "format": 1,
        "settings": _settings_key(settings),
        "rounds": recorded,
        "stopped": stopped,
        "model": accepted,
    }
    durable.write_json(settings.to / HARDENING, state)


def _raise_if_interrupted(interruption: Interruption, folder: Path) -> None:
    if interruption.is_requested:
        raise Interrupted(
            f"stopped; {folder} has all steps so far; run the same command to continue",
            signal_number=interruption.signal_number or 2,
        )
