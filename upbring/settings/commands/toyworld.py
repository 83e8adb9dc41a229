"""Settings of `upbring toyworld`."""

from upbring.settings.schema import Settings, setting


class ToyworldSettings(Settings):
    """The bundled toy dataset, toyworld."""

    do: tuple[str, ...] = setting(
        help="export FOLDER: write corpus, demonstrations, rankings and evaluation sets as JSONL.",
    )
    seed: int = setting(0, ge=0, help="Random seed of the dataset.")
    characters: int = setting(18_000_000, ge=10_000, help="Size of the corpus in characters.")
