"""The fixed prompts of a run, answered the same way at each evaluation: the likeliest way."""

from collections.abc import Callable
from itertools import islice

from upbring.errors import InputError, shown
from upbring.maths import counter_rng
from upbring.model.sampling import Request, Stopping, sample
from upbring.settings.sampling import SampleSettings
from upbring.stages.context import Cast
from upbring.stages.encode import Asked
from upbring.train.algorithm import Sample

NUM_SAMPLES = 3  # fixed prompts, where the user names none


def answering(cast: Cast, role: str) -> Callable[[], list[Sample]]:
    """Return what answers the fixed prompts, always the likeliest way."""
    speech, settings = cast.speech, cast.settings
    asked = [(each.text, _fitting(cast, each)) for each in speech.asked]
    if not asked and cast.craft.answers:
        held = cast.dataset.held_out
        every = (held[i].prompt.tolist() for i in range(len(held)))
        prompts = islice((p for p in every if len(p) <= _room(cast)), NUM_SAMPLES)
        asked = [(speech.tokenizer.decode(prompt), prompt) for prompt in prompts]
    how = SampleSettings(temperature=0, max_tokens=settings.sample_tokens)
    requests = [
        Request(tokens, (counter_rng.key(settings.seed, "sample", i),))
        for i, (_, tokens) in enumerate(asked)
    ]

    def answer() -> list[Sample]:
        with cast.loaded.roles.speaking(role):
            responses = sample(
                cast.loaded.model,
                requests,
                how,
                stopping=Stopping(frozenset(speech.stops)),
                poll=cast.poll,
            )
        return [
            Sample(text, speech.tokenizer.decode(response.tokens))
            for (text, _), response in zip(asked, responses, strict=True)
        ]

    return answer


def _room(cast: Cast) -> int:
    """Return how long a prompt may be, so that its answer is within what the model reads."""
    longest = cast.loaded.model.longest
    return 2**31 if longest is None else longest - cast.settings.sample_tokens


def _fitting(cast: Cast, asked: Asked) -> list[int]:
    """Return a prompt's tokens, or say that it does not fit."""
    if 0 < len(asked.tokens) <= _room(cast):
        return asked.tokens
    raise InputError(
        f"sample_prompts: {shown(asked.text)} has {len(asked.tokens)} tokens; with an answer of "
        f"{cast.settings.sample_tokens} the model has room for 1 to {_room(cast)}"
    )
