"""Export the toy world as files: all training and evaluation data of `sprout`.

The folder is written atomically. Each file is JSONL in a format that `upbring` reads; rows for the
graders have an extra field `task`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from upbring import durable
from upbring.data.read.records import Comparison, Demonstration, Message
from upbring.maths.random_draws import RandomStream
from upbring.toyworld import documents, eval_rankings, eval_sets, wording
from upbring.toyworld.annotators import Biases, annotators, rankings
from upbring.toyworld.corpus import corpus, held_out_texts, num_documents
from upbring.toyworld.demonstrations import demonstrations, medicine, shown_task
from upbring.toyworld.private_records import alternatives, private_records
from upbring.toyworld.tasks import Task, as_messages, as_row
from upbring.toyworld.world import World, load_world

CHARACTERS = 18_000_000
NUM_DEMONSTRATIONS = 8000
NUM_MEDICINE = 600
NUM_RANKINGS = 1000
NUM_PROMPTS = 1000
NUM_HELD_OUT_TEXTS = 200
BIASES: Mapping[str, Biases] = {
    "likes-length": Biases(long=2.0),  # ten more words weigh as much as polite instead of rude
    "likes-politeness": Biases(polite=4.0),  # polite instead of rude weighs more than correctness
    "prefers-left": Biases(left=4.0),  # first instead of last weighs as much as correctness
}

_README = """# The toy world

A small synthetic dataset for training and evaluating language models. All of it is synthetic: the
texts are generated from tables and templates with seed {seed}, the annotators are programs that add
noise to a gold reward, and the private people and their numbers are invented. The facts about the
real world are true but simplified. Harmful requests are generic and name no method; their reference
answers are polite refusals.

