import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.plain import plain_logprobs
from upbring.data.records import Message
from upbring.data.trees import tree
from upbring.model.load import load
from upbring.nursery.tasks import Task, as_row
from upbring.recipe.trial import accuracy, knowledge, obedience, tasks, tried
from upbring.serve.speaking import Speaker, speaker


@pytest.fixture(scope="module")
def speaking(model_folder: Path) -> Speaker:
    loaded = load(
        str(model_folder),
        device=torch.device("cpu"),
        compute=torch.float32,
        notice=lambda _: None,
    )
    return speaker(loaded)


def test_tasks_are_answered_and_graded(speaking: Speaker, tmp_path: Path) -> None:
    task = Task("fact", (Message("user", "Which colour?"),), "Red.", wanted=(("red",),))
    file = tmp_path / "tasks.jsonl"
    file.write_text((json.dumps(as_row(task)) + "\n") * 3, encoding="utf-8")
    trials = tried(speaking, tasks(file))
    assert [trial.task for trial in trials] == [task] * 3
    assert len({trial.answer for trial in trials}) == 1  # the likeliest answer is always the same
    assert accuracy(trials) == 0
    assert obedience(trials) in {0, 1}


def test_knowledge_is_the_likeliest_ending_by_its_mean(
    speaking: Speaker, model_folder: Path, tmp_path: Path
) -> None:
    tokenizer = speaking.chat.tokenizer
    network = AutoModelForCausalLM.from_pretrained(model_folder).eval()
    endings, prompt = ["red", "blue", "number"], "The apple is"
    begin = [tokenizer.bos, *tokenizer.encode(prompt)]
    assert tokenizer.bos is not None
    means = [
        float(plain_logprobs(network, [tree(begin, tokenizer.encode(f" {text}"))]).detach().mean())
        for text in endings
    ]
    likeliest = endings[means.index(max(means))]
    rows = [
        {"prompt": prompt, "answer": e, "alternatives": [x for x in endings if x != e]}
        for e in endings
    ]
    file = tmp_path / "clozes.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert knowledge(speaking, file) == pytest.approx(1 / 3)
    only = tmp_path / "only.jsonl"
    only.write_text(json.dumps(rows[endings.index(likeliest)]) + "\n", encoding="utf-8")
    assert knowledge(speaking, only) == 1
