import pytest

from upbring.serve.engine.requests import TokenSampling
from upbring.serve.http.api_errors import ApiError
from upbring.serve.http.fields import Fields
from upbring.serve.http.sampling_fields import SamplingFields, read_sampling, read_stop


def read(**values: object) -> SamplingFields:
    return read_sampling(Fields(dict(values)), vocab_size=100)


def test_defaults_are_openais() -> None:
    found = read()
    assert found.sampling == TokenSampling(temperature=1.0)
    assert (found.n, found.seed, found.stop) == (1, None, ())


def test_every_field_arrives() -> None:
    found = read(
        temperature=0.5,
        top_p=0,
        top_k=-1,
        min_p=0.1,
        presence_penalty=1,
        frequency_penalty=-1,
        repetition_penalty=1.2,
        logit_bias={"7": -100},
        n=3,
        seed=-5,
        stop="x",
        stop_token_ids=[9],
        ignore_eos=True,
    )
    sampling = found.sampling
    assert 0 < sampling.top_p < 1e-6  # only the likeliest
    assert (sampling.top_k, sampling.min_p, sampling.logit_bias) == (0, 0.1, {7: -100.0})
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (1.0, -1.0)
    assert (found.n, found.seed, found.stop) == (3, -5, ("x",))
    assert (found.stop_token_ids, found.ignores_eos) == (frozenset({9}), True)


def test_samples_have_keys_of_their_own_that_the_seed_decides() -> None:
    assert read(seed=1, n=3).keys(0) == read(seed=1, n=3).keys(0)
    keys = [*read(seed=1, n=3).keys(0), *read(seed=1, n=3).keys(1), *read(seed=2, n=3).keys(0)]
    assert len(set(keys)) == 9
    assert read().keys() != read().keys()


def test_empty_stops_are_left_out() -> None:
    assert read_stop(Fields({"stop": ["", "a"]})) == ("a",)
    assert read_stop(Fields({"stop": None})) == ()


@pytest.mark.parametrize(
    "values", [{"guided_regex": "a"}, {"min_tokens": 3}, {"best_of": 2}, {"modalities": ["audio"]}]
)
def test_what_is_not_implemented_is_rejected(values: dict[str, object]) -> None:
    with pytest.raises(ApiError):
        read(**values)


def test_harmless_values_of_unsupported_fields_are_accepted() -> None:
    read(best_of=1, modalities=["text"], min_tokens=None, functions=[], suffix="")
    read(best_of=2, n=2)
