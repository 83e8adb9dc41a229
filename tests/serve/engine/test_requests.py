from upbring.serve.engine.requests import TokenSampling


def test_settings_that_change_logits_or_exclude_tokens_are_recognized() -> None:
    assert TokenSampling(temperature=0.3).is_plain
    assert not TokenSampling(temperature=0.3).is_filtered
    for changed in (
        TokenSampling(presence_penalty=1),
        TokenSampling(frequency_penalty=-1),
        TokenSampling(repetition_penalty=1.1),
        TokenSampling(logit_bias={1: 1.0}),
    ):
        assert not changed.is_plain
    for filtered in (TokenSampling(top_k=1), TokenSampling(top_p=0.9), TokenSampling(min_p=0.1)):
        assert filtered.is_filtered
