"""Adapters of one batch against networks into which each adapter is merged."""

from pathlib import Path

import pytest
import torch

from tests.serve.engine.engines import load_small, make_engine, make_job, run_jobs, running
from tests.tolerances import LOGPROBS
from upbring.model.load import LoadedModel
from upbring.model.roles import BASE
from upbring.serve.engine.forward import StepForward, make_step_forward
from upbring.settings.model import AdapterSettings

TARGETS = {"one": "all-linear", "two": "q_proj,v_proj,down_proj", "three": "up_proj"}
PROMPTS = [[5, 9, 33, 70, 2 * i + 1] for i in range(8)]


@pytest.fixture(scope="module")
def loaded(model_folder: Path) -> LoadedModel:
    loaded = load_small(model_folder)
    for seed, (name, targets) in enumerate(TARGETS.items()):
        settings = AdapterSettings(rank=2 + seed, alpha=9.0, target_modules=targets)
        loaded.roles.add_adapter(name, settings, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        for parameter in loaded.roles.parameters(name).values():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return loaded


def naive_logprobs(loaded: LoadedModel, prompt: list[int], role: str) -> torch.Tensor:
    """Return the log-probabilities after a prompt, with W + s B A as plain weights."""
    network = loaded.model.network
    names = {} if role == BASE else loaded.roles.factors(role)
    changed = {name: network.get_submodule(name).get_base_layer() for name in names}
    for name, (A, B) in names.items():
        changed[name].weight.data += B @ A
    network.set_attn_implementation("eager")
    try:
        with torch.no_grad(), loaded.roles.active(BASE):
            logits = network(torch.tensor([prompt]), use_cache=False).logits[0, -1]
    finally:
        network.set_attn_implementation("upbring")
        for name, (A, B) in names.items():
            changed[name].weight.data -= B @ A
    return logits.double().log_softmax(-1)


@pytest.mark.parametrize("has_decoder", [True, False])
def test_each_row_of_a_batch_has_its_own_adapter(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, *, has_decoder: bool
) -> None:
    if not has_decoder:
        monkeypatch.setattr("upbring.serve.engine.forward.make_decoder", lambda *_, **__: None)
    roles = [BASE, *TARGETS]
    with running(make_engine(loaded, adapters=list(TARGETS))) as engine:
        assert (engine.step_forward.decoder is not None) == has_decoder
        jobs = run_jobs(
            engine,
            [
                make_job(
                    prompt,
                    adapter=None if roles[i % 4] == BASE else roles[i % 4],
                    num_top=5,
                    max_tokens=3,
                )
                for i, prompt in enumerate(PROMPTS)
            ],
        )
    for i, (prompt, job) in enumerate(zip(PROMPTS, jobs, strict=True)):
        tokens = list(prompt)
        for report in job.reports:
            for each in report.tokens:
                expected = naive_logprobs(loaded, tokens, roles[i % 4])
                assert each.logprob == pytest.approx(float(expected[each.token]), abs=LOGPROBS)
                assert each.top[0][0] == int(expected.argmax())
                tokens.append(each.token)


def test_prefixes_are_not_shared_between_adapters(loaded: LoadedModel) -> None:
    prompt = list(range(40))
    with running(make_engine(loaded, adapters=list(TARGETS))) as engine:
        run_jobs(engine, [make_job(prompt)])
        (other,) = run_jobs(engine, [make_job(prompt, adapter="one")])
        (same,) = run_jobs(engine, [make_job(prompt, adapter="one")])
    assert other.request.num_cached == 0
    assert same.request.num_cached == 39


def test_the_decoder_of_the_base_is_used_without_adapters(loaded: LoadedModel) -> None:
    plain: StepForward = make_step_forward(loaded.model, loaded.roles, [])
    assert plain.decoder is not None
