"""The KL on sampled responses: 0 at first, and equal to its definition later."""

from pathlib import Path

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

from tests.plain import plain_logprobs
from tests.preferences import prepared
from upbring.data.trees.tree import make_tree
from upbring.interruption import Interruption
from upbring.model.sampling import Request
from upbring.settings.methods.dpo import DpoSettings
from upbring.settings.resolve import resolve
from upbring.stages import reference_kl as module
from upbring.stages.context import StageContext
from upbring.stages.registry import find_method
from upbring.stages.run_stage import _add_trainable_role as add_role
from upbring.stages.train_or_resume import _make_context as make_context
from upbring.train import devices


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StageContext:
    prepared(tmp_path)
    monkeypatch.chdir(tmp_path)
    flags = {
        "model": "m",
        "data": ("p.jsonl",),
        "dtype": "float32",
        "threads": 1,
        "sample_tokens": 5,
        "held_out_share": 0.2,
    }
    resolved = resolve(DpoSettings, section="dpo", file=None, flags=flags)
    machine = devices.prepare(resolved.settings)
    return make_context(
        find_method("dpo"), resolved, machine, Interruption(), Console(quiet=True), resumed=None
    )


def test_at_the_start_the_kl_is_0_and_later_it_is_that_of_the_definition(
    context: StageContext,
) -> None:
    role = add_role(context)
    measure = module.make_reference_kl_metrics(context, role)
    first = measure()
    assert first["kl"] == pytest.approx(0, abs=1e-9)
    assert 1 <= first["answer_length"] <= 5
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in context.loaded.roles.parameters(role).items():
            if "lora_B" in name:
                parameter.normal_(0, 0.3, generator=generator)
    held = context.dataset.held_out
    requests = [Request(held[0].prompt.tolist(), (1,))]
    found = module._mean_kl(context, role, requests, [[5, 9, 7]])
    item = make_tree(held[0].prompt, [5, 9, 7])
    with torch.no_grad():
        plain = AutoModelForCausalLM.from_pretrained("m")
        base = plain_logprobs(plain, [item])
        context.loaded.roles.merge(role)
        plain.load_state_dict(context.loaded.model.network.state_dict())
        policy = plain_logprobs(plain, [item])
    gap = (base - policy).double()
    assert found == pytest.approx(float((gap.exp() - 1 - gap).sum()), rel=1e-3)
    assert found > 0
