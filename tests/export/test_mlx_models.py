import json
from pathlib import Path

import pytest

from upbring.errors import InputError
from upbring.export.mlx_models import check_mlx_model


def test_a_reward_model_is_no_model_of_mlx_lm() -> None:
    with pytest.raises(InputError, match=r"runs/r: is a reward model, .* --as classifier"):
        check_mlx_model("runs/r", is_reward=True, log=lambda _: None)


@pytest.mark.parametrize(("architecture", "is_known"), [("mistral", True), ("biogpt", False)])
def test_an_architecture_that_mlx_lm_may_not_know_is_reported(
    tmp_path: Path, architecture: str, *, is_known: bool
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": architecture}))
    lines: list[str] = []
    check_mlx_model(str(tmp_path), is_reward=False, log=lines.append)
    expected = f"mlx-lm: version 0.32.2 does not know the architecture {architecture}; check"
    assert [line.startswith(expected) for line in lines] == ([] if is_known else [True])
