"""Settings of `upbring rollouts`."""

from pathlib import Path
from typing import Literal

from upbring.settings.schema import Settings, setting


class RolloutsSettings(Settings):
    """Show sampled responses of an RL run token by token."""

    run: str = setting(help="RL run to show, such as one of ppo.")
    runs: Path = setting(Path("runs"), help="Folder of the runs.")
    step: int | None = setting(
        None, ge=0, help="Step of the evaluation to show. Unset: the last evaluation."
    )
    color: Literal["advantages", "rewards", "kl", "values"] = setting(
        "advantages", help="The number that colors the tokens: green is high, red is low."
    )
    table: bool = setting(default=False, help="Print a table of all numbers, one line per token.")
