"""From rows to the loss: only the assistant's tokens have a loss."""

import json
from pathlib import Path
from typing import Literal

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from upbring.algorithms.sft import Sft
from upbring.data.trees.stream import Stream
from upbring.model.load import load
from upbring.model.roles import BASE
from upbring.settings.methods.sft import SftSettings
from upbring.settings.model import AdapterSettings
from upbring.stages.dataset import make_dataset
from upbring.stages.encode import make_dialogue_preprocessor
from upbring.train.gradient import accumulate
from upbring.train.optimizer import ParameterGroup

DIALOGUES = [
    [("user", "one"), ("assistant", "red"), ("user", "two?"), ("assistant", "green it is")],
    [("system", "Be brief."), ("user", "the sky"), ("assistant", "blue")],
]
Turns = Literal["all", "last"]
TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def write(path: Path) -> Path:
    rows = [{"messages": [{"role": r, "content": c} for r, c in d]} for d in DIALOGUES]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reference(folder: Path, *, turns: str) -> float:
    """Return the mean of −log p over the assistant's tokens and stop tokens, in float64."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    losses = []
    for dialogue in DIALOGUES:
        before = ""
        last = len(dialogue) - 1
        for number, (role, content) in enumerate(dialogue):
            head, text = f"[{role}]", f"{content}{tokenizer.eos_token}"
            if role == "assistant" and (turns == "all" or number == last):
                prompt = tokenizer(before + head, add_special_tokens=False).input_ids
                answer = tokenizer(text, add_special_tokens=False).input_ids
                with torch.no_grad():
                    logits = network(input_ids=torch.tensor([prompt + answer])).logits[0]
                logs = logits - logits.exp().sum(-1, keepdim=True).log()
                losses += [
                    -float(logs[len(prompt) - 1 + i, token]) for i, token in enumerate(answer)
                ]
            before += head + text
    return sum(losses) / len(losses)


def algorithm(folder: Path, path: Path, *, turns: Turns) -> tuple[Sft, float]:
    """Return the algorithm on a new adapter, and the held-out loss of its base model."""
    template = path.with_name("t.jinja")
    template.write_text(TEMPLATE)
    settings = SftSettings(model=str(folder), data=(path,), turns=turns, chat_template=template)
    loaded = load(
        str(folder), device=torch.device("cpu"), compute_dtype=torch.float32, log=lambda _: None
    )
    assert loaded.tokenizer is not None
    preprocessor = make_dialogue_preprocessor(settings, loaded.tokenizer, log=lambda _: None)
    data = make_dataset(settings, preprocessor.encoder, seed=0, log=lambda _: None)
    found = Sft(
        model=loaded.model,
        active=lambda: loaded.roles.active(BASE),
        trainable=[],
        stream=Stream(data.main, (), 0, 1.0, 2),
        steps=1,
        held_out=data.main,
        micro_tokens=1,
        sample_responses=list,
    )
    base = found.evaluate(0).criterion
    loaded.roles.add_adapter("policy", AdapterSettings(rank=2), seed=0)
    found.active = lambda: loaded.roles.active("policy")
    found.trainable = [ParameterGroup(loaded.roles.parameters("policy"))]
    assert base is not None
    return found, base


@pytest.mark.parametrize("turns", ["all", "last"])
def test_the_loss_is_that_of_the_assistants_tokens_alone(
    model_folder: Path, tmp_path: Path, turns: Turns
) -> None:
    ours, base = algorithm(model_folder, write(tmp_path / "d.jsonl"), turns=turns)
    expected = reference(model_folder, turns=turns)
    (batches,) = ours.batches(0)
    assert accumulate(ours, batches)["loss"] == pytest.approx(expected, rel=1e-5)
    assert base == pytest.approx(expected, rel=1e-5)
    assert ours.evaluate(0).criterion == pytest.approx(base, rel=1e-6)  # B = 0: the base model


def test_only_the_adapter_has_a_gradient(model_folder: Path, tmp_path: Path) -> None:
    ours, _ = algorithm(model_folder, write(tmp_path / "d.jsonl"), turns="all")
    (batches,) = ours.batches(0)
    accumulate(ours, batches)
    named = dict(ours.model.network.named_parameters())
    assert {n for n, p in named.items() if p.grad is not None} == set(ours.trainable[0].parameters)
