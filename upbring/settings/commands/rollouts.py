"""Looking at rollouts."""

from pathlib import Path
from typing import Literal

from upbring.settings.schema import Settings, setting


class RolloutsSettings(Settings):
    """Look at responses of a run token by token."""

    run: str = setting(help="Run to look at: ppo, grpo or rloo.")
    runs: Path = setting(Path("runs"), help="Folder that holds the runs.")
    step: int | None = setting(None, ge=0, help="Evaluation to look at. Unset: the last.")
    colour: Literal["advantages", "rewards", "kl", "values"] = setting(
        "advantages", help="Which of the numbers colours the tokens: green is high, red is low."
    )
    table: bool = setting(default=False, help="Print every number, a token a line.")
