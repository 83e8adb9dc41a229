"""Settings of `upbring serve`."""

from pathlib import Path

from upbring.settings.model import ModelSettings
from upbring.settings.schema import setting


class ServeSettings(ModelSettings):
    """Serve a model to OpenAI-compatible clients, with a chat page."""

    adapter: tuple[str, ...] = setting(
        (),
        help="Adapters on the same base, as NAME=RUN; requests select one by its name. A reward "
        "model answers /v1/score.",
    )
    served_model_name: str | None = setting(
        None, help="Name of the model for requests. Unset: the name of its folder."
    )
    host: str = setting(
        "127.0.0.1",
        help="Address to listen on. Other addresses than this machine's own need a key.",
    )
    port: int = setting(8000, ge=0, le=65535, help="Port to listen on; 0: any free port.")
    api_key: str | None = setting(
        None,
        min_length=8,
        help="Key that requests must carry (Authorization: Bearer). Unset: none on this machine, "
        "and a new one for other hosts.",
    )
    max_num_seqs: int = setting(32, ge=1, help="Responses that are generated at once.")
    max_queue: int = setting(
        256, ge=1, help="Responses that may wait; more are answered with status 429."
    )
    max_model_len: int | None = setting(
        None, ge=16, help="Maximum tokens of a prompt with its response. Unset: the model's limit."
    )
    votes: Path = setting(
        Path("votes"), help="Folder of the votes that are given on the chat page."
    )
