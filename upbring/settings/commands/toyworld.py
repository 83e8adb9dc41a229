"""Settings of `upbring toyworld`."""

from upbring.settings.schema import Settings, setting


class ToyworldSettings(Settings):
    """The embedded small world."""

    do: tuple[str, ...] = setting(
        help="export FOLDER: write corpus, demonstrations, rankings and evaluation sets as JSONL.",
    )
    seed: int = setting(0, ge=0, help="Seed of every draw.")
    characters: int = setting(18_000_000, ge=10_000, help="Size of the corpus in characters.")
