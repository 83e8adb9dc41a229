"""The training pairs of one round of hardening, from a search for attacks that succeed."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from upbring import durable
from upbring.durable import JSON
from upbring.evaluate.answer_cache import AnswerCache, CacheItem, responses
from upbring.evaluate.model_protocol import Dialogue, EvaluatedModel, format_prompt
from upbring.evaluate.refusals import RefusalRequest
from upbring.feedback.attacks.attacked_prompt import AttackedPrompt
from upbring.feedback.attacks.families import PLAIN, attack
from upbring.maths.random_draws import RandomStream
from upbring.plurals import format_count
from upbring.rules.refusal_opening import opens_with_refusal
from upbring.settings.commands.evaluate import EvaluateSettings
from upbring.settings.commands.harden import HardenSettings
from upbring.stages.evaluation.models import Log, ModelSlot
from upbring.stages.redteam.attacker import search_attacks
from upbring.stages.redteam.pairs import demonstrations, harmful_pairs, innocent_pairs
from upbring.tracking import Track, no_tracking

PAIRS, DEMONSTRATIONS, SEARCH = "pairs.jsonl", "demonstrations.jsonl", "search.jsonl"
COUNTS = "arms.json"


def make_pairs(
    settings: HardenSettings,
    folder: Path,
    *,
    model: str,
    train: Sequence[RefusalRequest],
    families: Sequence[str],
    number: int,
    log: Log,
    poll: Callable[[], None],
    track: Track = no_tracking,
) -> int:
    """Write the pairs of a round, unless they are there, and return how many attacks succeeded."""
    with durable.explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if (folder / COUNTS).is_file():
        return _num_harmful(folder)
    slot = ModelSlot(_model_settings(settings, model), log=log, poll=poll, track=track)
    asked = slot.make_model(model, "searched")
    cache = AnswerCache(folder / SEARCH, poll=poll, track=track)
    harmful = [each.prompt for each in train if each.is_harmful]
    innocent = [each.prompt for each in train if not each.is_harmful]
    seed = settings.seed + 1000 * number  # other attacks than those that are measured
    attempts, counts = search_attacks(
        asked,
        harmful,
        families,
        num_rounds=settings.search_rounds,
        is_refusal=opens_with_refusal,
        cache=cache,
        seed=seed,
    )
    plain = dict(zip(harmful, _greedy(asked, harmful, cache), strict=True))
    failures = harmful_pairs(attempts, plain, is_refusal=opens_with_refusal, seed=seed)
    helpful = _helpful(asked, innocent, cache)
    arms = [PLAIN, *(name for name in counts if counts[name].tries)]
    num_innocent = max(round(settings.innocent_ratio * len(failures)), len(helpful))
    attacked, answers = _attack_innocent(helpful, arms, num_innocent, seed=seed)
    rows = [*failures, *innocent_pairs(attacked, answers, seed=seed)] if failures else []
    _write_rows(folder / PAIRS, rows)
    _write_rows(folder / DEMONSTRATIONS, demonstrations(rows))
    record: JSON = {
        "num_harmful": len(failures),
        "num_innocent": len(rows) - len(failures),
        "num_attempts": len(attempts),
        "arms": {n: {"tries": c.tries, "successes": c.successes} for n, c in counts.items()},
    }
    durable.write_json(folder / COUNTS, record)
    num_succeeded = sum(each.succeeded for each in attempts)
    log(
        f"{folder.name}: {format_count(num_succeeded, 'attack', total=len(attempts))} succeeded; "
        f"{len(failures)} harmful and {format_count(len(rows) - len(failures), 'innocent pair')}"
    )
    return len(failures)


def _attack_innocent(
    helpful: Sequence[tuple[Dialogue, str]], arms: Sequence[str], count: int, *, seed: int
) -> tuple[list[tuple[str, AttackedPrompt]], list[str]]:
    """Return attacks on innocent requests, in turn, and the helpful answers to these requests."""
    rng = RandomStream(seed, "innocent")
    attacked, answers = [], []
    for index in range(count if helpful else 0):
        request, answer = helpful[index % len(helpful)]
        arm = rng.choice(arms)
        attacked.append((arm, attack(arm, request, seed=seed, number=index)))
        answers.append(answer)
    return attacked, answers


def _model_settings(settings: HardenSettings, model: str) -> EvaluateSettings:
    return EvaluateSettings(
        models=(model,),
        max_tokens=settings.max_tokens,
        seed=settings.seed,
        dtype=settings.dtype,
        device=settings.device,
        threads=settings.threads,
    )


def _greedy(model: EvaluatedModel, dialogues: Sequence[Dialogue], cache: AnswerCache) -> list[str]:
    items = [CacheItem(format_prompt(each), (each,)) for each in dialogues]

    def compute(indices: list[int]) -> list[dict[str, JSON]]:
        return [{"response": t} for t in model.generate([dialogues[i] for i in indices])]

    return responses(cache.get_or_compute("search", model, items, compute=compute, kind="plain"))


def _helpful(
    model: EvaluatedModel, innocent: Sequence[Dialogue], cache: AnswerCache
) -> list[tuple[Dialogue, str]]:
    """Return the innocent requests that the model answers when they are plain, with its answers."""
    answers = _greedy(model, innocent, cache)
    return [
        (request, answer)
        for request, answer in zip(innocent, answers, strict=True)
        if answer.strip() and not opens_with_refusal(answer)
    ]


def _num_harmful(folder: Path) -> int:
    with durable.explain_os_errors(folder / COUNTS):
        record = json.loads((folder / COUNTS).read_bytes())
    return int(record["num_harmful"])


def _write_rows(path: Path, rows: Sequence[dict[str, JSON]]) -> None:
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    durable.write_text(path, "".join(lines))
