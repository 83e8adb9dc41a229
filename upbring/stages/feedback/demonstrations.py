"""Sampled responses as demonstrations: which are kept, their rows, and what is counted about them.

best-of-n/ or teacher/
  demonstrations.jsonl   the kept responses with their provenance, for `sft`
  results.json           lengths, refusals, what was left out, figures of the judge
  calls.jsonl            every paid reply, sampled text and judgment
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from upbring import durable
from upbring.data.read.records import Message, Prompt
from upbring.durable import JSON
from upbring.errors import InputError
from upbring.evaluate.to_results import to_result
from upbring.maths import counter_rng, statistics
from upbring.plurals import format_count
from upbring.rules.lengths import num_words
from upbring.rules.refusal import classify_refusal
from upbring.runs.results import RESULTS, EvalResult, write_results
from upbring.settings.commands.demonstrations import BestOfNSettings, TeacherSettings
from upbring.stages.collection.collect import clean_text
from upbring.stages.feedback.open_models import Log
from upbring.stages.feedback.other_rows import to_dicts
from upbring.stages.feedback.writers import Writer, WriteRequest

DEMONSTRATIONS_FILE = "demonstrations.jsonl"


@dataclass(frozen=True, slots=True)
class SampledPrompt:
    """A prompt with its distinct responses; what else was sampled is counted by reason."""

    prompt: tuple[Message, ...]
    origin: str  # file and line
    responses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DemonstrationFiles:
    """What was written."""

    folder: Path
    demonstrations: Path
    results: tuple[EvalResult, ...]


def sample_responses(
    settings: BestOfNSettings | TeacherSettings,
    prompts: Sequence[Prompt],
    writer: Writer,
    *,
    purpose: str,
) -> tuple[list[SampledPrompt], Counter[str]]:
    """Return the prompts that have a usable response, and how many responses are left out.

    An empty response is no demonstration, and one that was cut off teaches to stop anywhere.
    """
    count = settings.num_responses
    keys = [
        counter_rng.key(settings.seed, purpose, *divmod(i, count))
        for i in range(len(prompts) * count)
    ]
    dialogues = [prompt.messages for prompt in prompts for _ in range(count)]
    texts = writer.write(WriteRequest(dialogues, keys, settings, "sampling responses"))
    outcomes: Counter[str] = Counter()
    found = []
    for i, prompt in enumerate(prompts):
        kept: dict[str, None] = {}
        for each in texts[i * count : (i + 1) * count]:
            text = clean_text(each.text)
            reason = _reason_to_leave_out(text, each.is_cut_off and not settings.keep_cut_off, kept)
            outcomes[reason or "usable"] += 1
            if reason is None:
                kept[text] = None
        if kept:
            found.append(SampledPrompt(prompt.messages, str(prompt.origin), tuple(kept)))
    return found, outcomes


def _reason_to_leave_out(text: str, is_cut_off: bool, kept: Mapping[str, None]) -> str | None:  # noqa: FBT001 -- private
    if not text:
        return "empty"
    if is_cut_off:
        return "cut off"
    return "repeated" if text in kept else None


def demonstration(
    sampled: SampledPrompt, response: str, provenance: Mapping[str, JSON]
) -> dict[str, JSON]:
    """Return a response as a row of demonstrations."""
    return {
        "messages": to_dicts((*sampled.prompt, Message("assistant", response))),
        "provenance": {**provenance, "prompt": sampled.origin},
    }


def sampling_provenance(
    settings: BestOfNSettings | TeacherSettings, writer: Writer
) -> dict[str, JSON]:
    """Return which model wrote the responses, and how."""
    return {
        "model": writer.name,
        "model_identity": writer.identity,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_tokens": settings.max_tokens,
        "seed": settings.seed,
        "num_responses": settings.num_responses,
    }


def sampling_results(
    outcomes: Mapping[str, int], kept: Sequence[str], template: EvalResult
) -> Iterator[EvalResult]:
    """Yield the share of responses by outcome, and length and refusals of the kept ones."""
    total = sum(outcomes.values())
    for outcome, count in sorted(outcomes.items()):
        named = replace(template, name=f"responses/{outcome.replace(' ', '_')}", judge=None)
        yield to_result(statistics.proportion(count, total), named)
    if not kept:
        return
    words = np.array([num_words(text) for text in kept], np.float64)
    yield to_result(statistics.mean(words), replace(template, name="words/kept", unit="words"))
    refused = np.array([classify_refusal(text) == "full" for text in kept], np.float64)
    named = replace(template, name="refused/kept", is_higher_better=False)
    yield to_result(statistics.share(refused), named)


def write_demonstrations(
    folder: Path,
    rows: Sequence[Mapping[str, JSON]],
    results: Sequence[EvalResult],
    *,
    reasons: Mapping[str, int],
    log: Log,
) -> DemonstrationFiles:
    """Write the files and seal the folder; raise if there is no row."""
    durable.unseal(folder)
    write_results(folder, results)
    text = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    if not rows:
        raise InputError(
            f"{folder}: no response can be a demonstration: {text}; raise --max-tokens, name "
            "another model or judge, or give more prompts"
        )
    path = folder / DEMONSTRATIONS_FILE
    durable.write_bytes(path, b"".join(map(durable.encode_row, rows)))
    durable.seal(folder, [DEMONSTRATIONS_FILE, RESULTS])
    log(f"{path}: {format_count(len(rows), 'row')}; {text}")
    return DemonstrationFiles(folder, path, tuple(results))
