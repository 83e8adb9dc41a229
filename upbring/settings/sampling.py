"""How tokens are drawn."""

from upbring.settings.schema import Settings, setting


class SampleSettings(Settings):
    """How a response is drawn from the model's distribution."""

    temperature: float = setting(0.7, ge=0, help="0 always takes the likeliest token.")
    top_p: float = setting(
        1.0, gt=0, le=1, help="Draw from the likeliest tokens that hold this share."
    )
    top_k: int = setting(0, ge=0, help="Draw from this many likeliest tokens; 0 from all.")
    max_tokens: int = setting(256, ge=1, help="Longest response in tokens.")
    stop: tuple[str, ...] = setting((), help="Strings that end a response.")
