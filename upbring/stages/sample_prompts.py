"""The fixed prompts of a run, answered at each evaluation with greedy decoding."""

from collections.abc import Callable
from itertools import islice

from upbring.errors import InputError, format_value
from upbring.maths import counter_rng
from upbring.model.sampling import Request, StopConditions, sample
from upbring.plurals import format_count
from upbring.settings.sampling import SampleSettings
from upbring.stages.context import StageContext
from upbring.stages.encode import SamplePrompt
from upbring.train.algorithm import EvalSample

NUM_SAMPLES = 3  # held-out prompts, if the settings have no sample prompts


def make_prompt_sampler(context: StageContext, role: str) -> Callable[[], list[EvalSample]]:
    """Return a function that answers the fixed prompts with greedy decoding."""
    preprocessor, settings = context.preprocessor, context.settings
    texts_and_tokens = [
        (each.text, _check_prompt_length(context, each)) for each in preprocessor.sample_prompts
    ]
    if not texts_and_tokens and context.implementation.samples_held_out_prompts:
        held_out = context.dataset.held_out
        held_out_prompts = (held_out[i].prompt.tolist() for i in range(len(held_out)))
        prompts = islice(
            (p for p in held_out_prompts if len(p) <= _max_prompt_length(context)), NUM_SAMPLES
        )
        texts_and_tokens = [(preprocessor.tokenizer.decode(prompt), prompt) for prompt in prompts]
    sampling = SampleSettings(temperature=0, max_tokens=settings.sample_tokens)
    requests = [
        Request(tokens, (counter_rng.key(settings.seed, "sample", i),))
        for i, (_, tokens) in enumerate(texts_and_tokens)
    ]

    def sample_responses() -> list[EvalSample]:
        with context.loaded.roles.active(role):
            responses = sample(
                context.loaded.model,
                requests,
                sampling,
                stopping=StopConditions(frozenset(preprocessor.stop_token_ids)),
                poll=context.poll,
            )
        return [
            EvalSample(text, preprocessor.tokenizer.decode(response.tokens))
            for (text, _), response in zip(texts_and_tokens, responses, strict=True)
        ]

    return sample_responses


def _max_prompt_length(context: StageContext) -> int:
    """Return the maximum length of a prompt that leaves room for its response."""
    max_length = context.loaded.model.max_positions
    return 2**31 if max_length is None else max_length - context.settings.sample_tokens


def _check_prompt_length(context: StageContext, prompt: SamplePrompt) -> list[int]:
    """Return a prompt's tokens; raise if it is empty or too long."""
    if 0 < len(prompt.tokens) <= _max_prompt_length(context):
        return prompt.tokens
    raise InputError(
        f"sample_prompts: {format_value(prompt.text)} has "
        f"{format_count(len(prompt.tokens), 'token')}, and with a "
        f"response of {context.settings.sample_tokens} the model has room for 1 to "
        f"{_max_prompt_length(context)}; use another prompt, or lower sample_tokens"
    )
