import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import upbring as ub
from tests import preferences, small
from tests.api.quick import QUICK

TEXTS = ["It is red.", "A tall tower"]


def test_the_model_of_transformers_has_the_log_probabilities_of_ours(finished: ub.Run) -> None:
    model, tokenizer = finished.load()
    ours = ub.load(finished, dtype="float32", threads=1).logprobs(["The"] * 2, TEXTS, raw=True)
    for text, expected in zip(TEXTS, ours, strict=True):
        prompt = tokenizer("The")["input_ids"]
        ending = tokenizer(text, add_special_tokens=False)["input_ids"]
        logits = model(torch.tensor([prompt + ending])).logits[0].log_softmax(-1)
        at = range(len(prompt) - 1, len(prompt) + len(ending) - 1)
        found = [float(logits[i, token]) for i, token in zip(at, ending, strict=True)]
        np.testing.assert_allclose(found, expected, atol=1e-4)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert not model.training


@pytest.mark.usefixtures("home")
def test_a_reward_model_is_a_classifier_with_the_scores_of_ours(home: Path) -> None:
    preferences.make_pairs(home / "p.jsonl", 12)
    run = ub.reward_model("m", "p.jsonl", **{k: v for k, v in QUICK.items() if "sample" not in k})
    model, tokenizer = run.load()
    question = "What is red?"
    rows = [{"prompt": question, "response": text} for text in TEXTS]
    scores = [row["score"] for row in ub.score(run, rows, dtype="float32", threads=1)]
    template = "<|endoftext|>### User\n{}\n\n### Assistant\n{}<|endoftext|>"
    found = []
    for text in TEXTS:
        tokens = tokenizer(template.format(question, text), add_special_tokens=False)["input_ids"]
        found.append(float(model(torch.tensor([tokens])).logits[0, 0].detach()))
    # the contract's offset is subtracted from ours, and is the same for all
    assert scores[0] - scores[1] == pytest.approx(found[0] - found[1], abs=1e-4)  # type: ignore[operator]


def test_another_base_is_refused(finished: ub.Run, tmp_path: Path) -> None:
    home = finished.path.parents[1]
    shutil.copytree(home / "m", tmp_path / "kept")
    try:
        small.make_model(home / "m", seed=1)
        with pytest.raises(ub.InputError, match="was trained on weights"):
            finished.load()
    finally:
        shutil.rmtree(home / "m")
        shutil.copytree(tmp_path / "kept", home / "m")
