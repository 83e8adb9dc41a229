import threading
from pathlib import Path

import pytest
import torch

from tests.conftest import trials
from tests.serve.engine.engines import (
    GREEDY,
    Job,
    load_small,
    make_engine,
    make_job,
    run_jobs,
    running,
)
from tests.tolerances import LOGPROBS
from upbring.maths import counter_rng
from upbring.model.load import LoadedModel
from upbring.serve.engine import engine as engine_module
from upbring.serve.engine.engine import Engine, QueueFullError
from upbring.serve.engine.requests import EngineRequest, TokenSampling
from upbring.serve.engine.scheduler import Limits

SAMPLED = TokenSampling(temperature=1.0, top_p=0.9)


@pytest.fixture(scope="module")
def loaded(model_folder: Path) -> LoadedModel:
    return load_small(model_folder)


@pytest.fixture(scope="module")
def engine(loaded: LoadedModel) -> Engine:
    engine = make_engine(loaded)
    engine.start()
    return engine


def make_prompt(index: int, length: int | None = None) -> list[int]:
    numbers = counter_rng.permutation(counter_rng.key("prompt", index), 320).tolist()
    return numbers[: length or 3 + index % 60]


def naive_greedy(
    loaded: LoadedModel, prompt: list[int], count: int
) -> tuple[list[int], list[float]]:
    """Return the greedy tokens of plain transformers, and their log-probabilities."""
    tokens, logprobs = list(prompt), []
    network = loaded.model.network
    network.set_attn_implementation("eager")
    try:
        for _ in range(count):
            with torch.no_grad():
                logits = network(torch.tensor([tokens]), use_cache=False).logits[0, -1].double()
            tokens.append(int(logits.argmax()))
            logprobs.append(float(logits[tokens[-1]] - logits.logsumexp(0)))
    finally:
        network.set_attn_implementation("upbring")
    return tokens[len(prompt) :], logprobs


def test_greedy_tokens_are_those_of_transformers(loaded: LoadedModel, engine: Engine) -> None:
    prompts = [make_prompt(i) for i in range(6)]
    jobs = run_jobs(engine, [make_job(prompt, num_top=0) for prompt in prompts])
    for prompt, job in zip(prompts, jobs, strict=True):
        tokens, logprobs = naive_greedy(loaded, prompt, 20)
        assert job.tokens() == tokens
        assert job.logprobs() == pytest.approx(logprobs, abs=LOGPROBS)
        assert job.finish_reason() == "length"


