"""Settings of sampling."""

from upbring.settings.schema import Settings, setting


class SampleSettings(Settings):
    """How responses are sampled from the model."""

    temperature: float = setting(0.7, ge=0, help="Sampling temperature; 0 is greedy decoding.")
    top_p: float = setting(
        1.0,
        gt=0,
        le=1,
        help="Nucleus sampling: sample from the most likely tokens with this total probability.",
    )
    top_k: int = setting(0, ge=0, help="Sample from this many most likely tokens; 0: from all.")
    max_tokens: int = setting(256, ge=1, help="Maximum length of a response in tokens.")
    stop: tuple[str, ...] = setting((), help="Strings that end a response.")
