"""Settings of `upbring demo`."""

from pathlib import Path

from upbring.settings.schema import Settings, setting


class DemoSettings(Settings):
    """Run the full pipeline on the bundled toy dataset, in a few minutes."""

    to: Path = setting(Path("demo"), help="Output folder. A second run resumes the demo.")
    steps: int | None = setting(
        None, ge=1, help="Steps of each stage, for a quick test. Unset: those of the recipe."
    )
    threads: int | None = setting(
        None, ge=1, help="Number of CPU threads. Unset: one per CPU core that this process may use."
    )