def test_outputs_do_not_depend_on_what_shares_the_batch(engine: Engine) -> None:
    count = trials(24, 1000)
    samplings = [GREEDY, SAMPLED, TokenSampling(temperature=0.7, top_k=20, min_p=0.01)]
    jobs = [
        make_job(make_prompt(i), keys=(i,), sampling=samplings[i % 3], max_tokens=1 + i % 40)
        for i in range(count)
    ]
    limit = engine.limits.max_queue
    for begin in range(0, count, limit):
        run_jobs(engine, jobs[begin : begin + limit])
    chosen = range(0, count, max(1, count // trials(24, 200)))
    for i in chosen:
        request = jobs[i].request
        (alone,) = run_jobs(
            engine,
            [
                make_job(
                    request.prompt,
                    keys=request.keys,
                    sampling=request.sampling,
                    max_tokens=request.max_tokens,
                )
            ],
        )
        assert alone.tokens() == jobs[i].tokens(), f"request {i}"


def test_long_prompts_are_computed_in_chunks(loaded: LoadedModel) -> None:
    limits = Limits(prefill_tokens=32, mixed_prefill_tokens=8)
    prompts = [make_prompt(i, 150) for i in range(4)]
    with running(make_engine(loaded, limits=limits)) as engine:
        jobs = run_jobs(engine, [make_job(prompt, num_top=0) for prompt in prompts])
    for prompt, job in zip(prompts, jobs, strict=True):
        tokens, logprobs = naive_greedy(loaded, prompt, 20)
        assert job.tokens() == tokens
        assert job.logprobs() == pytest.approx(logprobs, abs=LOGPROBS)


def test_a_shared_prefix_is_computed_once(loaded: LoadedModel) -> None:
    prefix = make_prompt(7, 100)
    prompts = [[*prefix, 5 + i, 6 + i] for i in range(8)]
    with running(make_engine(loaded)) as engine:
        jobs = run_jobs(engine, [make_job(prompt) for prompt in prompts])
        again = run_jobs(engine, [make_job(prompts[0])])
    cached = sorted(job.request.num_cached for job in jobs)
    assert cached == [0] + [100] * 7
    assert again[0].request.num_cached == 101
    for prompt, job in zip(prompts, jobs, strict=True):
        assert job.tokens() == naive_greedy(loaded, prompt, 20)[0]


def test_the_samples_of_a_request_differ_and_share_its_prompt(engine: Engine) -> None:
    prompt = make_prompt(11, 40)
    (job,) = run_jobs(engine, [make_job(prompt, keys=(1, 2, 3), sampling=SAMPLED)])
    singles = run_jobs(engine, [make_job(prompt, keys=(k,), sampling=SAMPLED) for k in (1, 2, 3)])
    assert [job.tokens(i) for i in range(3)] == [single.tokens() for single in singles]
    assert len({tuple(job.tokens(i)) for i in range(3)}) == 3


@pytest.mark.parametrize("limits", [Limits(), Limits(prefill_tokens=7, mixed_prefill_tokens=3)])
def test_prompt_logprobs_are_those_of_transformers(loaded: LoadedModel, limits: Limits) -> None:
    prompts = [make_prompt(i, 30) for i in range(3)]
    with running(make_engine(loaded, limits=limits)) as engine:
        run_jobs(engine, [make_job(prompts[0])])  # a cached prefix must not hide anything
        jobs = run_jobs(
            engine, [make_job(p, num_top=1, num_prompt_top=1, max_tokens=1) for p in prompts]
        )
    for prompt, job in zip(prompts, jobs, strict=True):
        found = job.request.prompt_logprobs
        assert [each.token for each in found] == prompt
        assert found[0].logprob is None
        with torch.no_grad():
            network = loaded.model.network
            network.set_attn_implementation("eager")
            logits = network(torch.tensor([prompt]), use_cache=False).logits[0].double()
            network.set_attn_implementation("upbring")
        expected = logits.log_softmax(-1)
        for position, each in enumerate(found[1:]):
            own = float(expected[position, each.token])
            assert each.logprob == pytest.approx(own, abs=LOGPROBS)
            assert each.top[0][0] == int(expected[position].argmax())


def test_a_stop_string_and_a_stop_token_end_a_response(loaded: LoadedModel, engine: Engine) -> None:
    prompt = make_prompt(3)
    (free,) = run_jobs(engine, [make_job(prompt)])
    text = free.text()
    stop = text[5:8]
    token = free.tokens()[4]
    jobs = run_jobs(
        engine,
        [make_job(prompt, stop=(stop,)), make_job(prompt, stop_token_ids=frozenset({token}))],
    )
    assert jobs[0].text() == text[: text.index(stop)]
    assert jobs[0].finish_reason() == jobs[1].finish_reason() == "stop"
    tokens = free.tokens()
    assert jobs[1].tokens() == tokens[: tokens.index(token) + 1]
    assert loaded.tokenizer is not None
    assert jobs[1].text() == loaded.tokenizer.decode(tokens[: tokens.index(token)])


def test_cancelling_stops_before_the_next_token(loaded: LoadedModel) -> None:
    with running(make_engine(loaded)) as engine:
        endless = make_job(make_prompt(1), max_tokens=150)
        engine.submit(endless.request)
        assert endless.has_begun.wait(30)
        engine.cancel(endless.request)
        before = engine.stats.generated_tokens
        (after,) = run_jobs(engine, [make_job(make_prompt(2), max_tokens=10)])
        assert after.finish_reason() == "length"
        assert engine.stats.generated_tokens - before <= 10 + 1
        assert engine.stats.cancelled == 1
        assert not endless.is_done.is_set()
        assert not any(slot.is_used for slot in engine.pools.slots()) if engine.pools else True


def test_a_full_queue_rejects_a_request(loaded: LoadedModel) -> None:
    engine = make_engine(loaded, limits=Limits(max_queue=2))
    jobs = [make_job(make_prompt(i)) for i in range(3)]
    engine.submit(jobs[0].request)
    engine.submit(jobs[1].request)
    with pytest.raises(QueueFullError, match="2 requests are waiting"):
        engine.submit(jobs[2].request)
    with running(engine):
        assert [len(job.tokens()) for job in jobs[:2]] == [20, 20]


def test_without_memory_a_sequence_is_preempted_and_goes_on_later(loaded: LoadedModel) -> None:
    jobs = [
        make_job(make_prompt(i, 30), sampling=SAMPLED, keys=(i,), max_tokens=100) for i in range(5)
    ]
    with running(make_engine(loaded)) as engine:
        expected = [job.tokens() for job in run_jobs(engine, jobs)]
    again = [
        make_job(make_prompt(i, 30), sampling=SAMPLED, keys=(i,), max_tokens=100) for i in range(5)
    ]
    with running(make_engine(loaded, max_tokens=400)) as engine:
        assert [job.tokens() for job in run_jobs(engine, again)] == expected
        assert engine.pools is not None
        assert engine.pools.num_tokens <= 400


def test_an_unexpected_error_ends_the_requests_and_not_the_engine(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_step = engine_module.run_step
    failures = [RuntimeError("out of luck")]

    def fail_once(*arguments: object) -> object:
        if failures:
            raise failures.pop()
        return run_step(*arguments)  # type: ignore[arg-type] -- passed on as they are

    monkeypatch.setattr(engine_module, "run_step", fail_once)
    with running(make_engine(loaded)) as engine:
        (failed,) = run_jobs(engine, [make_job(make_prompt(1))])
        (fine,) = run_jobs(engine, [make_job(make_prompt(1))])
    assert failed.finish_reason() == "error"
    assert "out of luck" in failed.request.error
    assert fine.finish_reason() == "length"
    assert "out of luck" in capsys.readouterr().err


def test_a_function_is_called_between_two_steps(engine: Engine) -> None:
    assert engine.call(lambda: threading.current_thread().name).result(30) == "upbring-engine"


def test_stopping_ends_what_is_unfinished(loaded: LoadedModel) -> None:
    engine = make_engine(loaded)
    engine.start()
    job = make_job(make_prompt(1), max_tokens=150)
    engine.submit(job.request)
    assert job.has_begun.wait(30)
    engine.stop()
    job.wait()
    assert job.reports[-1].finish_reason in {"error", "length"}


def test_bfloat16_is_close_to_float32(tmp_path: Path, model_folder: Path) -> None:
    del tmp_path
    exact, rough = load_small(model_folder), load_small(model_folder, dtype=torch.bfloat16)
    prompts = [make_prompt(i, 40) for i in range(4)]

    def scores(loaded: LoadedModel) -> list[float]:
        with running(make_engine(loaded)) as engine:
            jobs: list[Job] = run_jobs(
                engine, [make_job(p, num_prompt_top=0, max_tokens=1) for p in prompts]
            )
        requests: list[EngineRequest] = [job.request for job in jobs]
        return [each.logprob or 0.0 for r in requests for each in r.prompt_logprobs]

    assert scores(rough) == pytest.approx(scores(exact), abs=0.05)