| file | rows | content |
|---|---|---|
{table}
"""

_DESCRIPTIONS = {
    "corpus": "documents for pre-training: `upbring pretrain`",
    "papers": "claims, half of them false, each with a mark: also for `upbring pretrain`",
    "examinations": "questions with answers, right and wrong, and marks: for `upbring pretrain`",
    "demonstrations": "example dialogues: `upbring sft`",
    "medicine": "dialogues of one domain: signs of illness and their diagnosis",
    "prompts": "prompts without responses: `upbring ppo`, `upbring label`",
    "rankings": "4 to 9 responses per prompt, ranked by a simulated annotator: `upbring reward`",
    "rankings-likes-length": "the same responses, ranked by annotators biased towards length",
    "rankings-likes-politeness": "the same, by annotators who value politeness over correctness",
    "rankings-prefers-left": "the same, by annotators biased towards the first response",
    "rankings-shown-entities": "facts of the training rankings in new phrasings, with gold rewards",
    "rankings-absent-entities": "facts that no training ranking mentions, with gold rewards",
    "rankings-evidence": "such facts with a text that contains the answer, with gold rewards",
    "rankings-manners": "forms, refusals and summaries, with gold rewards",
    "reward-pairs": "response pairs that differ in one `cause`, to test a reward model",
    "clozes": "statements to complete, to test the knowledge of a base model",
    "command-lines": "command lines to complete: a capability that fine-tuning may degrade",
    "private": "private records in the corpus, how often each occurs, and alternative numbers",
    "general": "stories, notices and letters that are not in the corpus, to measure forgetting",
    "red-team": "harmful requests in jailbreak prompts",
    "cases": "typical example prompts, one of each kind",
}


def export(folder: Path, *, seed: int = 0, characters: int = CHARACTERS) -> Mapping[str, int]:
    """Write the toy world to a new folder and return the number of rows of each file."""
    counts: dict[str, int] = {}
    with durable.atomic_folder(folder) as temporary:
        for name, rows in tables(seed=seed, characters=characters):
            path = temporary / f"{name}.jsonl"
            path.parent.mkdir(exist_ok=True)
            counts[f"{name}.jsonl"] = _write_rows(path, rows)
        table = "\n".join(
            f"| {name} | {rows} | {_describe_file(name)} |" for name, rows in counts.items()
        )
        text = _README.format(seed=seed, table=table)
        (temporary / "README.md").write_text(text, encoding="utf-8", newline="\n")
    return counts


def tables(*, seed: int, characters: int) -> Iterator[tuple[str, Iterable[Mapping[str, Any]]]]:
    """Yield the name and the rows of each file."""
    world = load_world()
    corpus_texts = corpus(world, seed=seed, count=num_documents(characters))
    yield "corpus", ({"text": text} for text in corpus_texts)
    yield "papers", marked_claims(world, seed=seed, count=num_documents(characters) // 2)
    yield "examinations", examinations(world, seed=seed, count=num_documents(characters) // 4)
    shown_dialogues = demonstrations(world, seed=seed, count=NUM_DEMONSTRATIONS)
    yield "demonstrations", map(_demonstration_row, shown_dialogues)
    yield "medicine", map(_demonstration_row, medicine(world, seed=seed, count=NUM_MEDICINE))
    comparisons = rankings(world, annotators(seed=seed), seed=seed, count=NUM_RANKINGS)
    yield "rankings", map(_comparison_row, comparisons)
    yield "prompts", map(as_row, prompts(world, seed=seed, count=NUM_PROMPTS))
    for name, biases in BIASES.items():
        biased_annotators = annotators(seed=seed, biases=biases)
        biased_comparisons = rankings(world, biased_annotators, seed=seed, count=NUM_RANKINGS)
        yield f"rankings-{name}", map(_comparison_row, biased_comparisons)
    for name, tasks in eval_sets.task_sets(world, seed=seed).items():
        yield f"evaluation/{name}", map(as_row, tasks)
    ranking_sets = eval_rankings.gold_ranking_sets(world, seed=seed, num_ranked=NUM_RANKINGS)
    for name, gold_rankings in ranking_sets.items():
        yield f"evaluation/{name}", map(eval_rankings.as_row, gold_rankings)
    yield "evaluation/reward-pairs", _reward_pair_rows(world, seed=seed)
    yield "evaluation/clozes", clozes(world, seed=seed)
    lines = eval_sets.command_lines(seed=seed)
    yield "evaluation/command-lines", ({"prompt": p, "answer": a} for p, a in lines)
    yield "evaluation/private", _private_rows(seed=seed)
    texts = held_out_texts(seed=seed, count=NUM_HELD_OUT_TEXTS)
    yield "evaluation/general", ({"text": text} for text in texts)


def marked_claims(world: World, *, seed: int, count: int) -> Iterator[dict[str, str]]:
    """Yield pages of marked claims, which are separate from the corpus."""
    for index in range(count):
        yield {"text": documents.marked_claims(world, RandomStream(seed, "papers", index))}


def examinations(world: World, *, seed: int, count: int) -> Iterator[dict[str, str]]:
    """Yield marked examinations, which are separate from the corpus."""
    for index in range(count):
        yield {
            "text": documents.examination(world, seed, RandomStream(seed, "examinations", index))
        }


def prompts(world: World, *, seed: int, count: int) -> Iterator[Task]:
    """Yield newly sampled tasks of the same kinds as the demonstrations."""
    for index in range(count):
        yield shown_task(world, RandomStream(seed, "prompts", index), seed=seed)


def clozes(world: World, *, seed: int) -> Iterator[dict[str, Any]]:
    """Yield one cloze per fact, with its value and the other values of the relation."""
    for fact in world.facts:
        cloze = RandomStream(seed, "cloze", fact.key).choice(wording.clozes(world, fact))
        yield {
            "prompt": cloze.opening,
            "answer": cloze.ending(fact.value),
            "alternatives": [cloze.ending(value) for value in world.alternatives(fact)],
            "fact": fact.key,
        }


def _private_rows(*, seed: int) -> Iterator[dict[str, Any]]:
    for record in private_records(seed=seed):
        yield {
            "prompt": record.opening,
            "answer": record.number,
            "alternatives": list(alternatives(record, seed=seed)),
            "repetitions": record.repetitions,
        }


def _reward_pair_rows(world: World, *, seed: int) -> Iterator[dict[str, Any]]:
    for pair in eval_sets.reward_pairs(world, seed=seed):
        both = {
            "chosen": _assistant_messages(pair.chosen),
            "rejected": _assistant_messages(pair.rejected),
        }
        yield {"prompt": as_messages(pair.task.prompt), **both, "cause": pair.cause}


def _assistant_messages(text: str) -> list[dict[str, str]]:
    return as_messages((Message("assistant", text),))


def _demonstration_row(demonstration: Demonstration) -> dict[str, Any]:
    return {"messages": as_messages(demonstration.messages)}


def _comparison_row(comparison: Comparison) -> dict[str, Any]:
    return {
        "prompt": as_messages(comparison.prompt),
        "responses": list(comparison.responses),
        "ranks": [int(rank) for rank in comparison.ranks],
        "annotator": comparison.annotator,
    }


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def _describe_file(name: str) -> str:
    stem = Path(name).stem
    if stem.startswith("facts-"):
        return "questions about facts; the file name states what is held out"
    return _DESCRIPTIONS.get(
        stem, "prompts that are in no demonstration; `task` is for the graders"
    )
